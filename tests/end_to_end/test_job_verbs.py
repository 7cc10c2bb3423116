"""A whole job by the verbs alone: ordered, joined and left by hand, started, watched, ended; daemons are processes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from scripts.sandbox.bring_up import write_access
from tests.verbs.job_order import job_order
from tests.verbs.network_ground import Told, domicile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 120
ORDER = job_order(
    "by the verbs",
    committees={"EU": "agg-1", "US": "agg-us"},
    global_member="global-1",
    steps=3,
    global_rounds=2,
    collect_window_s=90,
    more="[participation]\nmin_shards = 2\n",
)


class Story:
    """What the owner and the operators do, and what they are told."""

    def __init__(self, field: Any, folder: Path) -> None:
        self._field = field
        write_access(field.plan, field.ground)
        self.access = field.ground.access_file
        self.order = folder / "order.toml"
        self.order.write_text(ORDER, encoding="utf-8")

    def owner(self, *arguments: object) -> Told:
        return domicile("job", *arguments, "--access", self.access, "--json")

    def node(self, verb: str, name: str, *arguments: object) -> Told:
        config = self._field.ground.party_folder(name) / "node.toml"
        return domicile("job", verb, 1, "--config", config, "--json", *arguments)

    def told(self, verb: str, *arguments: object) -> dict[str, Any]:
        """What the owner's verb said, which went well."""
        answer = self.owner(verb, *arguments)
        assert answer.code == 0, answer.err
        return answer.data

    def shard(self, code: str) -> dict[str, Any]:
        shards = self.told("status", 1)["shards"]
        return next(one for one in shards if one["jurisdiction"] == code)

    def until(self, what: str, code: str, names: set[str]) -> None:
        """Waits until a list of the shard holds these names."""
        deadline = time.monotonic() + PATIENCE_S
        while not names <= set(self.shard(code)[what]):
            assert time.monotonic() < deadline, self.shard(code)
            time.sleep(0.5)

    def watch(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.main", "job", "watch", "1", "--access", str(self.access)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def joins_nothing_by_itself(self, name: str) -> None:
        """Starts a node's daemon anew, told so."""
        config = self._field.ground.party_folder(name) / "node.toml"
        self._field.processes.kill(name)
        config.write_text(config.read_text().replace("[jobs]", "[jobs]\njoin = []"), encoding="utf-8")
        self._field.start(name)

    def kill(self, name: str) -> None:
        self._field.processes.kill(name)


@pytest.fixture
def story(arena, small_network, tmp_path: Path) -> Story:
    network = small_network(nodes=("a", "b", "c", "d", "e"), us_nodes=("x", "y", "z"))
    return Story(arena(network), tmp_path)


def test_a_job_is_ordered_joined_watched_and_ended_by_the_verbs_alone(story: Story, tmp_path: Path) -> None:
    story.joins_nothing_by_itself("d")
    _order_once(story)
    story.until("members", "EU", {"a", "b", "c", "e"})
    story.until("members", "US", {"x", "y", "z"})
    _leave_and_join_by_hand(story)

    watching = story.watch()
    try:
        _start_with_one_node_dead(story)
        shown, _ = watching.communicate(timeout=PATIENCE_S * 2)
    finally:
        watching.kill()
        watching.wait()
    assert watching.returncode == 0, shown
    # As a change, or as all there was to see when it looked again.
    assert re.search(r"^job 1\b.*: complete", shown, re.MULTILINE), shown

    ended = story.told("status", 1)
    rounds = ended["participation"]
    assert [one["outcome"] for one in rounds] == ["merged", "merged"]
    last = {one["jurisdiction"]: one["rounds"][-1]["contributed"] for one in rounds[1]["shards"]}
    assert {code: set(names) for code, names in last.items()} == {"EU": {"a", "b", "c", "d"}, "US": {"x", "y", "z"}}
    assert story.told("cancel", 1, "--yes") == {"changed": False, "job": 1, "phase": "complete"}
    assert story.told("start", 1)["changed"] is False
    model = tmp_path / "model.safetensors"
    written = story.told("export", 1, "--out", model)
    assert (written["changed"], model.stat().st_size > 0) == (True, True)
    assert story.told("export", 1, "--out", model) == {**written, "changed": False}
    assert json.loads(story.owner("lineage", 1).out)["problems"] == []


def _order_once(story: Story) -> None:
    tried = story.told("create", story.order, "--dry-run")
    assert (tried["changed"], tried["job"]) == (False, None)
    assert {one["state"] for one in tried["findings"]} == {"ok"}
    assert story.owner("list").data == []
    made = story.told("create", story.order)
    assert (made["changed"], made["job"]) == (True, 1)
    assert made["specification"] == tried["specification"]
    again = story.told("create", story.order)
    assert (again["changed"], again["job"]) == (False, 1)
    assert story.told("create", story.order, "--again")["job"] == 2
    assert story.told("cancel", 2, "--yes") == {"changed": True, "job": 2, "phase": "cancelled"}
    assert story.told("cancel", 2, "--yes")["changed"] is False


def _leave_and_join_by_hand(story: Story) -> None:
    """`a` goes and its daemon, which joins all jobs, stays out; `d`, whose daemon joins none, comes in."""
    left = story.node("leave", "a")
    assert left.code == 0, left.err
    assert left.data["changed"]
    assert story.node("leave", "a").data["changed"] is False
    refused = story.node("join", "d", "--shard", "US")
    assert refused.code == 3
    assert "US: OUTSIDE_SHARD, it is attested for FR, outside" in refused.err
    joined = story.node("join", "d")
    assert joined.code == 0, joined.err
    assert (joined.data["changed"], joined.data["shard"]) == (True, "EU")
    assert story.node("join", "d").data["changed"] is False
    assert "a" not in story.shard("EU")["members"]
    assert story.node("join", "a", "--shard", "EU").data["changed"] is True


def _start_with_one_node_dead(story: Story) -> None:
    """Who has committed stays for the round; whose daemon is dead is taken out, and the round goes on at once."""
    story.kill("e")
    started = story.told("start", 1, "--wait-members", 3)
    assert started["changed"] is True
    assert story.told("start", 1)["changed"] is False
    story.until("committed", "EU", {"a"})
    stays = story.node("leave", "a", "--yes")
    assert stays.code == 3
    assert "AlreadyCommitted" in stays.err
    assert "leave after this round" in stays.err
    gone = story.node("leave", "e", "--yes")
    assert gone.code == 0, gone.err
    assert gone.data["changed"]
