from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from tests.contracts.cast import JOINING, Cast
from tests.contracts.ground import code, create_job, parameters, refused, shard_of


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spec", b""),
        ("joinWindowS", 0),
        ("joinWindowS", 2**32 - 1),
        ("collectWindowS", 0),
        ("collectWindowS", 2**32 - 1),
        ("globalRounds", 0),
        ("minRegionalRounds", 0),
        ("maxRegionalRounds", 0),
        ("patience", 0),
        ("minNodes", 1),
        ("minContributors", 2),
        ("minShards", 0),
        ("minShards", 3),
        ("maxTier", 0),
        ("maxTier", 4),
    ],
)
def test_a_senseless_parameter_is_refused_by_name(cast: Cast, name: str, value: Any) -> None:
    assert refused(lambda: cast.job(**{name: value})) == ("InvalidParameter", (name.encode().ljust(32, b"\0"),))


@pytest.mark.parametrize(
    ("epsilon", "delta", "name"), [(0, 1, b"epsilonMicros"), (1, 10**18, b"deltaAttos"), (1, 2**64 - 1, b"deltaAttos")]
)
def test_a_budget_that_is_none_is_refused_by_name(cast: Cast, epsilon: int, delta: int, name: bytes) -> None:
    answer = refused(lambda: cast.job(epsilonMicros=epsilon, deltaAttos=delta))
    assert answer == ("InvalidParameter", (name.ljust(32, b"\0"),))


@pytest.mark.parametrize(
    ("members", "quorum", "name"),
    [
        ([], 1, b"committee"),
        (["0x" + "00" * 20], 1, b"committee"),
        (["0x" + "11" * 20] * 2, 1, b"committee"),
        ([f"0x{number:040x}" for number in range(1, 34)], 1, b"committee"),
        (["0x" + "11" * 20], 0, b"quorum"),
        (["0x" + "11" * 20], 2, b"quorum"),
    ],
)
def test_a_committee_that_cannot_work_is_refused(cast: Cast, members: list[str], quorum: int, name: bytes) -> None:
    whole = {"members": cast.us_committee, "quorum": 1}
    broken = {"members": members, "quorum": quorum}
    ok, bad = shard_of("EU", cast.us_committee), {"jurisdiction": code("EU"), "committee": broken}
    for shards, committee in (([ok], broken), ([bad], whole)):
        answer = refused(lambda: create_job(cast.ground, cast.owner, shards, committee))  # noqa: B023
        assert answer == ("InvalidParameter", (name.ljust(32, b"\0"),))


@pytest.mark.parametrize("places", [(), ("EU",) * 2, ("EU", "DE"), ("DE", "IN", "EU"), ("EU",) * 33])
def test_no_shard_lies_in_another_one(cast: Cast, places: tuple[str, ...]) -> None:
    shards = [shard_of(place, cast.us_committee) for place in places]
    committee = {"members": cast.us_committee, "quorum": 1}
    answer = refused(lambda: create_job(cast.ground, cast.owner, shards, committee))
    assert answer == ("InvalidParameter", (b"shards".ljust(32, b"\0"),))


def test_places_of_a_job_must_be_listed(cast: Cast) -> None:
    committee = {"members": cast.us_committee, "quorum": 1}
    shards = [shard_of("ZZ", cast.us_committee)]
    unknown = ("UnknownJurisdiction", (code("ZZ"),))
    assert refused(lambda: create_job(cast.ground, cast.owner, shards, committee)) == unknown
    assert refused(lambda: cast.job(denied=[code("ZZ")])) == unknown


def test_a_job_that_was_never_created_is_named_by_every_function(cast: Cast) -> None:
    jobs, unknown = cast.ground.jobs, cast.ground.jobs.call("numJobs") + 1
    functions = jobs.functions_of("id")
    assert {"join", "commit", "voteGlobal", "advance", "memberOf", "snapshot"} < set(functions)
    for name in functions:
        for number in (0, unknown):
            answer = refused(lambda: jobs.try_out(cast.europe[0], name, id=number))  # noqa: B023
            assert answer == ("UnknownJob", (number,)), name


def test_a_shard_that_the_job_has_not_is_named_by_every_function(cast: Cast) -> None:
    jobs, joining, training = cast.ground.jobs, cast.job(), cast.training()
    functions = jobs.functions_of("id", "index")
    assert {"join", "voteRegional", "reportExport", "advanceShard", "shardState"} < set(functions)
    for name in functions:
        job = joining if name == "join" else training
        for index in (2, 255):
            answer = refused(lambda: jobs.try_out(cast.europe[0], name, id=job.id, index=index))  # noqa: B023
            assert answer == ("UnknownShard", (job.id, index)), name


