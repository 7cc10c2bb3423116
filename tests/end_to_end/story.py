"""What befalls a network while its job runs, told in order: a generator that gets each look at the job."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator
from pathlib import Path

from domicile.protocol.round import JobPhase, ShardPhase
from scripts.view import JobView
from tests.end_to_end.conftest import Arena

Story = Generator[None, JobView, None]


class Teller:
    """Tells a story, look by look; `over` once it has come to its end."""

    def __init__(self, story: Story) -> None:
        self.over = False
        self._story = story
        next(story)

    def __call__(self, view: JobView) -> None:
        if not self.over:
            try:
                self._story.send(view)
            except StopIteration:
                self.over = True


def until(condition: Callable[[JobView], bool]) -> Generator[None, JobView, JobView]:
    """Lets the job run on until it looks so."""
    while True:
        view = yield
        if condition(view):
            return view


def lasting(duration_s: float) -> Story:
    """Lets the job run on for a while, by the test's own clock."""
    end_s = time.monotonic() + duration_s
    yield from until(lambda view: time.monotonic() >= end_s)


def collecting(number: int) -> Callable[[JobView], bool]:
    """Whether the first shard collects updates in a global round."""
    return lambda view: (
        view.phase is JobPhase.TRAINING
        and view.global_round == number
        and view.shards[0].phase is ShardPhase.COLLECTING
    )


class Keeper:
    """Kills daemons, takes their journals away, and starts them again."""

    def __init__(self, field: Arena) -> None:
        self.field = field

    def folder(self, name: str) -> Path:
        return self.field.ground.party_folder(name)

    def kill(self, name: str) -> None:
        self.field.processes.kill(name)

    def start(self, name: str, *, process: str = "") -> Path:
        """Starts a daemon by its configuration; `process` is another name for a second one. Returns the log."""
        folder, kind = self.folder(name), "node" if len(name) == 1 else "aggregator"
        log = folder / f"{process or 'log'}.jsonl"
        self.field.processes.start(process or name, kind, folder / f"{kind}.toml", log)
        return log

    def between(self, number: int, act: Callable[[], None]) -> Story:
        """Acts when nobody trains any more in a global round, and not yet in the next one: the only member of the
        global committee is dead meanwhile. MUST be reached before the round is merged.
        """
        self.kill("global-1")
        yield from until(lambda view: view.phase is JobPhase.MERGING and view.global_round == number)
        act()
        self.start("global-1")

    def pass_time(self, until_s: int) -> None:
        """Moves the chain's clock on."""
        self.field.ground.chain.request("evm_setNextBlockTimestamp", until_s)
        self.field.ground.chain.request("evm_mine")

    def lose_journal(self, name: str) -> None:
        for file in self.folder(name).glob("journal.sqlite*"):
            if file.is_file():
                file.unlink()

    def ended(self, process: str) -> int:
        """Exit code of a process that ends by itself."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if (code := self.field.processes.ended().get(process)) is not None:
                return code
            time.sleep(0.1)
        raise AssertionError(f"{process} did not end")

    def causes(self, *names: str) -> list[str]:
        """What daemons gave as causes of faults."""
        return [str(line["cause"]) for name in names for line in self.logged(name, "fault")]

    def logged(self, name: str, event: str) -> list[dict[str, object]]:
        lines = (self.folder(name) / "log.jsonl").read_text().splitlines()
        found = [json.loads(line) for line in lines if line.startswith("{")]
        return [line for line in found if line["event"] == event]
