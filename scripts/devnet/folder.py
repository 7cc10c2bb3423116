"""The folder of a development chain in the background: who holds it, with which settings, and since when.

Whoever holds the chain holds a lock on a file of the folder. The system lets go of it however the holder ends, so that
a record that was left behind, by a machine that lost its power for instance, is never taken for a running chain.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from domicile.chain.devnet import Client
from domicile.errors import ConfigurationError

LOCK_FILE = "devnet.lock"
RECORD_FILE = "devnet.json"
LOG_FILE = "devnet.log"
ASKING_S = 0.5
SETTLING_S = 90.0
"""Longer than a chain takes to come up or to go down."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DevnetOptions:
    """What a chain is started with. `state`: absolute, or `None` where it is forgotten."""

    client: Client
    block_time_s: float | None
    host: str
    port: int
    state: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A chain that is up. `pid`: of its holder."""

    options: DevnetOptions
    pid: int
    rpc_url: str

    @classmethod
    def of(cls, document: dict[str, Any]) -> Self:
        """From what `asdict` made of it."""
        return cls(**{**document, "options": DevnetOptions(**document["options"])})


class DevnetFolder:
    """Reads what the holder wrote; the holder itself also locks and writes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def log(self) -> Path:
        return self.path / LOG_FILE

    @property
    def _record(self) -> Path:
        return self.path / RECORD_FILE

    def is_held(self) -> bool:
        """Whether a holder lives."""
        try:
            with (self.path / LOCK_FILE).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def running(self) -> Running | None:
        """The chain that is up, or `None`; one that is coming up or going down is waited for.

        Raises:
            ConfigurationError: the folder cannot be read, or a holder does not come to an end.
        """
        deadline = time.monotonic() + SETTLING_S
        while self.is_held():
            found = self._read()
            if found is not None:
                return found
            if time.monotonic() > deadline:
                raise ConfigurationError(
                    f"{self.path / LOCK_FILE}: the process that locks it starts no chain and ends none; end it yourself"
                )
            time.sleep(ASKING_S / 10)
        return None

    def _read(self) -> Running | None:
        try:
            return Running.of(json.loads(self._record.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return None
        except (OSError, KeyError, TypeError, ValueError) as exc:
            raise ConfigurationError(
                f"{self._record}: cannot be read ({exc}); end the process that locks {self.path / LOCK_FILE} yourself"
            ) from exc

    def prepare(self) -> None:
        """Makes the folder, with a log to write to.

        Raises:
            ConfigurationError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self.log.touch()
        except OSError as exc:
            raise ConfigurationError(f"{self.path} cannot be written ({exc.strerror}); name another --folder") from exc

    def hold(self) -> None:
        """Takes the folder for the life of this process: whoever waits for the lock waits for the process. The record
        of a holder that was killed is cleared.

        Raises:
            ConfigurationError: another holder has it.
        """
        lock = os.open(self.path / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        # Whoever only asks has it for a moment.
        deadline = time.monotonic() + ASKING_S
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self.clear()
                return
            except BlockingIOError:
                if time.monotonic() > deadline:
                    os.close(lock)
                    raise ConfigurationError(
                        f"{self.path}: another `domicile devnet` is at work there; repeat this when it is done"
                    ) from None
            time.sleep(ASKING_S / 10)

    def write(self, running: Running) -> None:
        """Says that the chain is up; whole or not at all."""
        beside = self._record.with_name(f"{RECORD_FILE}.new")
        beside.write_text(json.dumps(asdict(running)), encoding="utf-8")
        beside.replace(self._record)

    def clear(self) -> None:
        """Says that it is not."""
        self._record.unlink(missing_ok=True)
