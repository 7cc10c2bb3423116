"""``domicile dataset``: what the owner of data allows jobs to spend of its privacy, and what they spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import amounts, arguments
from scripts.options import access_option, json_option

if TYPE_CHECKING:
    from domicile.types import Address
    from scripts.datasets import DatasetStanding

DATA = click.Path(exists=True, path_type=Path)


@click.group("dataset")
def group() -> None:
    """Privacy budgets of data."""


@group.command()
@click.argument("data", type=DATA)
@click.option("--holder", type=arguments.address, required=True, help="Account of the node that trains on the data.")
@access_option
@json_option
def register(data: Path, holder: Address, access: Path | None, as_json: bool) -> None:
    """Register the data of a node (a file or a folder), as its owner. Only a salted digest goes on chain.

    Salt and digest stay beside the access file. That the data is not registered a second time, under another node or
    account, is your statement: nobody can see that two digests are of the same rows.

    Example: domicile dataset register patients.csv --holder 0x70997970C51812dc3A010C7d01b50e0d17dc79C8

    Exit codes: 0 registered (now or before), 2 an argument is wrong, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.chain.contracts import Budgets
    from domicile.protocol.round import NO_DATASET
    from scripts.access import open_access
    from scripts.datasets import commitment_to, require_own
    from scripts.telling import tell

    network = open_access(access)
    sender, budgets = network.sender(), Budgets(network.chain, network.deployment)
    commitment, kept = commitment_to(network.folder, data, holder)
    number = budgets.dataset_of(commitment)
    changed = number == NO_DATASET
    if changed:
        sender.act(budgets.register_dataset(commitment, holder))
        number = budgets.dataset_of(commitment)
    require_own(budgets, number, sender.address, kept)
    before = "" if changed else " already"
    lines = [
        f"{data} is dataset {number}{before}, held by {holder}; its salt is kept in {kept}",
        f"grant it a budget with `domicile dataset grant`, and write dataset = {number} below [data] of node.toml",
    ]
    told = {"changed": changed, "dataset": number, "commitment": commitment.hex(), "holder": holder, "kept": str(kept)}
    tell(as_json, told, lines)


@group.command()
@click.argument("number", type=int)
@click.option("--epsilon", "epsilon_micros", type=amounts.epsilon, help="Most that all jobs together may spend, ever.")
@click.option("--delta", "delta_attos", type=amounts.delta, help="The same of delta.")
@click.option(
    "--until", "until_s", type=arguments.date, help="Last day on which jobs may reserve (UTC), as YYYY-MM-DD."
)
@click.option("--days", type=click.IntRange(min=1), help="Days from today to the last one, by the chain's clock.")
@click.option("--withdraw", is_flag=True, help="Grant nothing any more. What jobs reserved stays reserved.")
@access_option
@json_option
def grant(
    number: int,
    epsilon_micros: int | None,
    delta_attos: int | None,
    until_s: int | None,
    days: int | None,
    withdraw: bool,
    access: Path | None,
    as_json: bool,
) -> None:
    """Say how much privacy all jobs together may spend of a dataset, ever, and until when they may reserve of it.

    The last grant counts, and what was spent before counts against it.

    Example: domicile dataset grant 1 --epsilon 8 --delta 1e-5 --days 365

    Exit codes: 0 granted (now or before), 2 an argument is wrong or there is no such dataset, 3 the contract refused
    (not the owner), 5 the endpoint failed.
    """
    from domicile.chain.contracts import Budgets
    from domicile.errors import ConfigurationError
    from domicile.protocol.budget import NOTHING, Budget
    from scripts.access import open_access
    from scripts.datasets import known_dataset
    from scripts.telling import tell
    from scripts.wording import moment

    given = (epsilon_micros, delta_attos, until_s, days)
    if withdraw and given != (None,) * 4:
        raise ConfigurationError("--withdraw: goes without --epsilon, --delta, --until and --days; leave them out")
    if not withdraw and (epsilon_micros is None or delta_attos is None):
        raise ConfigurationError("--epsilon, --delta: missing; say both, or --withdraw")
    if not withdraw and (until_s is None) is (days is None):
        raise ConfigurationError("--until, --days: name one of them, so that the grant ends")
    if epsilon_micros == 0:
        raise ConfigurationError("--epsilon: 0 admits no job; grant more, or --withdraw")
    network = open_access(access)
    budgets, now_s = Budgets(network.chain, network.deployment), network.chain.timestamp()
    dataset = known_dataset(budgets, number)
    granted, end_s = NOTHING, 0
    if epsilon_micros is not None and delta_attos is not None:
        granted = Budget(epsilon_micros=epsilon_micros, delta_attos=delta_attos)
        end_s = arguments.end_of_day_s(now_s, days) if days is not None else until_s or 0
        if end_s <= now_s:
            raise ConfigurationError(f"--until: that day was over at {moment(end_s)}; name a later one")
    found = budgets.dataset_at(dataset)
    changed = (found.granted, found.valid_until_s) != (granted, end_s)
    if changed:
        network.sender().act(budgets.grant_budget(dataset, granted, end_s))
        found = budgets.dataset_at(dataset)
    what = f"grants {granted} until {moment(end_s)}" if end_s else "grants nothing any more"
    line = f"dataset {number} {what}; {found.remaining} are left"
    told = {"granted": amounts.data(granted), "remaining": amounts.data(found.remaining), "until_s": end_s}
    tell(as_json, {"changed": changed, "dataset": number, **told}, [line])