def test_creating_tells_everything(cast: Cast) -> None:
    job = cast.job(denied=[code("FR"), code("BR")])
    assert job.receipt.names() == ["JobCreated", "ShardCreated", "ShardCreated", "JobPhaseChanged"]
    given = parameters(denied=[code("FR"), code("BR")])
    shards = [shard_of("EU", cast.eu_committee, 2), shard_of("US", cast.us_committee)]
    worldwide = {"members": [cast.eu_committee[0], cast.us_committee[0]], "quorum": 1}
    assert [event.values for event in job.receipt.events] == [
        {"job": job.id, "owner": cast.owner, "parameters": given, "globalCommittee": worldwide},
        *({"job": job.id, "shard": index, "parameters": shard} for index, shard in enumerate(shards)),
        cast.job_phase(job, JOINING, window_s=1000),
    ]
    assert (job.call("parametersOf"), job.call("ownerOf")) == (given, cast.owner)
    assert job.call("globalCommitteeOf") == worldwide
    assert [job.call("committeeOf", index) for index in (0, 1)] == [shard["committee"] for shard in shards]
    index = lambda place: cast.ground.nodes.call("indexOf", code(place))  # noqa: E731
    denied = 1 << index("FR") | 1 << index("BR")
    assert job.call("requirementOf", 0) == {
        "allowed": 1 << index("EU"), "denied": denied, "maxTier": 2, "sensitivity": 2, "safeguards": 1,
    }  # fmt: skip
    assert job.call("globalRequirementOf") == {
        "allowed": 2**256 - 2, "denied": denied, "maxTier": 2, "sensitivity": 0, "safeguards": 0,
    }  # fmt: skip
    assert job.state["deadline"] == cast.ground.chain.now + 1000
    assert cast.ground.jobs.call("numJobs") == job.id


def test_joining_is_refused_by_the_gate_with_the_reason(cast: Cast) -> None:
    job = cast.job(denied=[code("FR")])
    outsider, unregistered = cast.ground.people[10], cast.stranger
    assert refused(lambda: job.join(outsider, 0)) == ("NotEligible", (outsider, 3))
    assert refused(lambda: job.join(unregistered, 0)) == ("NotEligible", (unregistered, 1))
    assert refused(lambda: job.join(cast.europe[0], 1)) == ("NotEligible", (cast.europe[0], 3))


def test_joining_has_an_end_and_happens_once(cast: Cast) -> None:
    job = cast.job()
    node = cast.europe[0]
    assert refused(lambda: job.join(node, 2)) == ("UnknownShard", (job.id, 2))
    assert job.join(node, 0).event("MemberJoined") == {"job": job.id, "shard": 0, "node": node, "dataset": 0}
    assert job.call("memberOf", node)["joined"]
    assert refused(lambda: job.join(node, 0)) == ("AlreadyMember", (node,))
    deadline = job.state["deadline"]
    cast.ground.chain.to(deadline - 1)
    job.join(cast.europe[1], 0)
    cast.ground.chain.to(deadline)
    assert refused(lambda: job.join(cast.europe[2], 0)) == ("WindowClosed", (deadline, deadline))
    assert refused(lambda: job.send(cast.owner, "start")) == ("WindowClosed", (deadline, deadline))


def test_a_shard_holds_256_members(cast: Cast) -> None:
    job = cast.job()
    base = int.from_bytes(keccak(encode(["uint256", "uint256"], [job.id, 1])), "big") + 12
    slot = "0x" + keccak(encode(["uint256", "uint256"], [0, base])).hex()
    chain = cast.ground.chain
    word_now = int(chain.rpc("eth_getStorageAt", cast.ground.jobs.address, slot, "latest"), 16)
    full = word_now | 256 << 80
    chain.rpc("anvil_setStorageAt", cast.ground.jobs.address, slot, "0x" + full.to_bytes(32, "big").hex())
    assert job.shard()["numMembers"] == 256
    assert refused(lambda: job.join(cast.europe[0], 0)) == ("ShardFull", (0,))


def test_who_left_while_joining_may_join_another_shard(cast: Cast) -> None:
    job = cast.job()
    node = cast.europe[0]
    assert refused(lambda: job.send(node, "leave")) == ("NotMember", (node,))
    job.join(node, 0)
    assert job.send(node, "leave").event("MemberLeft") == {"job": job.id, "shard": 0, "node": node}
    assert job.shard()["numMembers"] == 0
    job.join(node, 0)
    assert job.shard()["numMembers"] == 1
