"""The chain: is it there, is it the right one, does its clock agree, and what will its gas cost?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domicile.chain.finality import UNCONFIRMED, reads_unconfirmed
from domicile.chain.sender import GAS_EXTRA, GAS_MARGIN, GWEI, PRIORITY_FEE_WEI
from domicile.protocol.eligibility import Safeguard
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, ok, problem, warning

CLOCK_TOLERANCE_S = 120
"""Deadlines follow the chain's clock, but logs, certificates and signatures follow this one."""

GAS = {
    "commit": 59_782,
    "unmask": 91_881,
    "voteSurvivors": 136_145,
    "voteRegional": 87_158,
    "reportExport": 77_791,
    "voteGlobal": 133_925,
}
"""The dearest case of each act, from ``contracts/gas-snapshot.json``; a test compares."""

ACTS = {"node": ("commit",), "aggregator": ("voteRegional", "reportExport", "voteGlobal")}
"""What a party sends in a round, if it is first at everything and each round is mature at once."""

MASKED_ACTS = {"node": ("unmask",), "aggregator": ("voteSurvivors",)}
"""What comes on top where updates are masked."""

WEI = 10**18


def endpoint(case: Case) -> Iterator[Finding]:
    """Whether the endpoint answers, and for the chain of the deployment file."""
    found, expected = case.chain.chain_id(), case.deployment.chain_id
    if found == expected:
        yield ok(f"chain {found}, block {case.chain.block_number()}")
        if reads_unconfirmed(found, case.config.chain.confirmations):
            yield warning(UNCONFIRMED)
    else:
        yield problem(
            f"the endpoint is chain {found}, the deployment file is for chain {expected}; correct chain.rpc_url or "
            "chain.deployment"
        )


def contracts(case: Case) -> Iterator[Finding]:
    """Whether the contracts lie there, in this software's version."""
    case.deployment.check(case.chain)
    yield ok(f"TrainingJobs at {case.deployment.training_jobs}, of this version")


def clock(case: Case) -> Iterator[Finding]:
    """Whether this machine's clock and the chain's agree."""
    ahead_s = case.chain.timestamp() - case.clock()
    if ahead_s > CLOCK_TOLERANCE_S:
        yield problem(
            f"this machine's clock is {ahead_s:.0f} s behind the chain's, {CLOCK_TOLERANCE_S} s are tolerated; set it "
            "by NTP"
        )
    elif ahead_s < -CLOCK_TOLERANCE_S:
        yield warning(
            f"the newest block is {-ahead_s:.0f} s old, {CLOCK_TOLERANCE_S} s are tolerated; is the chain alive and "
            "the endpoint in step with it? If so, set this machine's clock by NTP"
        )
    else:
        yield ok(f"within {CLOCK_TOLERANCE_S} s of the chain's")


def balance(case: Case) -> Iterator[Finding]:
    """Whether the account can pay its acts of so many rounds at the present base fee."""
    ordered = [own.history.created.parameters for own in case.own_jobs]
    ordered += [parameters for _, parameters in case.joinable_jobs]
    masked = any(Safeguard.SECURE_AGGREGATION in one.safeguards for one in ordered)
    yield from _funds(case, (*ACTS[case.role], *(MASKED_ACTS[case.role] if masked else ())))


def balance_without_jobs(case: Case) -> Iterator[Finding]:
    """The same where the account's jobs cannot be looked at: what masked updates ask for comes on top."""
    yield from _funds(case, ACTS[case.role])


def _funds(case: Case, acts: Sequence[str]) -> Iterator[Finding]:
    head = case.chain.request("eth_getBlockByNumber", "latest", False)
    base_fee_wei = int(head["baseFeePerGas"], 16)
    cap_wei = int(case.config.chain.max_fee_gwei * GWEI)
    if base_fee_wei + PRIORITY_FEE_WEI > cap_wei:
        yield problem(
            f"the base fee is {base_fee_wei / GWEI:.3g} gwei, so that chain.max_fee_gwei of {cap_wei / GWEI:g} lets "
            "nothing be sent; wait for it to fall, or raise the cap"
        )
    held_wei = int(case.chain.request("eth_getBalance", case.address, "latest"), 16)
    gas = [GAS[act] for act in acts]
    round_wei = sum(gas) * (base_fee_wei + PRIORITY_FEE_WEI)
    # The chain asks that the whole limit at the highest fee be there, although less of it is used.
    deposit_wei = int(max(gas) * GAS_MARGIN + GAS_EXTRA) * min(2 * base_fee_wei + PRIORITY_FEE_WEI, cap_wei)
    num_rounds = max(0, held_wei - deposit_wei) // round_wei
    told = f"{held_wei / WEI:.6g} ether is enough for {min(num_rounds, 10**6):,} rounds at the present base fee"
    if num_rounds >= case.rounds:
        yield ok(told)
    else:
        needed_wei = deposit_wei + case.rounds * round_wei
        yield problem(
            f"{told}, {case.rounds} are asked for; send {(needed_wei - held_wei) / WEI:.3g} ether to {case.address}"
        )
