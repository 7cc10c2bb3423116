"""The command line as a person uses it: run, keep, look, take the model out, and Ctrl-C."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(150)]

DOMICILE = [sys.executable, "-m", "scripts.main"]
ROOT = Path(__file__).resolve().parents[2]


def start(*arguments: str) -> subprocess.Popen[str]:
    """A command in a session of its own, so that everything it starts can be found."""
    return subprocess.Popen(
        [*DOMICILE, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*DOMICILE, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def read_until(process: subprocess.Popen[str], words: str) -> list[str]:
    lines = []
    assert process.stdout
    for line in process.stdout:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError("".join(lines))


def survivors(session: int) -> list[str]:
    """Command lines of processes that still belong to a session."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
            if int(fields[3]) == session and fields[0] != "Z":
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except (OSError, IndexError):
            continue
    return found


def ended(session: int) -> bool:
    deadline = time.monotonic() + 15
    while survivors(session) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not survivors(session)


def test_a_kept_network_can_be_looked_at_and_ctrl_c_ends_it(small_network, tmp_path):
    folder = small_network(nodes=("a", "b", "c"), global_rounds=1).write(tmp_path / "network")
    process = start("sandbox", str(folder), "--keep", "--json", str(tmp_path / "report.json"))
    try:
        lines = read_until(process, "the network stays up")
        assert "\x1b" not in "".join(lines)
        access = ["--access", str(folder / "out" / "access.toml")]
        listed = run("job", "list", *access, "--json")
        assert [(job["job"], job["phase"]) for job in json.loads(listed.stdout)] == [(1, "complete")]
        assert json.loads(run("job", "status", "1", *access, "--json").stdout)["phase"] == "complete"
        model = tmp_path / "model.safetensors"
        exported = run("job", "export", "1", "--out", str(model), *access)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        assert exported.stdout.split()[0] == digest
        assert hashlib.sha256((folder / "out" / "model.safetensors").read_bytes()).hexdigest() == digest
        lineage = run("job", "lineage", "1", *access)
        assert lineage.returncode == 0, lineage.stderr
        assert "the record holds" in lineage.stdout
        refused = run("job", "status", "7", *access)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["lineage"]["verified"] is True
        assert report["job"]["model"] == "0x" + digest
        assert {"name", "jurisdiction", "shard", "num_train", "num_test", "metrics"} <= set(report["nodes"][0])
        assert set(report["nodes"][0]["metrics"]) == {"global", "local", "pooled"}
        assert report["exports"][0]["from"] == "EU"
        assert (folder / "out" / "report.html").stat().st_size > 10_000
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        assert ended(process.pid), survivors(process.pid)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


@pytest.mark.parametrize(("moment", "number"), [("contracts deployed", signal.SIGINT), ("committed", signal.SIGTERM)])
def test_a_signal_at_any_moment_ends_every_process(small_network, tmp_path, moment, number):
    folder = small_network(nodes=("a", "b", "c"), global_rounds=5).write(tmp_path / "network")
    process = start("sandbox", str(folder))
    try:
        read_until(process, moment)
        os.kill(process.pid, number)
        assert process.wait(20) == 130
        assert ended(process.pid), survivors(process.pid)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_when_the_sandbox_itself_is_killed_nothing_outlives_it(small_network, tmp_path):
    folder = small_network(nodes=("a", "b", "c"), global_rounds=5).write(tmp_path / "network")
    process = start("sandbox", str(folder))
    try:
        read_until(process, "committed")
        process.kill()
        process.wait(20)
        assert ended(process.pid), survivors(process.pid)
    finally:
        process.communicate()
