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

from scripts.interruption import ALL_ENDED, CAUSE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

DOMICILE = [sys.executable, "-m", "scripts.main"]
ROOT = Path(__file__).resolve().parents[2]


MARK = "DOMICILE_TEST_MARK"
"""In the environment of a command and of all that it starts, whatever its session or parent."""


def start(*arguments: str, mark: Path) -> subprocess.Popen[str]:
    """A command as the leader of a process group, as a shell starts it in a terminal."""
    return subprocess.Popen(
        [*DOMICILE, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, MARK: str(mark)},
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


def survivors(mark: Path) -> list[str]:
    """Command lines of all processes that a command started and that still run."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def kill_writer_of(log: Path) -> None:
    """Ends the daemon that writes a log."""
    for link in Path("/proc").glob("[0-9]*/fd/1"):
        try:
            if link.readlink() == log:
                os.kill(int(link.parts[2]), signal.SIGKILL)
        except OSError:
            continue


def end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


@pytest.mark.chaos
def test_a_kept_network_can_be_looked_at_and_ctrl_c_ends_it(small_network, tmp_path):
    folder = small_network(nodes=("a", "b", "c"), global_rounds=1).write(tmp_path / "network")
    process = start("sandbox", str(folder), "--keep", "--json", str(tmp_path / "report.json"), mark=tmp_path)
    try:
        lines = read_until(process, "job 1 created")
        access = ["--access", str(folder / "out" / "access.toml")]
        assert "job 1 small: " in run("job", "status", "1", *access).stdout
        second = run("sandbox", str(folder))
        assert (second.returncode, second.stderr.count("\n")) == (2, 1)
        assert "another sandbox is running there" in second.stderr
        lines += read_until(process, "the network stays up")
        assert "\x1b" not in "".join(lines)
        assert "global model of round 1 on all held-out rows: loss" in "".join(lines)
        listed = run("job", "list", *access, "--json")
        assert [(job["job"], job["phase"]) for job in json.loads(listed.stdout)] == [(1, "complete")]
        watched = run("job", "watch", "1", *access, "--json").stdout.splitlines()
        assert [json.loads(line)["phase"] for line in watched] == ["complete"]
        nowhere = run("job", "export", "1", "--out", str(tmp_path / "none" / "m"), *access)
        assert (nowhere.returncode, nowhere.stderr.count("\n")) == (2, 1)
        model = tmp_path / "model.safetensors"
        exported = run("job", "export", "1", "--out", str(model), *access)
        digest = hashlib.sha256(model.read_bytes()).hexdigest()
        assert exported.stdout.split()[0] == digest
        full = (
            "participation: 3 of 3 expected updates merged in 1 regional round of 1 global round; nobody was left out"
        )
        assert exported.stdout.splitlines()[1:] == [full]
        again = json.loads(run("job", "export", "1", "--out", str(model), *access, "--json").stdout)
        assert (again["changed"], again["model"], again["global_round"]) == (False, "0x" + digest, 0)
        status = run("job", "status", "1", *access).stdout
        assert full in status
        assert "how it does on the held-out rows is not on record" in status
        assert hashlib.sha256((folder / "out" / "model.safetensors").read_bytes()).hexdigest() == digest
        lineage = run("job", "lineage", "1", *access)
        assert lineage.returncode == 0, lineage.stderr
        assert "the record holds" in lineage.stdout
        assert full in lineage.stdout
        assert "global round 1: model" in lineage.stdout
        assert "regional round 1: " in lineage.stdout
        refused = run("job", "status", "7", *access)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        report = json.loads((tmp_path / "report.json").read_text())
        assert report["lineage"]["verified"] is True
        assert report["job"]["model"] == "0x" + digest
        assert {"name", "jurisdiction", "shard", "num_train", "num_test", "metrics"} <= set(report["nodes"][0])
        assert set(report["nodes"][0]["metrics"]) == {"global", "local", "pooled"}
        assert report["exports"][0]["from"] == "EU"
        assert report["participation"] == again["participation"]
        (region,) = report["participation"][0]["shards"]
        assert sorted(region["rounds"][0]["contributed"]) == sorted(region["rounds"][0]["expected"]) == ["a", "b", "c"]
        assert (folder / "out" / "report.html").stat().st_size > 10_000
        kill_writer_of(folder / "out" / "parties" / "b" / "log.jsonl")
        read_until(process, "b ended with exit code -9")
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(20) == 130
        assert survivors(tmp_path) == []
    finally:
        end(process)


@pytest.mark.parametrize(
    ("moment_s", "number"),
    [*((moment_s, signal.SIGINT) for moment_s in (0.3, 1, 2, 4, 7, 10)), (0.6, signal.SIGTERM), (5, signal.SIGTERM)],
)
def test_a_signal_at_any_moment_ends_every_process_before_the_command_returns(
    small_network, tmp_path, moment_s, number
):
    """SIGINT goes to the whole group, as a terminal sends it; SIGTERM to the one process."""
    folder = small_network(nodes=("a", "b", "c"), global_rounds=60).write(tmp_path / "network")
    process = start("sandbox", str(folder), mark=tmp_path)
    try:
        time.sleep(moment_s)
        if number == signal.SIGINT:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
        assert process.wait(20) == 130
        assert survivors(tmp_path) == []
        assert process.stdout
        told = process.stdout.read().splitlines()
        # Before the first process is started, there is none to speak of.
        assert told[-1] in {f"domicile: {CAUSE}", f"domicile: {ALL_ENDED}"}
        assert not any("Traceback" in line or "Aborted" in line or "KeyboardInterrupt" in line for line in told)
        assert not (folder / "out" / "access.toml").exists()
    finally:
        end(process)


def test_when_the_sandbox_itself_is_killed_nothing_outlives_it(small_network, tmp_path):
    folder = small_network(nodes=("a", "b", "c"), global_rounds=5).write(tmp_path / "network")
    process = start("sandbox", str(folder), mark=tmp_path)
    try:
        read_until(process, "committed")
        process.kill()
        process.wait(20)
        deadline = time.monotonic() + 15
        while survivors(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert survivors(tmp_path) == []
    finally:
        end(process)
