"""A journal that was rebuilt: what the last life may have done in rounds that were open by then stays undone."""

from __future__ import annotations

from pathlib import Path

import pytest

from domicile.chain import events as ev
from domicile.errors import ConfigurationError
from domicile.history import RegionalKey
from domicile.types import Address, Digest, ShardIndex
from node.journal import NodeJournal
from node.recovery import compare, is_of_last_life, recover
from tests.aggregator.masked_ground import MaskedGround
from tests.aggregator.regional_ground import JOB, origin

RECOVERED: RegionalKey = (ShardIndex(0), 2, 1)
EARLIER: RegionalKey = (ShardIndex(0), 1, 3)
LATER: RegionalKey = (ShardIndex(0), 2, 2)
DIGEST = Digest(b"\x05" * 32)


class Rebuilt(MaskedGround):
    """The first member's journal was lost, and is rebuilt in round 2.1."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.node: Address = self.members[0]
        self.journal: NodeJournal = self.journals[self.node]
        recover(self.journal, JOB, self.history, self.region, self.node, RECOVERED)

    def compares(self, *keys: RegionalKey) -> None:
        compare(self.journal, JOB, self.history, self.region, self.node, keys)

    def commits_in(self, key: RegionalKey) -> None:
        shard, global_round, regional_round = key
        rounds = {"global_round": global_round, "regional_round": regional_round}
        self.history.apply(ev.UpdateCommitted(**origin(), **rounds, shard=shard, node=self.node, digest=DIGEST))

    def answers_in(self, key: RegionalKey) -> None:
        shard, global_round, regional_round = key
        rounds = {"global_round": global_round, "regional_round": regional_round}
        self.history.apply(ev.Unmasked(**origin(), **rounds, shard=shard, node=self.node, digest=DIGEST))


@pytest.fixture
def rebuilt(tmp_path: Path) -> Rebuilt:
    return Rebuilt(tmp_path)


def test_it_sits_out_all_rounds_that_the_last_life_can_have_seen(rebuilt: Rebuilt) -> None:
    sits_out = [is_of_last_life(rebuilt.journal, JOB, key[1:]) for key in (EARLIER, RECOVERED, LATER)]
    assert sits_out == [True, True, False]


def test_a_journal_that_was_never_lost_sits_nothing_out(rebuilt: Rebuilt) -> None:
    whole = rebuilt.journals[rebuilt.members[1]]
    whole.record_membership(JOB)
    assert not is_of_last_life(whole, JOB, EARLIER[1:])


@pytest.mark.parametrize("key", [EARLIER, RECOVERED])
def test_what_the_last_life_sent_into_a_round_that_came_again_is_its_own(rebuilt: Rebuilt, key: RegionalKey) -> None:
    """The chain is rolled back behind the round in which the journal was rebuilt."""
    rebuilt.commits_in(key)
    rebuilt.answers_in(key)
    rebuilt.compares(key)
    update = rebuilt.journal.update(JOB, *key[1:])
    assert update is not None
    assert update.digest == DIGEST
    assert rebuilt.journal.answer(JOB, *key[1:]) is None


def test_what_came_later_and_is_not_in_the_journal_is_somebody_elses(rebuilt: Rebuilt) -> None:
    rebuilt.commits_in(LATER)
    with pytest.raises(ConfigurationError, match=r"committed an update in job 1, round 2\.2"):
        rebuilt.compares(LATER)
