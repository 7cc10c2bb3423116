"""``domicile devnet``: a development chain in the background."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.devnet.asked import DEFAULT_PORT
from scripts.options import NEW_FOLDER, Above, json_option

if TYPE_CHECKING:
    from domicile.types import Address

folder_option = click.option(
    "--folder", type=NEW_FOLDER, default=Path("devnet"), show_default=True, help="Where its log and its record lie."
)


@click.group("devnet")
def group() -> None:
    """A development chain in the background; its keys are known to everybody."""


@group.command()
@click.option("--client", type=click.Choice(["anvil", "ganache"]), help="The program (anvil).")
@click.option(
    "--block-time", "block_time_s", type=Above(), help="Seconds between blocks (a block for each transaction)."
)
@click.option("--port", type=click.IntRange(1, 65535), help=f"Port to listen on ({DEFAULT_PORT}).")
@click.option("--host", help="IPv4 address to listen on (127.0.0.1). Whoever reaches it may act for every account.")
@click.option(
    "--state", type=click.Path(path_type=Path), help="Where the chain is kept: a file, for ganache a folder (nowhere)."
)
@folder_option
@json_option
def up(
    client: str | None,
    block_time_s: float | None,
    port: int | None,
    host: str | None,
    state: Path | None,
    folder: Path,
    as_json: bool,
) -> None:
    """Start a chain that runs on after this command, and print its RPC URL once it answers.

    With --state, it survives `down`, a reboot and a SIGKILL.

    Example: domicile devnet up --block-time 1 --state devnet/state.json

    Exit codes: 0 it runs (now or before), 2 an option is wrong, or it runs with another one, 5 it did not come up, 130
    interrupted.
    """
    from dataclasses import asdict

    from scripts.devnet.asked import check_same, options_for, others_reach
    from scripts.devnet.background import bring_up
    from scripts.devnet.folder import DevnetFolder
    from scripts.telling import tell

    home = DevnetFolder(folder)
    asked = {"client": client, "block_time_s": block_time_s, "port": port, "host": host}
    asked["state"] = None if state is None else str(state.absolute())
    running, changed = home.running(), False
    if running is None:
        running, changed = bring_up(home, options_for(asked)), True
    else:
        check_same(running, asked, folder)
    told = running.rpc_url if changed else f"{running.rpc_url} (it runs already)"
    tell(as_json, {"changed": changed, **asdict(running.options), "rpc_url": running.rpc_url}, [told])
    if changed and others_reach(running.options.host):
        click.echo(
            f"whoever reaches port {running.options.port} of {running.options.host} may act for every account of this "
            "chain: its keys are known to everybody. Let nothing of value depend on it",
            err=True,
        )


@group.command()
@folder_option
@json_option
def status(folder: Path, as_json: bool) -> None:
    """Tell whether the chain runs, and where.

    Example: domicile devnet status

    Exit codes: 0 it runs, 1 it does not, 2 the folder cannot be read, 5 it does not answer.
    """
    import sys
    from dataclasses import asdict

    from domicile.chain.client import Chain
    from scripts.devnet.folder import DevnetFolder
    from scripts.telling import tell

    running = DevnetFolder(folder).running()
    if running is None:
        tell(as_json, {"running": False}, ["no chain runs here; `domicile devnet up` starts one"])
        sys.exit(1)
    block = Chain(running.rpc_url).block_number()
    options = running.options
    mines = "a block for each transaction" if options.block_time_s is None else f"a block in {options.block_time_s:g} s"
    kept = "forgotten at its end" if options.state is None else f"kept in {options.state}"
    data = {"running": True, **asdict(options), "rpc_url": running.rpc_url, "pid": running.pid, "block": block}
    tell(as_json, data, [running.rpc_url, f"{options.client}, block {block}, {mines}, {kept}, process {running.pid}"])


@group.command()
@folder_option
@json_option
def down(folder: Path, as_json: bool) -> None:
    """End the chain. When this returns, its state is written, and no process and no port is left.

    Example: domicile devnet down

    Exit codes: 0 it is down (now or before), 2 the folder cannot be read, 5 something is left (it is named).
    """
    from scripts.devnet.background import take_down
    from scripts.devnet.folder import DevnetFolder
    from scripts.telling import tell

    home = DevnetFolder(folder)
    running = home.running()
    if running is None:
        tell(as_json, {"changed": False}, ["no chain runs here"])
        return
    take_down(home, running)
    kept = "" if running.options.state is None else f"; {running.options.state} keeps it"
    tell(as_json, {"changed": True, "rpc_url": running.rpc_url}, [f"{running.rpc_url} is down{kept}"])


@group.command()
@click.argument("accounts", type=arguments.address, nargs=-1, required=True)
@click.option("--ether", type=Above(1000), default=10.0, show_default=True)
@click.option("--rpc", "rpc_url", type=arguments.url, help="The chain, where it runs on another machine.")
@folder_option
@json_option
def fund(accounts: tuple[Address, ...], ether: float, rpc_url: str | None, folder: Path, as_json: bool) -> None:
    """Fill accounts up to so much ether, from the development chain's first account.

    Example: domicile devnet fund 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --ether 10

    Exit codes: 0 they have as much (now or before), 2 an argument is wrong, or it is no development chain, 5 the
    endpoint failed.
    """
    from domicile.chain.client import Chain
    from domicile.errors import ConfigurationError
    from scripts.devnet.folder import DevnetFolder
    from scripts.devnet.funding import fill_up
    from scripts.telling import tell

    running = None if rpc_url else DevnetFolder(folder).running()
    url = rpc_url or (running and running.rpc_url)
    if not url:
        raise ConfigurationError(
            f"{folder}: no chain runs here; start one with `domicile devnet up`, or name its --rpc"
        )
    sent = fill_up(Chain(url), accounts, ether)
    lines = [
        f"{account} got {sent[account]:.6g} ether" if account in sent else f"{account} has enough already"
        for account in accounts
    ]
    tell(as_json, {"changed": bool(sent), "ether": sent}, lines)
