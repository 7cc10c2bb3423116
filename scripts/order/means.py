"""Whether an order's windows fit its chain, and its owner can pay for it and read what comes of it."""

from __future__ import annotations

import io
from collections.abc import Iterator

from domicile.chain.sender import GAS_EXTRA, GAS_MARGIN, GWEI, PRIORITY_FEE_WEI
from domicile.errors import Refused
from domicile.registration import own_card
from domicile.storage.store import root_of
from scripts.doctor.finding import Finding, ok, problem, warning
from scripts.money import WEI, balance_wei
from scripts.order.draft import Draft
from scripts.order.span import latest_end_s
from scripts.wording import counted, moment

PACE_BLOCKS = 20
"""The newest blocks whose pace is taken for the chain's."""

FEWEST_BLOCKS = 10
"""In one window: several acts follow one another, each mined in a block of its own."""

LATER_GAS = 500_000
"""To start the job early, or to cancel it, with room to spare."""


def model(draft: Draft) -> Iterator[Finding]:
    """What is to be trained."""
    number = draft.order.model.layout.num_parameters
    yield ok(
        f"{draft.file.task.use}: {counted(number, 'parameter')}, specification {draft.order.parameters.spec.hex()}"
    )


def windows(draft: Draft) -> Iterator[Finding]:
    """Whether windows are long enough for the pace at which the chain makes blocks."""
    pace_s = _pace_s(draft)
    found = [
        warning(
            f"rounds.{key}: {window_s} s are {window_s / pace_s:.3g} blocks of this chain, {FEWEST_BLOCKS} are needed "
            "for the acts of one round to be mined; give it more"
        )
        for key in ("join_window_s", "collect_window_s")
        if (window_s := getattr(draft.file.rounds, key)) < FEWEST_BLOCKS * pace_s
    ]
    end_s = latest_end_s(draft.order.parameters, draft.record.now_s)
    yield from found or [ok(f"over by {moment(end_s)} if no round is tried again, blocks every {pace_s:.3g} s")]


def _pace_s(draft: Draft) -> float:
    head = draft.party.chain.head()
    first = max(head.number - PACE_BLOCKS, 0)
    return (head.time_s - draft.party.chain.timestamp_of(first)) / max(head.number - first, 1)


def owner(draft: Draft) -> Iterator[Finding]:
    """Whether the models can be sealed to the owner, who must be able to read what it pays for."""
    card = root_of(io.BytesIO(own_card(draft.owner, draft.party.hpke).to_bytes()))
    known = draft.record.registry.key_cards.get(draft.owner)
    if known == card:
        yield ok(f"{draft.owner} is registered with this key card")
    else:
        what = "another key card" if known else "no key card"
        yield ok(f"{draft.owner} has {what} on chain; this one is registered before the job is created")


def balance(draft: Draft) -> Iterator[Finding]:
    """Whether the account can pay for creating the job, and for starting or cancelling it later."""
    party = draft.party
    call = draft.order.call(party.jobs)
    request = {"from": draft.owner, "to": call.target, "data": "0x" + call.data.hex()}
    try:
        gas = int(party.chain.request("eth_estimateGas", request), 16)
    except Refused:
        return  # The check of the contract has told.
    base_wei = int(party.chain.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
    # The chain asks that the whole limit at the highest fee be there, although less of it is used.
    needed_wei = (int(gas * GAS_MARGIN) + GAS_EXTRA + LATER_GAS) * (2 * base_wei + PRIORITY_FEE_WEI)
    held_wei = balance_wei(party.chain, draft.owner)
    told = f"{held_wei / WEI:.6g} ether, {needed_wei / WEI:.3g} are needed at a base fee of {base_wei / GWEI:.3g} gwei"
    if held_wei >= needed_wei:
        yield ok(told)
    else:
        yield problem(f"{told}; send {(needed_wei - held_wei) / WEI:.3g} ether to {draft.owner}")
