"""``domicile node``: a data holder, from its keys to its daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scripts import arguments
from scripts.options import FILE, NEW_FILE, NEW_FOLDER, json_option, password_file_option, yes_option


@click.group("node")
def group() -> None:
    """A data holder."""


@group.command()
@click.option("--folder", type=NEW_FOLDER, required=True, help="Folder to make.")
@click.option("--name", type=arguments.party_name, required=True, help="What the node is called in logs and reports.")
@click.option("--rpc", "rpc_url", type=arguments.url, help="The chain's JSON-RPC endpoint.")
@click.option("--deployment", type=NEW_FILE, help="The network's deployment file (FOLDER/deployment.json).")
@click.option(
    "--region", type=arguments.store, help="Store of its jurisdiction: dir:PATH or a Kubo RPC (the local one)."
)
@click.option("--border", type=arguments.store, help="Store that all regions read: dir:PATH or http://HOST:PORT.")
@click.option("--train", type=NEW_FILE, help="The data to train on: CSV, Parquet, or what the task takes.")
@password_file_option
@json_option
def init(
    folder: Path,
    name: str,
    rpc_url: str | None,
    deployment: Path | None,
    region: str | None,
    border: str | None,
    train: Path | None,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """Make an account, an HPKE key and node.toml, which works when its three empty fields are filled in.

    Nothing is sent. Keys and configuration that are there are never touched; an interrupted run is gone on with by
    the same command.

    Example: domicile node init --folder clinic --name clinic --password-file clinic.password

    Exit codes: 0 made (now or before), 2 an option is wrong, the password is missing, or the folder cannot be written.
    """
    from scripts.party_file import PartyAnswers
    from scripts.party_verbs import init as make

    answers = PartyAnswers(
        name=name,
        rpc_url=rpc_url,
        deployment=deployment,
        region=region,
        border=border,
        train=train,
        password_file=password_file,
    )
    make("node", folder, answers, as_json=as_json)


@group.command()
@click.argument("config", type=FILE)
@json_option
def register(config: Path, as_json: bool) -> None:
    """Publish the key card and enter its digest on chain; after a change of keys, the new one.

    Example: domicile node register clinic/node.toml

    Exit codes: 0 registered (now or before), 2 the configuration is wrong, 3 the contract refused, 5 the endpoint or a
    store failed.
    """
    from scripts.party_verbs import register as enter

    enter("node", config, as_json=as_json)


@group.command()
@click.argument("config", type=FILE)
@json_option
def status(config: Path, as_json: bool) -> None:
    """Tell where the node stands: key card, attestation, clearance, its jobs and what its journal says of them.

    Needs no password; the daemon may run meanwhile.

    Example: domicile node status clinic/node.toml

    Exit codes: 0 told, 2 the configuration is wrong, 5 the endpoint failed.
    """
    from scripts.party_verbs import status as show

    show("node", config, as_json=as_json)


@group.command()
@click.argument("config", type=FILE)
def run(config: Path) -> None:
    """Run the node by its configuration file. It says what it does as lines of JSON on standard output.

    SIGTERM finishes the act in progress and leaves.

    Example: domicile node run clinic/node.toml

    Exit codes: 0 asked to leave, 2 the configuration is wrong or another daemon has its key, 5 a door was shut at the
    start, 70 an error of ours.
    """
    from node.daemon import main

    sys.exit(main(config))


@group.command()
@click.argument("config", type=FILE)
@click.option("--force", is_flag=True, help="Even while a running job lists it.")
@yes_option
@json_option
def retire(config: Path, force: bool, yes: bool, as_json: bool) -> None:
    """Leave the registry: attestation and clearance are forgotten, a suspension is not.

    Example: domicile node retire clinic/node.toml --yes

    Exit codes: 0 retired (now or before), 2 the configuration is wrong, a running job lists it, or it was not
    confirmed, 3 the contract refused, 5 the endpoint failed.
    """
    from scripts.party_verbs import retire as leave

    leave("node", config, yes=yes, force=force, as_json=as_json)
