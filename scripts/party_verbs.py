"""What a node and an aggregator do alike on the command line: made, registered, looked at, retired."""

from __future__ import annotations

from pathlib import Path

from aggregator.config import AggregatorConfig
from domicile.errors import ConfigurationError
from domicile.party import Party, open_party
from domicile.protocol.eligibility import Safeguard
from domicile.settings import named
from domicile.types import Digest, JobId
from node.config import NodeConfig
from scripts.key_making import ensure_keys
from scripts.party_file import (
    BUILT_IN_TASKS,
    PartyAnswers,
    absent_deployment,
    blanks_in,
    check_same,
    check_stores,
    write_party_file,
)
from scripts.telling import confirm, tell

Role = str
"""``node`` or ``aggregator``"""

CONSEQUENCE = (
    "the contract then refuses every further act of this account, and the others wait for it until their deadlines"
)


def init(role: Role, folder: Path, answers: PartyAnswers, *, as_json: bool) -> None:
    """Makes the keys and the configuration of a party, each unless it is there.

    Raises:
        ConfigurationError: an answer is wrong or another than that of the configuration that is there, the folder
            cannot be written, or the password is missing.
    """
    path = folder / f"{role}.toml"
    check_stores(answers)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"--folder: {folder} cannot be made ({exc.strerror}); name another one") from exc
    if path.exists():
        check_same(path, answers)
    address, changed = ensure_keys(folder, answers.password_file)
    if not path.exists():
        write_party_file(path, role, answers, _approved(role))
        changed = True
    lines = [f"{path} is for account {address}" if changed else f"made already: {path} is for account {address}"]
    if blanks := blanks_in(path):
        lines.append(f"fill in {', '.join(blanks)}, then `domicile doctor {path}`")
    absent = absent_deployment(path)
    if absent is not None:
        lines.append(
            f"{absent} is not there yet: get it from whoever governs the network (`domicile deploy` writes it)"
        )
    told = {"changed": changed, "address": address, "file": str(path), "blanks": blanks}
    tell(as_json, {**told, "absent": None if absent is None else str(absent)}, lines)


def register(role: Role, config: Path, *, as_json: bool) -> None:
    """Publishes the key card and enters its digest on chain.

    Raises:
        ConfigurationError: the configuration is wrong; Refused, ChainFault, StoreFault: as their doors say.
    """
    from domicile.registration import ensure_registered

    party = _open(role, config)
    before, offered_before = _registered(party)
    ensure_registered(party)
    card, offered = _registered(party)
    changed = (card, offered) != (before, offered_before)
    told = {
        "changed": changed,
        "address": party.sender.address,
        "key_card": card.hex(),
        "safeguards": offered.names,
    }
    did = "registered"
    if not changed:
        did = "registered already"
    elif any(before):
        did = "safeguards changed" if card == before else "key card changed"
    tell(
        as_json,
        told,
        [f"{party.sender.address}: {did}, key card {card.hex()}, safeguards {', '.join(offered.names) or 'none'}"],
    )


def _registered(party: Party) -> tuple[Digest, Safeguard]:
    """Key card and safeguards as they stand on chain."""
    address = party.sender.address
    return party.nodes.key_card_of(address), party.nodes.standing_of(address).safeguards


def status(role: Role, config: Path, *, as_json: bool) -> None:
    """Tells where a party stands; sends nothing, and the daemon may run meanwhile.

    Raises:
        ConfigurationError: the configuration is wrong; ChainFault: the endpoint failed.
    """
    from scripts.party_access import PartyAccess
    from scripts.party_status import status_lines, status_of

    settings = _load(role, config)
    told = status_of(PartyAccess(config, settings), settings)
    tell(as_json, told, status_lines(role, told))


def retire(role: Role, config: Path, *, yes: bool, force: bool, as_json: bool) -> None:
    """Leaves the registry.

    Raises:
        ConfigurationError: a running job lists the party, or it was not confirmed.
    """
    from scripts.party_access import PartyAccess
    from scripts.party_jobs import running_jobs

    party = PartyAccess(config, _load(role, config))
    address, nodes = party.address, party.nodes
    if not any(nodes.key_card_of(address)):
        tell(as_json, {"changed": False, "address": address}, [f"{address} is not registered (any more)"])
        return
    running = running_jobs(party.chain, party.deployment, address)
    if running and not force:
        leave = "leave with `domicile job leave`, " if role == "node" else ""
        raise ConfigurationError(
            f"{address} has a part in {_jobs(running)}; {leave}wait for the end, or repeat with --force: {CONSEQUENCE}"
        )
    consequence = f" It has a part in {_jobs(running)}: {CONSEQUENCE}." if running else ""
    confirm(f"Take {address} out of the registry? Attestation and clearance are forgotten.{consequence}", yes=yes)
    party.sender().act(nodes.retire())
    told = {"changed": True, "address": address, "running_jobs": running}
    tell(as_json, told, [f"{address} is retired; end its daemon too, a start would register it anew"])


def _jobs(numbers: list[JobId]) -> str:
    return ", ".join(f"job {number}" for number in numbers)


def _open(role: Role, config: Path) -> Party:
    settings = _load(role, config)
    with named(config):
        return open_party(settings)


def _load(role: Role, path: Path) -> NodeConfig | AggregatorConfig:
    from scripts.doctor.case import load_config

    found = load_config(path)
    other = "aggregator" if role == "node" else "node"
    if isinstance(found, NodeConfig) is (role == "node"):
        return found
    raise ConfigurationError(
        f"{path}: configures {'an aggregator' if role == 'node' else 'a node'}; use `domicile {other}`, or name "
        "another file"
    )


def _approved(role: Role) -> dict[str, str]:
    if role != "node":
        return {}
    from domicile.learning.task import task_digest

    return {use: task_digest(use, folder=Path()) for use in BUILT_IN_TASKS}