@group.command("return")
@click.argument("number", type=int)
@click.option("--node", type=arguments.address, help="The member (you).")
@click.option(
    "--epsilon", "epsilon_micros", type=amounts.epsilon, required=True, help="What its accountant says it spent."
)
@click.option("--delta", "delta_attos", type=amounts.delta, required=True, help="The same of delta.")
@access_option
@json_option
def give_back(
    number: int, node: Address | None, epsilon_micros: int, delta_attos: int, access: Path | None, as_json: bool
) -> None:
    """Free what a member of job NUMBER reserved and did not spend, once the job is over or the member left it.

    For the member and the dataset's owner. A node does it by itself, by its accountant, unless its journal was lost. It
    is said once; the contract takes no less than the share of the rounds up to the member's last commit.

    Example: domicile dataset return 1 --epsilon 0.7 --delta 1e-5

    Exit codes: 0 returned (now or before), 2 an argument is wrong or there is no such job, 3 the contract refused
    (nothing was reserved, the job is not over, or the figures cannot be), 5 the endpoint failed.
    """
    from domicile.chain.contracts import Budgets
    from domicile.protocol.budget import Budget, budget_of
    from scripts.access import open_access
    from scripts.telling import tell

    network = open_access(access)
    job, member = network.known_job(number), node or network.address
    budgets = Budgets(network.chain, network.deployment)
    told = {"job": number, "node": member}
    if budgets.has_returned(job, member):
        tell(as_json, {"changed": False, **told}, [f"the reservation of {member} in job {number} ended already"])
        return
    spent = Budget(epsilon_micros=epsilon_micros, delta_attos=delta_attos)
    network.sender().act(budgets.return_budget(job, member, spent))
    unspent = budget_of(network.jobs.parameters_of(job)) - spent
    line = f"{member} spent {spent} in job {number}; {unspent} are free again"
    tell(as_json, {"changed": True, **told, "spent": amounts.data(spent), "returned": amounts.data(unspent)}, [line])


@group.command()
@click.argument("number", type=int, required=False)
@access_option
@json_option
def status(number: int | None, access: Path | None, as_json: bool) -> None:
    """Tell what a dataset (or every one) grants, what jobs reserved of it, and what is left. Needs no key.

    Example: domicile dataset status 1

    Exit codes: 0 told, 2 there is no such dataset or the access file is wrong, 4 the record does not hold, 5 the
    endpoint failed.
    """
    from domicile.chain.contracts import Budgets
    from scripts.access import open_access
    from scripts.datasets import known_dataset, read_datasets
    from scripts.telling import tell

    network = open_access(access)
    wanted = None if number is None else known_dataset(Budgets(network.chain, network.deployment), number)
    found = [one for one in read_datasets(network) if wanted in (None, one.number)]
    lines = [line for one in found for line in _lines(one)] or ["no dataset is registered yet"]
    tell(as_json, {"datasets": [_data(one) for one in found]}, lines)


def _lines(found: DatasetStanding) -> list[str]:
    from scripts.wording import moment

    one = found.dataset
    grant = f"until {moment(one.valid_until_s)}" if one.valid_until_s else "nothing is granted"
    lines = [
        f"dataset {found.number}, held by {one.holder}, of {one.owner}",
        f"  granted {one.granted} ({grant})",
        f"  left    {one.remaining}",
    ]
    for part in found.reservations:
        if part.returned is None:
            lines.append(f"  job {part.job} reserves {part.reserved}")
        else:
            lines.append(f"  job {part.job} spent {part.reserved - part.returned}")
    return lines


def _data(found: DatasetStanding) -> dict[str, object]:
    one = found.dataset
    return {
        "dataset": found.number,
        "owner": one.owner,
        "holder": one.holder,
        "commitment": found.commitment.hex(),
        "granted": amounts.data(one.granted),
        "reserved": amounts.data(one.reserved),
        "remaining": amounts.data(one.remaining),
        "until_s": one.valid_until_s,
        "jobs": [
            {
                "job": part.job,
                "reserved": amounts.data(part.reserved),
                "returned": None if part.returned is None else amounts.data(part.returned),
            }
            for part in found.reservations
        ],
    }
