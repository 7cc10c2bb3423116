"""Gas of every action that a participant pays for, on a fresh development chain."""

from __future__ import annotations

from typing import Any

from domicile.chain.devnet import Devnet
from tests.contracts.ground import Chain, Ground, Job, code, create_job, deploy, settle_places, shard_of, word

LIMITS = {
    "register + attest, 3 of 7": 200_000,
    "join": 80_000,
    "commit, first of round": 60_000,
    "commit, between": 60_000,
    "commit, last (closes the round)": 60_000,
    "commit, first after a move": 60_000,
    "ban, 1 node": 35_000,
    "ban, 50 nodes": 35_000,
}
"""What no figure may exceed; named in the project's goals."""


def measure() -> dict[str, int]:
    """Gas of whole transactions by action."""
    with Devnet(num_accounts=72) as devnet:
        chain = Chain(devnet.rpc_url)
        ground = deploy(chain)
        settle_places(ground, quorum=3)
        figures = {"deploy NodeRegistry + TrainingJobs": _deployment(ground)}
        figures |= _registration(ground)
        figures |= _rounds(ground)
        figures |= _bans(ground)
        chain.close()
        return figures


def _deployment(ground: Ground) -> int:
    total = 0
    for number in range(1, 4):
        block = ground.chain.rpc("eth_getBlockByNumber", hex(number), True)
        receipt = ground.chain.rpc("eth_getTransactionReceipt", block["transactions"][0]["hash"])
        total += int(receipt["gasUsed"], 16) if number > 1 else 0
    return total


def _registration(ground: Ground) -> dict[str, int]:
    node, signers = ground.people[0], ground.attesters[:3]
    listed = ground.list_place("ZA")
    register = ground.nodes.send(node, "register", word(1), 1).gas_used
    first = ground.attest(node, "DE", signers).gas_used
    renewal = ground.attest(node, "DE", signers).gas_used
    arguments = (node, 2, word(2), ground.chain.now + 10_000_000)
    return {
        "list a jurisdiction": listed.gas_used,
        "register": register,
        "attest, 3 of 7, first": first,
        "register + attest, 3 of 7": register + first,
        "attest, 3 of 7, renewal": renewal,
        "clear": ground.nodes.send(ground.governor, "clear", *arguments).gas_used,
        "clear, renewal": ground.nodes.send(ground.governor, "clear", *arguments).gas_used,
    }


def _admit(ground: Ground, account: str, place: str) -> None:
    ground.nodes.send(account, "register", word(1), 1)
    ground.attest(account, place, ground.attesters[:3])
    ground.nodes.send(ground.governor, "clear", account, 2, word(2), ground.chain.now + 10_000_000)


def _rounds(ground: Ground) -> dict[str, int]:
    """Two shards of four nodes, quorum 2 in the first and 1 in the second; the second regional round is measured.

    The job has a deny list, so that every check is made.
    """
    europe, america = ground.people[0:4], ground.people[4:8]
    a, b, c = ground.people[8:11]
    for account in [*europe[1:], a, b]:
        _admit(ground, account, "DE")
    for account in [*america, c]:
        _admit(ground, account, "US-CA")
    shards = [shard_of("EU", [a, b], 2), shard_of("US", [c], 1)]
    changes = {"minRegionalRounds": 2, "maxRegionalRounds": 2, "denied": [code("BR")]}
    job = create_job(ground, ground.governor, shards, {"members": [a, c], "quorum": 2}, **changes)
    figures = {"create a job of two shards": job.receipt.gas_used}
    joins = [job.join(node, shard).gas_used for shard, group in enumerate((europe, america)) for node in group]
    figures["join"] = max(joins[1:])
    figures["start"] = job.send(ground.governor, "start").gas_used
    for round_number in range(2):
        commits = [job.commit(node).gas_used for node in europe]
        for node in america:
            job.commit(node)
        figures["commit, first of round"] = commits[0]
        figures["commit, between"] = max(commits[1:-1])
        figures["commit, last (closes the round)"] = commits[-1]
        model = word(round_number + 50)
        figures["voteRegional, quorum 2, first"] = job.vote(a, 0, model=model).gas_used
        figures["voteRegional, quorum 2, accepts"] = job.vote(b, 0, model=model).gas_used
        figures["voteRegional, quorum 1"] = job.vote(c, 1, model=model).gas_used
    figures["reportExport"] = job.export(a, 0).gas_used
    figures["reportExport, last of round"] = job.export(c, 1).gas_used
    figures["voteGlobal, first"] = job.vote_global(a).gas_used
    figures["voteGlobal, accepts (opens a round)"] = job.vote_global(c).gas_used
    figures |= _moving_and_leaving(ground, job, europe) | _budgets(ground, shards, europe[1])
    return figures | _unmasking(ground, shards, europe)


