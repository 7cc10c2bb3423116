"""Acts of governance from the command line: done at once where the account may, scheduled where it must wait."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from domicile.chain.governance import DelayedActs
from domicile.chain.sender import Call, Sender
from domicile.errors import ConfigurationError
from domicile.types import Address
from scripts.access import Access
from scripts.telling import tell
from scripts.wording import moment


class Progress(Enum):
    """How far an act of governance came."""

    DONE = "done"
    SCHEDULED = "scheduled"
    WAITING = "waiting"


@dataclass(frozen=True, kw_only=True, slots=True)
class Governed:
    """`ready_at_s`: from when on the same command carries it out, on the chain's clock."""

    progress: Progress
    ready_at_s: int | None = None

    @property
    def changed(self) -> bool:
        return self.progress is not Progress.WAITING

    def line(self, done: str) -> str:
        """What to tell a person; `done` says what was done."""
        if self.progress is Progress.DONE or self.ready_at_s is None:
            return done
        told = "scheduled" if self.progress is Progress.SCHEDULED else "scheduled before"
        return f"{told}; repeat this command from {moment(self.ready_at_s)} on (the chain's clock) to carry it out"

    def data(self) -> dict[str, object]:
        return {"changed": self.changed, "progress": self.progress.value, "ready_at_s": self.ready_at_s}


def govern(network: Access, sender: Sender, call: Call) -> Governed:
    """Carries an act out, as far as the account's roles allow by now.

    Raises:
        ConfigurationError: the account has no role for it; Refused: the contract refuses, by name.
    """
    require_role(network, sender.address, call)
    acts = DelayedActs(network.chain, network.deployment.access_manager)
    immediate, _ = acts.may_call(sender.address, call)
    if immediate:
        sender.act(call)
        return Governed(progress=Progress.DONE)
    ready_at_s = acts.ready_at_s(sender.address, call)
    if ready_at_s is None:
        sender.act(acts.schedule(call))
        return Governed(progress=Progress.SCHEDULED, ready_at_s=acts.ready_at_s(sender.address, call))
    if network.chain.timestamp() < ready_at_s:
        return Governed(progress=Progress.WAITING, ready_at_s=ready_at_s)
    sender.act(acts.execute(call))
    return Governed(progress=Progress.DONE)


def require_role(network: Access, account: Address, call: Call) -> None:
    """Before anything is written for an act that the account may never carry out.

    Raises:
        ConfigurationError: the account has no role for it.
    """
    immediate, delay_s = DelayedActs(network.chain, network.deployment.access_manager).may_call(account, call)
    if not immediate and not delay_s:
        raise ConfigurationError(
            f"{account} has no role for {call.action}; an administrator gives it with `domicile role grant`"
        )


def carry_out(network: Access, call: Call, done: str, *, as_json: bool) -> Governed:
    """Governs and tells; `done` says what was done."""
    governed = govern(network, network.sender(), call)
    tell(as_json, governed.data(), [governed.line(done)])
    return governed


def tell_done_before(line: str, *, as_json: bool) -> None:
    """There is nothing to do."""
    tell(as_json, {"changed": False, "progress": Progress.DONE.value}, [line])
