"""docs/walkthrough.md, typed as it is written, on two machines that reach nothing but each other."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest

from scripts.command import cli
from tests.two_machines import TwoMachines, namespaces, routes, two_machines

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "walkthrough.md"
ADDRESSES = {"a": "10.77.0.1/24", "b": "10.77.0.2/24"}


@dataclass
class Line:
    """What is typed on a machine, the exit code that the document states, and what it says that is seen."""

    machine: str
    command: str
    code: int
    seen: list[str] = field(default_factory=list)

    def fits(self, printed: str) -> bool:
        """`...` is anything, of any length. Where the document shows nothing, nothing is compared."""
        if not self.seen:
            return True
        # A line of dots may also stand for none.
        seen = "\n".join(["", *self.seen, ""]).replace("\n...\n", "...\n")
        parts, rest = seen.split("..."), "\n" + printed.strip("\n") + "\n"
        if len(parts) == 1:
            return rest == parts[0]
        if not rest.startswith(parts[0]):
            return False
        for part in parts[:-1]:
            at = rest.find(part)
            if at < 0:
                return False
            rest = rest[at + len(part) :]
        return rest.endswith(parts[-1])


def lines_of(block: str) -> Iterator[Line]:
    """What a block says is typed, with what is seen of it."""
    line: Line | None = None
    for text in block.splitlines():
        typed = re.fullmatch(r"([ab])\$ (.*?)(?:  # exit code (\d+))?", text)
        if typed:
            if line is not None:
                yield line
            line = Line(typed[1], typed[2], int(typed[3] or 0))
        else:
            assert line is not None, f"nothing was typed before {text!r}"
            line.seen.append(text)
    if line is not None:
        yield line


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"^```(\w+)\n(.*?)^```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def environment(home: Path) -> dict[str, str]:
    """What a user has: the command on the path, a home, and the folder of the source."""
    home.mkdir()
    installed = Path(sys.executable).parent
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return {
        "PATH": f"{installed}:{system}:{os.environ['PATH']}",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LANG": "C.UTF-8",
        "DOMICILE": str(ROOT),
    }


def walk(machines: TwoMachines, folder: Path) -> dict[str, str]:
    """Types everything; what each command printed, the last time that it was typed."""
    said: dict[str, str] = {}
    for kind, block in blocks():
        if kind == "toml":
            (folder / "b" / "job.toml").write_text(block, encoding="utf-8")
            continue
        for line in lines_of(block):
            code, printed = machines[line.machine].types(line.command)
            assert code == line.code, f"{line.machine}$ {line.command}\n{printed}"
            assert line.fits(printed), f"{line.machine}$ {line.command}\n{printed}"
            said[line.command] = printed
    return said


@pytest.mark.chaos
@pytest.mark.timeout(1800)
def test_the_walk_through_ends_with_a_job_whose_record_holds_and_leaves_nothing_behind(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with two_machines(tmp_path, ADDRESSES, environment(home)) as machines:
        ours = [machine.namespace for machine in (machines.a, machines.b)]
        assert [line.split()[0] for line in routes(machines.a).splitlines()] == ["10.77.0.0/24"]
        said = walk(machines, tmp_path)
        assert (machines.a.processes(), machines.b.processes()) == ([], [])
    digest = said["domicile job export 1 --out model.safetensors"].split()[0]
    lineage = said["domicile job lineage 1"]
    assert f"global round 3: model {digest}" in lineage
    assert "the record holds: " in lineage
    assert not [name for name in ours if name in namespaces()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "home", "stores"]
    # torch makes an empty folder where temporary files go.
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_two_machines_are_gone_with_all_that_ran_there_even_if_a_test_fails(tmp_path: Path) -> None:
    names: list[str] = []

    def fail() -> None:
        with two_machines(tmp_path, ADDRESSES, environment(tmp_path / "home")) as machines:
            names.extend([machines.a.namespace, machines.b.namespace])
            machines.a.types("sleep 600 &")
            raise RuntimeError("a test fails")

    with pytest.raises(RuntimeError, match="a test fails"):
        fail()
    assert not [name for name in names if name in namespaces()]


def test_a_command_that_fails_within_a_loop_is_noticed(tmp_path: Path) -> None:
    with two_machines(tmp_path, ADDRESSES, environment(tmp_path / "home")) as machines:
        assert machines.a.types("for code in 3 0; do (exit $code); done") == (3, "")


@pytest.mark.parametrize(
    ("seen", "printed", "fits"),
    [
        (["job 1 created"], "job 1 created\n", True),
        (["job 1 created"], "job 1 created\nand more\n", False),
        (["job ... created", "..."], "job 12 created\nand more\n", True),
        (["job ... created"], "job 12 cancelled\n", False),
        (["...", "job 1 created"], "job 1 created\n", True),
        (["job 1 created", "..."], "job 1 created\n", True),
        ([], "whatever\n", True),
    ],
)
def test_what_is_seen_is_compared_but_for_dots(seen: list[str], printed: str, fits: bool) -> None:
    assert Line("a", "domicile job create", 0, seen).fits(printed) is fits


def test_every_verb_appears() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [verb for verb in verbs(cli, "domicile") if not re.search(rf"\b{verb}\b", text)]
    assert missing == []


def verbs(command: click.Command, name: str) -> Iterator[str]:
    if not isinstance(command, click.Group):
        yield name
        return
    for part, below in command.commands.items():
        yield from verbs(below, f"{name} {part}")
