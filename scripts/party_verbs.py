"""What a node and an aggregator do alike on the command line: made, registered, looked at, retired."""

from __future__ import annotations

from pathlib import Path

from aggregator.config import AggregatorConfig
from domicile.chain.account import Signer, address_in
from domicile.chain.client import Chain
from domicile.chain.deployment import Deployment
from domicile.chain.sender import Sender
from domicile.errors import ConfigurationError
from domicile.party import Party, open_party, read_password
from domicile.settings import load_settings, named
from domicile.types import Address
from node.config import NodeConfig
from scripts.key_making import ensure_keys
from scripts.party_file import BUILT_IN_TASKS, PartyAnswers, blanks_of, write_party_file
from scripts.telling import confirm, tell

Role = str
"""``node`` or ``aggregator``"""


def init(role: Role, folder: Path, answers: PartyAnswers, *, as_json: bool) -> None:
    """Makes the keys and the configuration of a party, each unless it is there.

    Raises:
        ConfigurationError: the folder cannot be written, or the password is missing.
    """
    path = folder / f"{role}.toml"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"--folder: {folder} cannot be made ({exc.strerror}); name another one") from exc
    address, changed = ensure_keys(folder, answers.password_file)
    blanks: tuple[str, ...] = ()
    if not path.exists():
        write_party_file(path, role, answers, _approved(role))
        changed, blanks = True, blanks_of(role, answers)
    lines = [f"{path} is for account {address}" if changed else f"made already: {path} is for account {address}"]
    if blanks:
        lines.append(f"fill in {', '.join(blanks)}, then `domicile doctor {path}`")
    tell(as_json, {"changed": changed, "address": address, "file": str(path), "blanks": list(blanks)}, lines)


def register(role: Role, config: Path, *, as_json: bool) -> None:
    """Publishes the key card and enters its digest on chain.

    Raises:
        ConfigurationError: the configuration is wrong; Refused, ChainFault, StoreFault: as their doors say.
    """
    from domicile.registration import ensure_registered

    party = _open(role, config)
    before = party.nodes.key_card_of(party.sender.address)
    ensure_registered(party)
    card = party.nodes.key_card_of(party.sender.address)
    changed = card != before
    did = "registered already" if not changed else "key card changed" if any(before) else "registered"
    tell(
        as_json,
        {"changed": changed, "address": party.sender.address, "key_card": card.hex()},
        [f"{party.sender.address}: {did}, key card {card.hex()}"],
    )


def status(role: Role, config: Path, *, as_json: bool) -> None:
    """Tells where a party stands; sends nothing, and the daemon may run meanwhile.

    Raises:
        ConfigurationError: the configuration is wrong; ChainFault: the endpoint failed.
    """
    from scripts.party_status import status_lines, status_of

    told = status_of(_load(role, config))
    tell(as_json, told, status_lines(role, told))


def retire(role: Role, config: Path, *, yes: bool, force: bool, as_json: bool) -> None:
    """Leaves the registry.

    Raises:
        ConfigurationError: a running job lists the party, or it was not confirmed.
    """
    from scripts.doctor.case import Case

    party = _open(role, config)
    address = party.sender.address
    if not any(party.nodes.key_card_of(address)):
        tell(as_json, {"changed": False, "address": address}, [f"{address} is not registered (any more)"])
        return
    running = [own.job for own in Case(config=_load(role, config)).own_jobs]
    if running and not force:
        jobs = ", ".join(f"job {job}" for job in running)
        raise ConfigurationError(
            f"{address} has a part in {jobs}: its contract would refuse every further act of this party, and others "
            "would wait for it until the deadlines; leave first, wait for the end, or repeat with --force"
        )
    confirm(f"Take {address} out of the registry? Its attestation and clearance are forgotten.", yes=yes)
    party.sender.act(party.nodes.retire())
    tell(as_json, {"changed": True, "address": address}, [f"{address} is retired"])


def open_network(config: Path) -> tuple[Address, Chain, Deployment]:
    """The account of a party's configuration, and the network that it names; needs no password.

    Raises:
        ConfigurationError: the configuration is wrong; ChainFault: the endpoint failed.
    """
    settings = _any_party(config)
    with named(config):
        deployment = Deployment.load(settings.chain.deployment)
        chain = Chain(settings.chain.rpc_url, confirmations=settings.chain.confirmations)
        deployment.check(chain)
        return address_in(settings.keys.account), chain, deployment


def party_sender(config: Path) -> Sender:
    """Acts for the account of a party's configuration.

    Raises:
        ConfigurationError: password or key file are wrong.
    """
    settings = _any_party(config)
    with named(config):
        signer = Signer.load(settings.keys.account, read_password(settings.keys))
    chain = Chain(settings.chain.rpc_url, confirmations=settings.chain.confirmations)
    return Sender(chain, signer, max_fee_gwei=settings.chain.max_fee_gwei)


def _any_party(config: Path) -> NodeConfig | AggregatorConfig:
    from scripts.doctor.case import load_config

    return load_config(config)


def _open(role: Role, config: Path) -> Party:
    settings = _load(role, config)
    with named(config):
        return open_party(settings)


def _load(role: Role, path: Path) -> NodeConfig | AggregatorConfig:
    return load_settings(path, NodeConfig) if role == "node" else load_settings(path, AggregatorConfig)


def _approved(role: Role) -> dict[str, str]:
    if role != "node":
        return {}
    from domicile.learning.task import task_digest

    return {use: task_digest(use, folder=Path()) for use in BUILT_IN_TASKS}
