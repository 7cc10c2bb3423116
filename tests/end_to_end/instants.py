"""Daemons that kill themselves at named instants, once each: a nursery whose children are the product's own daemons,
in which the functions around an instant are wrapped.

What is still to come is listed in a file beside a daemon's configuration; a daemon strikes an instant out and dies.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.sandbox import nursery
from scripts.sandbox.processes import Processes

ROOT = Path(__file__).resolve().parents[2]
AHEAD = "instants.json"


@dataclass(frozen=True, kw_only=True)
class Instant:
    """The `number`-th call of ``module:function`` for which `when` holds, before it or after it."""

    function: str
    after: bool = False
    number: int = 1
    when: Callable[..., bool] = lambda *_, **__: True


def sending(action: str) -> Callable[..., bool]:
    return lambda _sender, call, *_: call.action == action


def journaling(kind: str) -> Callable[..., bool]:
    return lambda _journal, _job, payload: payload.kind == kind


def into(place: str) -> Callable[..., bool]:
    return lambda blocks, *_: blocks._path.name == place


SEND = "domicile.chain.sender:Sender.send"
RECORD = "aggregator.journal:AggregatorJournal.record_payload"
PUT = "domicile.storage.directory:DirectoryBlocks.put"
INSTANTS = {
    "before training": Instant(function="node.training:LocalTrainer.train"),
    "during training": Instant(function="torch.optim:SGD.step", after=True, number=2),
    "after training": Instant(function="node.training:LocalTrainer.train", after=True),
    "update sealed, not journaled": Instant(function="node.journal:NodeJournal.record_update"),
    "update journaled, not stored": Instant(function="node.journal:NodeJournal.record_update", after=True),
    "update stored, not pinned": Instant(function=PUT, after=True, when=into("EU")),
    "update stored, not committed": Instant(function=SEND, when=sending("commit")),
    "commit sent": Instant(function=SEND, after=True, when=sending("commit")),
    "commit seen": Instant(function="domicile.chain.sender:Sender.act", after=True, when=sending("commit")),
    "before proposing": Instant(function="aggregator.regional:RegionalWork._propose"),
    "proposal sealed, not journaled": Instant(function=RECORD, when=journaling("regional")),
    "proposal stored, not voted for": Instant(function=SEND, when=sending("voteRegional")),
    "vote sent": Instant(function=SEND, after=True, when=sending("voteRegional")),
    "before confirming": Instant(function="aggregator.regional:RegionalWork._confirm"),
    "before export": Instant(function="aggregator.regional:RegionalWork._export"),
    "export sealed, not journaled": Instant(function=RECORD, when=journaling("export")),
    "export journaled, not carried": Instant(function=RECORD, after=True, when=journaling("export")),
    "export carried, not pinned": Instant(function=PUT, after=True, when=into("border")),
    "export carried, not in the ledger": Instant(function=SEND, when=sending("reportExport")),
    "report sent": Instant(function=SEND, after=True, when=sending("reportExport")),
    "while merging globally": Instant(function="aggregator.worldwide:GlobalWork._open_export", after=True),
    "global model sealed, not journaled": Instant(function=RECORD, when=journaling("global")),
    "global model stored, not voted for": Instant(function=SEND, when=sending("voteGlobal")),
    "global vote sent": Instant(function=SEND, after=True, when=sending("voteGlobal")),
}
ANSWER = "node.journal:NodeJournal.record_answer"
MASKED_INSTANTS = {
    "masked, not journaled": Instant(function="node.masking:Masking.mask", after=True),
    "answer sealed, not journaled": Instant(function=ANSWER),
    "answer journaled, not stored": Instant(function=ANSWER, after=True),
    "answer stored, not on the board": Instant(function=SEND, when=sending("unmask")),
    "answer sent to the board": Instant(function=SEND, after=True, when=sending("unmask")),
    "summed, no vote for survivors": Instant(function=SEND, when=sending("voteSurvivors")),
    "vote for survivors sent": Instant(function=SEND, after=True, when=sending("voteSurvivors")),
    "unmasked, not merged": Instant(function="domicile.secure_sum.unmasking:MaskedSum.finish", after=True),
}
"""Those of rounds whose updates are masked."""

ALL = INSTANTS | MASKED_INSTANTS


class DyingProcesses(Processes):
    """Daemons with instants ahead of them, and a hand that starts again whoever died of one."""

    def __init__(self) -> None:
        super().__init__()
        self._started: dict[str, tuple[str, Path, Path]] = {}
        self.deaths: list[str] = []

    def open(self) -> None:
        if self._nursery is None:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "tests.end_to_end.instants"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
                cwd=ROOT,
            )

    def start(self, name: str, role: str, config: Path, log: Path) -> None:
        self._started[name] = (role, config, log)
        super().start(name, role, config, log)

    def doom(self, name: str, instants: list[str]) -> None:
        """Starts a daemon anew with instants ahead of it."""
        _write_ahead(self._started[name][1].parent, instants)
        self.kill(name)
        self.start(name, *self._started[name])

    def ahead(self, name: str) -> list[str]:
        return _read_ahead(self._started[name][1].parent)

    def revive(self) -> None:
        """Starts again whoever was killed."""
        for name, code in self.ended().items():
            assert code == -signal.SIGKILL, f"{name} ended with exit code {code}"
            self.deaths.append(name)
            del self._ended[name]
            self.start(name, *self._started[name])


def _read_ahead(folder: Path) -> list[str]:
    file = folder / AHEAD
    ahead: list[str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return ahead


def _write_ahead(folder: Path, instants: list[str]) -> None:
    assert set(instants) <= ALL.keys()
    (folder / AHEAD).write_text(json.dumps(instants), encoding="utf-8")


def _arm(folder: Path, name: str) -> None:
    instant = ALL[name]
    module, path = instant.function.split(":")
    owner: Any = importlib.import_module(module)
    *outer, attribute = path.split(".")
    for part in outer:
        owner = getattr(owner, part)
    function = getattr(owner, attribute)
    calls = 0

    def reached(arguments: tuple[Any, ...]) -> None:
        nonlocal calls
        calls += instant.when(*arguments)
        if instant.when(*arguments) and calls == instant.number:
            _write_ahead(folder, [one for one in _read_ahead(folder) if one != name])
            os.kill(os.getpid(), signal.SIGKILL)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        if not instant.after:
            reached(arguments)
        result = function(*arguments, **named)
        if instant.after:
            reached(arguments)
        return result

    setattr(owner, attribute, wrapped)


def main() -> None:
    ordinary = nursery._run_daemon

    def run_daemon(role: str, config: Path, log_file: Path) -> Any:
        for name in _read_ahead(config.parent):
            _arm(config.parent, name)
        ordinary(role, config, log_file)

    nursery._run_daemon = run_daemon  # type: ignore[assignment]
    nursery.main()


if __name__ == "__main__":
    main()
