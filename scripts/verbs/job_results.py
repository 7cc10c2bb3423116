"""``domicile job export|lineage``: what a job made, and whether its record holds."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts.options import access_option, json_option

if TYPE_CHECKING:
    from domicile.history import JobHistory
    from domicile.types import Digest
    from scripts.access import Access


@click.command()
@click.argument("number", type=int)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@access_option
@json_option
def export(number: int, out: Path, access: Path | None, as_json: bool) -> None:
    """Write a job's newest global model as a safetensors file, and tell who took part in the rounds that made it.

    The digest that is printed is the file's sha-256 and stands on chain. No other file is written over.

    Example: domicile job export 1 --out model.safetensors

    Exit codes: 0 written (now or before), 2 there is no such job or model yet, or a file is wrong, 4 the model does not
    open with these keys, 5 endpoint or store cannot be reached.
    """
    from domicile.errors import ConfigurationError
    from scripts.access import open_access
    from scripts.looking import observer_of
    from scripts.outputs import check_output_file
    from scripts.participating import participation_lines
    from scripts.status import plain
    from scripts.telling import tell

    check_output_file(out, "--out")
    network = open_access(access)
    observer = observer_of(network, number)
    rounds = observer.participation()
    history = observer.history
    newest = history.newest_global_round
    if newest is None:
        raise ConfigurationError(f"job {number}: no global model yet; `domicile job status {number}` tells why")
    rounds = tuple(one for one in rounds if one.global_round <= newest)
    digest = history.global_models[newest].model
    changed = not _holds(out, digest, newest)
    if changed:
        _write_model(network, history, newest, out)
    told = {"changed": changed, "job": number, "global_round": newest, "model": digest, "file": str(out)}
    lines = [f"{digest.hex()}  {out}", *([] if changed else ["the file held this model already"])]
    tell(
        as_json,
        plain(told | {"participation": [asdict(one) for one in rounds]}),
        [*lines, *participation_lines(rounds)],
    )


def _holds(out: Path, model: Digest, global_round: int) -> bool:
    """Whether the file is there and this model.

    Raises:
        ConfigurationError: another file is there.
    """
    from domicile.errors import ConfigurationError
    from scripts.documents import file_digest

    if not out.exists():
        return False
    # What is no regular file may never end.
    if not out.is_file() or file_digest(out) != model:
        raise ConfigurationError(
            f"--out: {out} holds something else than the model of global round {global_round + 1}; name another file, "
            "or remove it"
        )
    return True


def _write_model(network: Access, history: JobHistory, global_round: int, out: Path) -> None:
    """Raises:
    ConfigurationError: the file cannot be written.
    """
    import torch

    from domicile.errors import ConfigurationError
    from domicile.learning.model import save_model
    from scripts.looking import models_of

    models = models_of(network, history)
    values_P = torch.empty(models.layout.num_parameters)
    file = models.global_model(global_round, values_P)
    try:
        save_model(file, values_P, out)
    except OSError as exc:
        raise ConfigurationError(f"--out: {out} cannot be written ({exc.strerror}); name another file") from exc


@click.command()
@click.argument("number", type=int)
@access_option
@json_option
def lineage(number: int, access: Path | None, as_json: bool) -> None:
    """Replay a job's record from the chain and check every payload that is still stored.

    Exit codes: 0 everything holds, 4 something does not (it is named).

    Example: domicile job lineage 1
    """
    from domicile.errors import LineageError
    from domicile.lineage import verify_lineage
    from scripts.access import open_access
    from scripts.status import plain

    network = open_access(access)
    job = network.known_job(number)
    found = verify_lineage(network.chain, network.deployment, job, network.stores())
    names = network.settings.names
    if as_json:
        click.echo(json.dumps(plain(asdict(found))))
    else:
        _print_lineage(found, names)
    if not found.verified:
        raise LineageError(f"job {number}: the record does not hold: {found.problems[0]}")


def _print_lineage(found: Any, names: dict[str, str]) -> None:
    """People count rounds from 1."""
    from domicile.text import printable
    from scripts.participating import participation_lines
    from scripts.viewing import named
    from scripts.wording import counted

    for model in found.models:
        click.echo(f"global round {model.global_round + 1}: model {model.model.hex()}")
        for region in model.from_regions:
            told = f"{counted(region.contributors, 'contributor')}, model {region.model.hex()}"
            click.echo(f"  from {printable(region.jurisdiction)}: {told}")
            for part in region.rounds:
                told = ", ".join(f"{names.get(node, node)} {digest.hex()[:16]}" for node, digest in part.included)
                click.echo(printable(f"    regional round {part.regional_round + 1}: {told}"))
                for node, reason in part.excluded:
                    click.echo(printable(f"      left out: {names.get(node, node)} ({reason.name})"))
    rounds = [named(one, lambda account: names.get(account, account)) for one in found.participation]
    for line in participation_lines(rounds):
        click.echo(printable(line))
    for problem in found.problems:
        click.echo(printable(f"PROBLEM {problem}"))
    for remark in found.remarks:
        click.echo(printable(f"remark: {remark}"))
    verdict = "holds" if found.verified else "DOES NOT HOLD"
    read = counted(found.payloads_checked, "payload")
    click.echo(
        f"the record {verdict}: {counted(found.num_checks, 'check')}, {read} read, "
        f"{found.payloads_gone} no longer stored"
    )
