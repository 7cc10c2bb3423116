"""What `domicile job status` says of a real network's job that does not go on, from its creation to its failure."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import pytest
from click.testing import CliRunner

from domicile.chain.contracts import Nodes
from domicile.protocol.round import JobPhase, ShardPhase
from domicile.types import Digest
from scripts.command import cli
from scripts.participating import gaps_of
from scripts.sandbox.bring_up import OWNER, write_access
from scripts.sandbox.finish import build_report
from scripts.view import JobView

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

WINDOW_S = 600
"""Seconds of the chain's clock, which the test moves on."""

GRACE_S = WINDOW_S // 3
"""For so long nodes leave it to others to advance a deadline that is over."""


class Status:
    """The command, as an operator of the network calls it."""

    def __init__(self, field) -> None:
        write_access(field.plan, field.ground)
        self._access = ["--access", str(field.ground.access_file)]

    def data(self) -> dict:
        return json.loads(self.run("status", "1", "--json"))

    def text(self) -> str:
        return self.run("status", "1")

    def run(self, *arguments: str) -> str:
        told = CliRunner().invoke(cli, ["job", *arguments, *self._access], catch_exceptions=False)
        assert told.exit_code == 0, told.output
        return told.output


class Standstill:
    """Stops a network step by step and keeps what the status said at each standstill."""

    def __init__(self, field) -> None:
        self._field = field
        self._status = Status(field)
        self._steps: list[tuple[str, Callable[[JobView], bool], Callable[[], None]]] = [
            ("joining", lambda view: view.phase is JobPhase.JOINING, self._nothing),
            ("joined", lambda view: {"d"} <= set(view.shards[0].members) and "z" in view.shards[1].members, self._kill),
            ("collecting", lambda view: [len(one.committed) for one in view.shards] == [3, 2], self._suspend),
            ("suspended", self._training, self._let_collecting_end),
            ("aggregating", self._is_aggregating_beside_a_stalled_shard, self._move_on),
        ]
        self.text: dict[str, str] = {}
        self.data: dict[str, dict] = {}

    def __call__(self, view: JobView) -> None:
        if not self._steps:
            return
        name, is_there, act = self._steps[0]
        if is_there(view):
            self._steps.pop(0)
            self.text[name], self.data[name] = self._status.text(), self._status.data()
            act()

    def after(self) -> None:
        self.text["failed"], self.data["failed"] = self._status.text(), self._status.data()

    def run(self, *arguments: str) -> str:
        return self._status.run(*arguments)

    def _training(self, view: JobView) -> bool:
        return view.phase is JobPhase.TRAINING

    def _is_aggregating_beside_a_stalled_shard(self, view: JobView) -> bool:
        return [one.phase for one in view.shards] == [ShardPhase.AGGREGATING, ShardPhase.STALLED]

    def _nothing(self) -> None: ...

    def _kill(self) -> None:
        for name in ("d", "z", "agg-1"):
            self._field.processes.kill(name)

    def _suspend(self) -> None:
        governor = self._field.governor()
        nodes = Nodes(self._field.ground.chain, self._field.ground.deployment)
        governor.act(nodes.suspend(self._field.ground.addresses["d"], Digest(b"\1" * 32)))

    def _let_collecting_end(self) -> None:
        self._move_on()

    def _move_on(self) -> None:
        chain = self._field.ground.chain
        chain.request("evm_increaseTime", WINDOW_S + GRACE_S)
        chain.request("evm_mine")


@pytest.fixture
def standstill(arena, small_network):
    network = small_network(us_nodes=("x", "y", "z"), global_rounds=1, window_s=WINDOW_S, max_retries=0)
    network.extra_job = "min_shards = 1"
    field = arena(network)
    stopped = Standstill(field)
    stopped.outcome = field.run(stopped)
    stopped.after()
    return stopped


def test_a_job_that_stands_still_says_at_each_moment_what_it_waits_for_and_in_the_end_why_it_failed(standstill):
    text, data = standstill.text, standstill.data

    (wait,) = data["joining"]["waits_for"]
    assert (wait["awaited"], wait["place"]) == ("members", "")
    assert wait["until_s"] > wait["since_s"] > time.time() - 3600
    assert "waits for members to join: EU has " in text["joining"]
    assert f"data holders by joining; the owner ({OWNER}) by " in text["joining"]

    eu, us = data["collecting"]["waits_for"]
    assert (eu["place"], eu["awaited"], eu["from"]) == ("EU", "updates", ["d"])
    assert (us["place"], us["awaited"], us["from"]) == ("US", "updates", ["z"])
    assert eu["until_s"] - eu["since_s"] == WINDOW_S
    assert eu["refused"] == []
    assert eu["at_deadline"] == "its committee goes on with the 3 updates that are there"
    assert us["at_deadline"] == "the shard stalls (too few updates): the others go on"
    assert f"  can end it: d by committing; the owner ({OWNER}) by `domicile job cancel 1`" in text["collecting"]

    (refused,) = data["suspended"]["waits_for"][0]["refused"]
    assert (refused["name"], refused["reason"], refused["place"]) == ("d", "suspended", "FR")
    told = "  d is refused by the gate: SUSPENDED; mend: an auditor must reinstate it"
    assert told in text["suspended"].splitlines()
    assert data["suspended"]["cannot_go_on"] == []

    (votes,) = data["aggregating"]["waits_for"]
    assert (votes["place"], votes["awaited"], votes["from"]) == ("EU", "votes", ["agg-1"])
    assert votes["at_deadline"] == "the shard stalls (no quorum): the job fails"
    assert "US, round 1.1: stalled (too few updates)" in text["aggregating"]
    assert "it trains again only if this global round, the last, is tried again" in text["aggregating"]
    told = "EU round 1.1: 0 of 1 merged; d did not commit, refused by the gate (suspended)"
    assert told in text["aggregating"]

    failed = data["failed"]
    assert (failed["phase"], failed["waits_for"], failed["cannot_go_on"]) == ("failed", [], [])
    assert failed["over_because"] == (
        "0 of at least 1 shard reported in global round 1: EU stalled (no quorum); US stalled (too few updates); "
        "no retry was left"
    )
    assert failed["over_because"] in text["failed"]

    participation = standstill.outcome.observer.participation()
    vain = "0 of 4 merged; a, b, c committed in vain (no quorum)"
    gone = "not in the global model, since the shard stalled"
    assert {where: sorted(told.split("; ")) for where, told in gaps_of(participation)} == {
        "EU round 1.1": sorted([*vain.split("; "), "d did not commit, refused by the gate (suspended)"]),
        "EU round 1": [f"{gone} (no quorum), with its 4 members: a, b, c, d"],
        "US round 1.1": ["0 of 3 merged", "x, y committed in vain (too few updates)", "z did not commit"],
        "US round 1": [f"{gone} (too few updates), with its 3 members: x, y, z"],
    }
    assert build_report(standstill.outcome).participation == list(participation)
    lineage = json.loads(standstill.run("lineage", "1", "--json"))
    accounts = {account: name for name, account in standstill.outcome.ground.addresses.items()}
    lost = lineage["participation"][0]["shards"][0]["rounds"][0]["left_out"]
    assert {accounts[one["node"]]: one["reason"] for one in lost} == {
        **dict.fromkeys("abc", "no_quorum"),
        "d": "suspended",
    }
