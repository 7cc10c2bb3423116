"""Two machines on one: a network namespace each, and a cable between them; nothing else can be reached from either."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

LEAVE_S = 60.0
"""For daemons to finish what they are at."""


class Machine:
    """A namespace, and a shell in it that stays, as a terminal does."""

    def __init__(self, namespace: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.namespace = namespace
        self.folder = folder
        self._shell = subprocess.Popen(
            [shutil.which("ip") or "ip", "netns", "exec", namespace, "bash", "--noprofile", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._mark = f"--{secrets.token_hex(8)}--"

    def types(self, command: str) -> tuple[int, str]:
        """The exit code of the last part of a command that failed, else 0, and what it printed."""
        stdin, stdout = self._shell.stdin, self._shell.stdout
        assert stdin is not None
        assert stdout is not None
        # The trap also sees what fails within a loop.
        stdin.write(f"failed=0; trap 'failed=$?' ERR\n{command}\ntrap - ERR; echo {self._mark}$failed\n")
        stdin.flush()
        printed = ""
        for line in stdout:
            printed += line
            if self._mark in line:
                said, _, code = printed.rpartition(self._mark)
                return int(code), said
        raise AssertionError(f"the shell of {self.folder.name} ended; it said:\n{printed}")

    def processes(self) -> list[int]:
        """What runs there, besides the shell."""
        return [int(pid) for pid in _ip("netns", "pids", self.namespace).split() if int(pid) != self._shell.pid]

    def close(self) -> None:
        """Ends everything that runs there."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in [*self.processes(), self._shell.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            deadline = time.monotonic() + LEAVE_S
            while self.processes() and time.monotonic() < deadline:
                time.sleep(0.1)
        self._shell.communicate()


@dataclass(frozen=True)
class TwoMachines:
    a: Machine
    b: Machine

    def __getitem__(self, name: str) -> Machine:
        return {"a": self.a, "b": self.b}[name]


@contextmanager
def two_machines(folder: Path, addresses: Mapping[str, str], environment: Mapping[str, str]) -> Iterator[TwoMachines]:
    """Machines `a` and `b`, in folders of that name; each has its end of the cable as `uplink`."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("only root may make network namespaces, with ip of iproute2")
    run = secrets.token_hex(4)
    spaces = {name: f"domicile-{run}-{name}" for name in ("a", "b")}
    try:
        for space in spaces.values():
            _ip("netns", "add", space)
        a, b = spaces.values()
        _ip("-n", a, "link", "add", "uplink", "type", "veth", "peer", "name", "uplink", "netns", b)
        for name, space in spaces.items():
            _ip("-n", space, "address", "add", addresses[name], "dev", "uplink")
            for link in ("lo", "uplink"):
                _ip("-n", space, "link", "set", link, "up")
        opened = {}
        try:
            for name, space in spaces.items():
                (folder / name).mkdir()
                opened[name] = Machine(space, folder / name, environment)
            yield TwoMachines(**opened)
        finally:
            for machine in opened.values():
                machine.close()
    finally:
        for space in spaces.values():
            subprocess.run(["ip", "netns", "delete", space], check=False, capture_output=True)  # noqa: S607


def namespaces() -> str:
    return _ip("netns", "list")


def routes(machine: Machine) -> str:
    return _ip("-n", machine.namespace, "route")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    if done.returncode and arguments[:2] == ("netns", "add"):
        pytest.skip(f"no network namespace can be made here: {done.stderr.strip()}")
    assert not done.returncode, f"ip {' '.join(arguments)}: {done.stderr}"
    return done.stdout
