"""The verdict states who took part, from a real chain's record."""

from __future__ import annotations

import pytest

from domicile.lineage import verify_lineage
from domicile.participation import Absence, GlobalParticipation, Outcome
from domicile.types import JobId
from tests.lineage.conftest import Stage

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def rounds(stage: Stage) -> tuple[GlobalParticipation, ...]:
    return verify_lineage(stage.chain, stage.deployment, JobId(1), {}).participation


def test_each_round_of_each_shard_is_told(rounds: tuple[GlobalParticipation, ...]) -> None:
    told = [[[one.regional_round for one in shard.rounds] for shard in whole.shards] for whole in rounds]
    assert told == [[[0, 1], [0, 1]], [[0, 1], [0]]]
    assert [(shard.outcome, shard.reason) for whole in rounds for shard in whole.shards] == [
        (Outcome.MERGED, ""),
        (Outcome.STALLED, "too_few_contributors"),
        (Outcome.MERGED, ""),
        (Outcome.STALLED, "too_few_updates"),
    ]


def test_who_was_left_out_is_told_with_the_reason(stage: Stage, rounds: tuple[GlobalParticipation, ...]) -> None:
    first, second = rounds
    (silent,) = first.shards[1].rounds[0].left_out
    assert (silent.node, silent.cause) == (stage.address("u3"), Absence.DID_NOT_COMMIT)
    (excluded,) = second.shards[0].rounds[0].left_out
    assert (excluded.node, excluded.cause, excluded.reason) == (stage.address("e4"), Absence.EXCLUDED, "malformed")


def test_who_left_is_not_expected_any_more(stage: Stage, rounds: tuple[GlobalParticipation, ...]) -> None:
    first, second = rounds
    assert stage.address("e5") not in first.shards[0].rounds[0].expected
    left_out = {one.node: one.cause for one in second.shards[1].rounds[0].left_out}
    assert left_out[stage.address("u3")] is Absence.LEFT
