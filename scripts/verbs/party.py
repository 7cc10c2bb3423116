"""The verbs that ``domicile node`` and ``domicile aggregator`` have in common: a party, from its keys to its daemon."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scripts import arguments
from scripts.options import FILE, NEW_FILE, NEW_FOLDER, json_option, password_file_option, yes_option

if TYPE_CHECKING:
    from scripts.party_verbs import Role

Verb = Callable[..., None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Words:
    """What docstrings of the verbs name in braces."""

    role: Role
    folder: str
    """The party's, in examples."""
    num_blanks: str


def party_group(
    words: Words, what: str, serve: Callable[[Path], int], own_option: Callable[[Verb], Verb] = lambda init: init
) -> click.Group:
    """All verbs of a party; `serve` is its daemon, `own_option` the one of `init` that the other role lacks."""
    group = click.Group(words.role, help=what)
    for verb in (_init(words, own_option), _register(words), _status(words), _run(words, serve), _retire(words)):
        group.add_command(verb)
    return group


def _command(words: Words) -> Callable[[Verb], click.Command]:
    """A command by its function, like click's own, whose docstring speaks of this role."""

    def made(function: Verb) -> click.Command:
        return click.command(help=str(function.__doc__).format(**asdict(words)))(function)

    return made


def _init(words: Words, own_option: Callable[[Verb], Verb]) -> click.Command:
    @_command(words)
    @click.option("--folder", type=NEW_FOLDER, required=True, help="Folder to make.")
    @click.option(
        "--name",
        type=arguments.party_name,
        required=True,
        help=f"What the {words.role} is called in logs and reports.",
    )
    @click.option("--rpc", "rpc_url", type=arguments.url, help="The chain's JSON-RPC endpoint.")
    @click.option("--deployment", type=NEW_FILE, help="The network's deployment file (FOLDER/deployment.json).")
    @click.option(
        "--region", type=arguments.store, help="Store of its jurisdiction: dir:PATH or a Kubo RPC (the local one)."
    )
    @click.option("--border", type=arguments.store, help="Store that all regions read: dir:PATH or http://HOST:PORT.")
    @own_option
    @password_file_option
    @json_option
    def init(folder: Path, as_json: bool, train: Path | None = None, **answers: Any) -> None:
        """Make an account, an HPKE key and {role}.toml, which works when its {num_blanks} empty fields are filled in.

        Nothing is sent. Keys and configuration that are there are never touched; an interrupted run is gone on with by
        the same command.

        Example: domicile {role} init --folder {folder} --name {folder} --password-file {folder}.password

        Exit codes: 0 made (now or before), 2 an option is wrong, the password is missing, or the folder cannot be
        written.
        """
        from scripts.party_file import PartyAnswers
        from scripts.party_verbs import init as make

        make(words.role, folder, PartyAnswers(train=train, **answers), as_json=as_json)

    return init


def _register(words: Words) -> click.Command:
    @_command(words)
    @click.argument("config", type=FILE)
    @json_option
    def register(config: Path, as_json: bool) -> None:
        """Publish the key card and enter its digest on chain; after a change of keys, the new one.

        Example: domicile {role} register {folder}/{role}.toml

        Exit codes: 0 registered (now or before), 2 the configuration is wrong or the account has no ether for it, 3 the
        contract refused, 5 the endpoint or a store failed.
        """
        from scripts.party_verbs import register as enter

        enter(words.role, config, as_json=as_json)

    return register


def _status(words: Words) -> click.Command:
    @_command(words)
    @click.argument("config", type=FILE)
    @json_option
    def status(config: Path, as_json: bool) -> None:
        """Tell where the {role} stands: key card, attestation, clearance, its jobs and what its journal says of them.

        Needs no password; the daemon may run meanwhile.

        Example: domicile {role} status {folder}/{role}.toml

        Exit codes: 0 told, 2 the configuration is wrong, 5 the endpoint failed.
        """
        from scripts.party_verbs import status as show

        show(words.role, config, as_json=as_json)

    return status


def _run(words: Words, serve: Callable[[Path], int]) -> click.Command:
    @_command(words)
    @click.argument("config", type=FILE)
    def run(config: Path) -> None:
        """Run the {role} by its configuration file. It says what it does as lines of JSON on standard output.

        SIGTERM finishes the act in progress and leaves.

        Example: domicile {role} run {folder}/{role}.toml

        Exit codes: 0 asked to leave, 2 the configuration is wrong or another daemon has its key, 5 a door was shut at
        the start, 70 an error of ours.
        """
        sys.exit(serve(config))

    return run


def _retire(words: Words) -> click.Command:
    @_command(words)
    @click.argument("config", type=FILE)
    @click.option("--force", is_flag=True, help="Even while a running job lists it.")
    @yes_option
    @json_option
    def retire(config: Path, force: bool, yes: bool, as_json: bool) -> None:
        """Leave the registry: attestation and clearance are forgotten, a suspension is not.

        Example: domicile {role} retire {folder}/{role}.toml --yes

        Exit codes: 0 retired (now or before), 2 the configuration is wrong, a running job lists it, it was not
        confirmed, or the account has no ether for it, 3 the contract refused, 5 the endpoint failed.
        """
        from scripts.party_verbs import retire as leave

        leave(words.role, config, yes=yes, force=force, as_json=as_json)

    return retire