def _moving_and_leaving(ground: Ground, job: Job, nodes: list[str]) -> dict[str, int]:
    """A member that was attested elsewhere since its last commit has the deny list compared anew, once."""
    ground.attest(nodes[1], "FR", ground.attesters[:3])
    return {
        "commit, first after a move": job.commit(nodes[1]).gas_used,
        "leave": job.send(nodes[0], "leave").gas_used,
    }


def _budgets(ground: Ground, shards: list[dict[str, Any]], node: str) -> dict[str, int]:
    """A dataset that another job reserved of before, so that no slot of it is fresh."""
    committee = {"members": ground.people[8:9], "quorum": 1}
    ledger = ground.budgets
    register = ledger.send(node, "registerDataset", word(70), node).gas_used
    grant = [ledger.send(node, "grantBudget", 1, 10**7, 10**13, ground.chain.now + 10**7).gas_used for _ in range(2)]
    changes = {"denied": [code("BR")], "epsilonMicros": 10**6, "deltaAttos": 10**12}
    jobs = [create_job(ground, ground.governor, shards, committee, **changes) for _ in range(3)]
    joins = [job.join(node, 0, 1).gas_used for job in jobs]
    jobs[1].send(ground.governor, "cancel")
    return {
        "register a dataset": register,
        "grant a budget": grant[0],
        "grant a budget, renewal": grant[1],
        "join, with a budget": joins[-1],
        "leave, before the start with a budget": jobs[0].send(node, "leave").gas_used,
        "return a budget": ledger.send(node, "returnBudget", jobs[1].id, node, 0, 0).gas_used,
    }


def _unmasking(ground: Ground, shards: list[dict[str, Any]], nodes: list[str]) -> dict[str, int]:
    """One of four updates is left out; the second round of a job is measured, and the first beside it."""
    a, b = shards[0]["committee"]["members"]
    for account in (*nodes, a, b):
        ground.nodes.send(account, "updateKeyCard", word(1), 3)
    changes = {"denied": [code("BR")], "safeguards": 3, "minRegionalRounds": 2, "maxRegionalRounds": 2}
    job = create_job(ground, ground.governor, shards, {"members": [a], "quorum": 1}, **changes)
    for node in nodes:
        job.join(node, 0)
    job.send(ground.governor, "start")
    figures: dict[str, int] = {}
    for number, suffix in enumerate((", first of a job", "")):
        for node in nodes:
            job.commit(node)
        left_out = [{"node": nodes[0], "reason": 2}]
        about = {"globalRound": 0, "regionalRound": number, "commitments": job.call("commitmentsOf", 0)}
        proposal = {**about, "excluded": left_out}
        votes = [ground.board.send(one, "voteSurvivors", job.id, 0, proposal).gas_used for one in (a, b)]
        figures["voteSurvivors, quorum 2, first"] = votes[0]
        figures[f"voteSurvivors, quorum 2, agrees{suffix}"] = votes[1]
        answers = [ground.board.send(node, "unmask", job.id, 0, number, word(80 + number)) for node in nodes]
        figures[f"unmask{suffix}"] = max(answer.gas_used for answer in answers)
        for voter in (a, b):
            job.vote(voter, 0, excluded=left_out)
    return figures


def _bans(ground: Ground) -> dict[str, int]:
    def ban(place: str) -> int:
        return ground.nodes.send(ground.governor, "tighten", place.encode().ljust(8, b"\0"), 4, word(9)).gas_used

    _admit(ground, ground.people[11], "BR")
    one = ban("BR")
    for account in ground.people[12:62]:
        _admit(ground, account, "IN")
    return {"ban, 1 node": one, "ban, 50 nodes": ban("IN")}
