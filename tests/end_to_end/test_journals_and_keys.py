"""Journals that are lost or damaged, and keys that two daemons have: nothing is trained or committed twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from aggregator.journal import AggregatorJournal
from domicile.protocol.round import ExclusionReason, JobPhase
from domicile.types import Digest, JobId
from node.journal import NodeJournal
from node.recovery import COMMITTED, REASON
from tests.end_to_end.conftest import SmallNetwork
from tests.end_to_end.story import Keeper, Story, Teller, collecting, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

WINDOW_S = 60
JOB = JobId(1)


class ForgetfulNetwork(SmallNetwork):
    """Parties keep the last two rounds."""

    def write(self, folder: Path) -> Path:
        super().write(folder)
        network = folder / "network.toml"
        network.write_text("kept_rounds = 2\n" + network.read_text(encoding="utf-8"), encoding="utf-8")
        return folder


def told(keeper: Keeper, found: dict[str, object]) -> Story:
    """What happens, round by round."""

    def forget(name: str) -> None:
        keeper.kill(name)
        keeper.lose_journal(name)

    yield from until(collecting(0))
    yield from keeper.between(0, lambda: forget("d"))
    yield from until(collecting(1))
    keeper.start("d")
    second = keeper.start("a", process="a-again")
    found["second"] = keeper.ended("a-again"), second.read_text()
    forget("agg-1")
    keeper.start("agg-1")
    view = yield from until(lambda view: len(view.shards[0].committed) == 3)
    keeper.pass_time(view.shards[0].deadline_s)

    yield from keeper.between(1, lambda: keeper.kill("c"))
    yield from until(lambda view: collecting(2)(view) and "d" in view.shards[0].committed)
    forget("d")
    keeper.start("d")
    yield from until(lambda view: len(keeper.logged("d", "recovered")) == 2)
    keeper.start("c")

    yield from keeper.between(2, lambda: keeper.kill("b"))
    view = yield from until(collecting(3))
    thief = keeper.field.party("b")
    thief.sender.act(thief.jobs.commit(JOB, 3, view.shards[0].regional_round, Digest(os.urandom(32))))
    log = keeper.start("b")
    found["robbed"] = keeper.ended("b"), log.read_text().splitlines()[-1]


def test_lost_journals_are_built_anew_and_a_key_serves_one_daemon(arena):
    field = arena(ForgetfulNetwork(global_rounds=4, window_s=WINDOW_S))
    keeper, found = Keeper(field), {}
    teller = Teller(told(keeper, found))
    outcome = field.run(teller)
    history = outcome.observer.history
    assert teller.over
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems

    names = {address: name for name, address in field.ground.addresses.items()}
    commits = {key[1]: [names[event.node] for event in events] for key, events in history.commits.items()}
    assert {number: sorted(nodes) for number, nodes in commits.items()} == {
        0: ["a", "b", "c", "d"],
        1: ["a", "b", "c"],
        2: ["a", "b", "c", "d"],
        3: ["a", "b", "c", "d"],
    }
    assert_the_node_sat_out_one_round(keeper, history, field.ground.addresses["d"])
    assert_the_member_knows_what_it_proposed(keeper, history, field.ground)
    assert_the_second_daemons_refused(keeper, found)
    last = history.regional_tally(
        *next((key, one.payload) for key, one in history.regional_models.items() if key[1] == 3)
    )
    assert [(names[one.node], one.reason) for one in last.proposal.excluded] == [("b", ExclusionReason.UNAVAILABLE)]


def assert_the_node_sat_out_one_round(keeper, history, address) -> None:
    journal = NodeJournal(keeper.folder("d") / "journal.sqlite")
    sealed = [line["global_round"] for line in keeper.logged("d", "sealed")]
    assert sealed == [0, 2, 3]
    assert [(one.act, one.global_round, one.reason) for one in journal.skipped(JOB)] == []
    committed = {e.global_round: e.digest for events in history.commits.values() for e in events if e.node == address}
    assert {one.global_round: one.digest for one in journal.updates(JOB)} == committed
    journal.close()
    assert [line["global_round"] for line in keeper.logged("d", "recovered")] == [1, 2]
    assert [line["reason"] for line in keeper.logged("d", "recovered")] == [REASON, COMMITTED]


def assert_the_member_knows_what_it_proposed(keeper, history, ground) -> None:
    journal = AggregatorJournal(keeper.folder("agg-1") / "journal.sqlite")
    known = {(one.kind, one.global_round): one.digest for one in journal.payloads(JOB)}
    pinned = {(one.kind, one.global_round) for one in journal.pinned_payloads(JOB)}
    journal.close()
    assert known == {
        **{("regional", key[1]): one.payload for key, one in history.regional_models.items()},
        **{("export", number): lines[0].payload for number, lines in history.exports.items()},
    }
    # Of the last two rounds of each kind; what went before was put by the life whose journal is lost.
    assert pinned == {(kind, number) for kind in ("regional", "export") for number in (2, 3)}
    pins = {file.name for file in (ground.folder / "stores" / "EU" / "pins").iterdir()}
    assert {number for (kind, number), one in known.items() if kind == "regional" and one.hex() in pins} == {2, 3}


def assert_the_second_daemons_refused(keeper, found) -> None:
    code, text = found["second"]
    assert code == 2
    assert "acts with this key already; end it first" in text
    assert "process id" in text
    code, line = found["robbed"]
    assert code == 2
    assert "somebody else acts with its key" in line
    keeper.kill("a")
    keeper.lose_journal("a")
    (keeper.folder("a") / "journal.sqlite").write_bytes(b"garbage" * 1000)
    log = keeper.start("a")
    assert keeper.ended("a") == 2
    assert "move it away" in log.read_text().splitlines()[-1]
