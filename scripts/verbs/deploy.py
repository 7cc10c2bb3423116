"""``domicile deploy``: the contracts of a network, on any EVM chain."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import NEW_FILE, PASSWORD_OPTION, Above, json_option, password_file_option

if TYPE_CHECKING:
    from domicile.chain.client import Chain
    from domicile.chain.deployment import Deployment
    from domicile.types import Address

DEPLOYMENT_GAS = 14_000_000
"""Rounded up from what a deployment uses; a test compares."""

PROGRESS_SUFFIX = ".progress"

NO_GUARDIAN = (
    "nobody is a guardian yet, not even this account: `domicile jurisdiction guardian ACCOUNT` appoints who may make a "
    "place's tier stricter"
)


@click.command("deploy")
@click.option("--rpc", "rpc_url", type=arguments.url, required=True, help="The chain's JSON-RPC endpoint.")
@click.option("--account", type=NEW_FILE, required=True, help="Keystore of the account that deploys.")
@password_file_option
@click.option("--out", type=NEW_FILE, default=Path("deployment.json"), show_default=True, help="File to write.")
@click.option(
    "--loosening-delay",
    "delay_s",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    help="Seconds that whatever loosens has to wait, the first attesters included.",
)
@click.option(
    "--max-fee-gwei",
    type=Above(),
    default=100.0,
    show_default=True,
    help="Most that is paid for a unit of gas.",
)
@json_option
def command(
    rpc_url: str,
    account: Path,
    password_file: Path | None,
    out: Path,
    delay_s: int,
    max_fee_gwei: float,
    as_json: bool,
) -> None:
    """Deploy the contracts, and write the file by which everybody finds them.

    The account gets every role. A deployment that was cut off is gone on with by the same command: what was done is
    noted beside the file, nothing is deployed twice.

    Example: domicile deploy --rpc http://127.0.0.1:8545 --account governor/account.json --out deployment.json

    Exit codes: 0 deployed (now or before), 2 an option, the account or its balance is wrong, 3 a contract refused, 5
    the endpoint failed (repeat the command), 130 interrupted (repeat the command).
    """
    from domicile.chain.account import Signer
    from domicile.chain.client import Chain
    from domicile.chain.deployment import deploy
    from domicile.chain.sender import Sender
    from domicile.key_lock import KeyLock
    from domicile.party import AccountSettings, read_password
    from scripts.outputs import check_output_file
    from scripts.telling import tell

    check_output_file(out, "--out")
    progress_file = out.with_name(out.name + PROGRESS_SUFFIX)
    chain = Chain(rpc_url)
    existing = _existing(chain, out)
    if existing is not None:
        _check_delay(chain, existing, account, delay_s)
        progress_file.unlink(missing_ok=True)
        told = f"deployed already: {out} holds for chain {existing.chain_id}"
        tell(as_json, _data(existing, out, changed=False), [told, *_address_lines(existing)])
        return
    with KeyLock(account):
        keys = AccountSettings(account=account, password_file=password_file)
        signer = Signer.load(account, read_password(keys, told_by=PASSWORD_OPTION))
        if not progress_file.exists():
            _check_balance(chain, signer.address, max_fee_gwei)
        deployment = deploy(
            chain,
            Sender(chain, signer, max_fee_gwei=max_fee_gwei),
            loosening_delay_s=delay_s,
            progress_file=progress_file,
            say=lambda line: click.echo(line, err=True),
        )
        deployment.save(out)
        progress_file.unlink()
    done = f"deployed on chain {deployment.chain_id}; give {out} to everybody who takes part"
    tell(as_json, _data(deployment, out, changed=True), [*_address_lines(deployment), done, NO_GUARDIAN])


def _existing(chain: Chain, out: Path) -> Deployment | None:
    """The deployment that a file tells of, checked against the chain.

    Raises:
        ConfigurationError: it is of another chain, or its contracts are not there.
    """
    from domicile.chain.deployment import Deployment
    from domicile.errors import ConfigurationError

    if not out.exists():
        return None
    found = Deployment.load(out)
    try:
        found.check(chain)
    except ConfigurationError as exc:
        raise ConfigurationError(f"{out} exists already, and {exc}; to deploy anew, name another file") from exc
    return found


def _check_delay(chain: Chain, existing: Deployment, account: Path, delay_s: int) -> None:
    """Whether the deployer waits as long as the command asks for.

    Raises:
        ConfigurationError: another delay holds.
    """
    from domicile.chain.account import address_in
    from domicile.chain.governance import Role
    from domicile.chain.role_book import RoleBook
    from domicile.errors import ConfigurationError

    asked = click.get_current_context().get_parameter_source("delay_s")
    held = RoleBook(chain, existing.access_manager).holding(Role.LOOSENER, address_in(account))
    if asked is click.core.ParameterSource.DEFAULT or held is None or held.lasting_delay_s == delay_s:
        return
    raise ConfigurationError(
        f"--loosening-delay: deployed already, and the account waits {held.lasting_delay_s} s, not {delay_s} s; change "
        "it with `domicile role grant loosener ACCOUNT --delay`"
    )


def _check_balance(chain: Chain, address: Address, max_fee_gwei: float) -> None:
    from domicile.chain.sender import GWEI, PRIORITY_FEE_WEI
    from domicile.errors import ConfigurationError
    from scripts.money import WEI, balance_wei

    base_fee_wei = int(chain.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    fee_wei = min(2 * base_fee_wei + PRIORITY_FEE_WEI, int(max_fee_gwei * GWEI))
    held_wei, needed_wei = balance_wei(chain, address), DEPLOYMENT_GAS * fee_wei
    if held_wei < needed_wei:
        raise ConfigurationError(
            f"{address} has {held_wei / WEI:.6g} ether, a deployment may take {needed_wei / WEI:.6g} at the present "
            f"fee; send it ether (on a development chain: `domicile devnet fund {address}`)"
        )


def _data(deployment: Deployment, out: Path, *, changed: bool) -> dict[str, object]:
    addresses = {**deployment.event_sources(), "AccessManager": deployment.access_manager}
    return {"changed": changed, "file": str(out), "chain_id": deployment.chain_id, "contracts": addresses}


def _address_lines(deployment: Deployment) -> list[str]:
    addresses = {"AccessManager": deployment.access_manager, **deployment.event_sources()}
    return [f"{name:<14} {address}" for name, address in addresses.items()]
