"""All checks, in the order in which their problems are best mended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from domicile.errors import DomicileError
from scripts.doctor import budget, configuration, keys, machine, network, standing, stores, work
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, State, problem

CONFIGURATION = "configuration"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One question. It is skipped where a check that it `needs` found a problem, or was skipped itself, and where a
    field that it `reads` is still empty; `otherwise` is the part of it that is then asked in its place.
    """

    name: str
    ask: Callable[[Case], Iterator[Finding]]
    reads: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    roles: tuple[str, ...] = ("node", "aggregator")
    otherwise: Check | None = None


CHECKS = (
    Check(name=CONFIGURATION, ask=configuration.configuration),
    Check(name="key files", ask=keys.key_files),
    Check(name="account", ask=keys.account),
    Check(name="password", ask=keys.password, needs=("key files", "account")),
    Check(name="endpoint", ask=network.endpoint, reads=("chain.rpc_url",)),
    Check(name="contracts", ask=network.contracts, needs=("endpoint",)),
    Check(name="clock", ask=network.clock, needs=("endpoint",)),
    Check(name="stores", ask=stores.stores),
    Check(
        name="balance",
        ask=network.balance,
        needs=("account", "endpoint", "contracts"),
        otherwise=Check(name="balance", ask=network.balance_without_jobs, needs=("account", "endpoint")),
    ),
    Check(name="registration", ask=standing.registration, needs=("account", "contracts")),
    Check(name="key card", ask=standing.key_card, needs=("registration", "stores"), reads=("stores.border",)),
    Check(name="sealing key", ask=standing.sealing_key, needs=("registration", "password")),
    Check(name="attestation", ask=standing.attestation, needs=("registration",)),
    Check(name="clearance", ask=standing.clearance, needs=("registration",)),
    Check(name="suspension", ask=standing.suspension, needs=("registration",)),
    Check(name="jobs", ask=standing.gate, needs=("registration",)),
    Check(name="tasks", ask=work.tasks, roles=("node",)),
    Check(
        name="data",
        ask=work.data,
        needs=("account", "contracts", "stores", "tasks"),
        reads=("stores.border", "data.train"),
        roles=("node",),
        otherwise=Check(name="data", ask=work.readable, reads=("data.train",)),
    ),
    Check(
        name="disk",
        ask=machine.disk,
        needs=("account", "contracts", "stores"),
        reads=("stores.border",),
        otherwise=Check(name="disk", ask=machine.disk_without_jobs),
    ),
    Check(name="budget", ask=budget.budget, needs=("account", "contracts"), roles=("node",)),
    Check(name="journal", ask=machine.journal),
    Check(name="metrics", ask=machine.metrics_port),
)


def examine(case: Case, checks: Iterable[Check] = CHECKS) -> Iterator[Finding]:
    """Asks every question; each gives one finding or more."""
    blocked: dict[str, str] = {}  # Which check found the problem that a check was skipped for.
    for check in checks:
        if case.role not in check.roles:
            continue
        cause = _obstacle(check, case, blocked)
        if cause is not None:
            blocked[check.name] = cause
            yield Finding(check=check.name, state=State.SKIPPED, text=f"because of the problem with: {cause}")
            if check.otherwise is not None and _obstacle(check.otherwise, case, blocked) is None:
                yield from _answers(check.otherwise, case)
            continue
        for finding in _answers(check, case):
            if finding.state is State.PROBLEM:
                blocked[check.name] = check.name
            yield finding


def _obstacle(check: Check, case: Case, blocked: dict[str, str]) -> str | None:
    """The check whose problem stands in this one's way."""
    if any(key in case.blanks for key in check.reads):
        return CONFIGURATION
    return next((blocked[name] for name in check.needs if name in blocked), None)


def _answers(check: Check, case: Case) -> Iterator[Finding]:
    try:
        for finding in check.ask(case):
            yield replace(finding, check=check.name)
    except DomicileError as exc:
        yield replace(problem(str(exc)), check=check.name)
