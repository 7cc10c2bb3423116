"""What is deployed: units that systemd takes, a container file, and alarms over figures that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from domicile import metrics

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
ROLES = ("node", "aggregator")
EXPOSURE_MAX = 20
"""In tenths, as systemd counts: 0 is shut off from everything, 100 is a service without any bounds."""

ANALYZER = shutil.which("systemd-analyze") or ""
needs_systemd = pytest.mark.skipif(not ANALYZER, reason="systemd-analyze is not installed on this machine")


def unit(role: str) -> str:
    return (DEPLOY / f"domicile-{role}@.service").read_text(encoding="utf-8")


@pytest.fixture(params=ROLES)
def installed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A unit that starts the program of this environment, since the one that it names is not installed here."""
    program = Path(sys.executable).with_name("domicile")
    file = tmp_path / f"domicile-{request.param}@.service"
    file.write_text(unit(request.param).replace("/opt/domicile/bin/domicile", str(program)), encoding="utf-8")
    return file


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ANALYZER, *arguments], capture_output=True, text=True, check=False)


@needs_systemd
def test_systemd_takes_each_unit_without_a_word(installed: Path) -> None:
    done = analyze("verify", str(installed))
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


@needs_systemd
def test_systemd_finds_a_unit_well_shut_off(installed: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", str(installed))
    if "Unknown option" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd cannot judge a unit that is not installed")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


@pytest.mark.parametrize("role", ROLES)
def test_a_unit_starts_what_the_initial_folder_holds_and_gets_its_password_from_systemd(role: str) -> None:
    lines = unit(role).splitlines()
    folder = f"/var/lib/domicile-{role}/%i"
    assert f"StateDirectory=domicile-{role}/%i" in lines
    assert f"ExecStart=/opt/domicile/bin/domicile {role} run {folder}/{role}.toml" in lines
    assert "LoadCredential=password:/etc/domicile/%i.password" in lines
    assert "RestartPreventExitStatus=2" in lines
    assert not [line for line in lines if line.startswith(("Environment", "PassEnvironment"))]


def test_the_document_tells_which_exit_codes_the_units_start_again_and_how_soon() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\d+) \| .* \| (yes|no)[^|]*\|$", text, flags=re.MULTILINE))
    assert {code for code, again in rows.items() if again == "no"} == {"0", "2"}
    assert rows["70"] == rows["5"] == rows["130"] == "yes"
    lines = unit("node").splitlines()
    assert {"Restart=on-failure", "RestartPreventExitStatus=2"} <= set(lines)
    named = re.search(r"`(RestartSec=\d+)` and `(TimeoutStopSec=\w+)`", text)
    assert named is not None
    assert set(named.groups()) <= set(lines)


def test_both_units_are_the_same_but_for_their_role() -> None:
    assert unit("node").replace("node", "aggregator") == unit("aggregator")


def test_the_container_file_passes_its_linter() -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(linter), str(DEPLOY / "Containerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_container_takes_files_by_name_and_runs_as_nobody_special() -> None:
    text = (DEPLOY / "Containerfile").read_text(encoding="utf-8")
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY") and "--from" not in line]
    sources = [one for line in copied for one in line]
    assert "." not in sources
    assert [one for one in sources if not (ROOT / one).exists()] == []
    stages = re.findall(r"^FROM (\S+)", text, flags=re.MULTILINE)
    assert all(re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", one) for one in stages)
    assert re.findall(r"^USER (\S+)", text, flags=re.MULTILINE) == ["10001:10001"]


@pytest.mark.slow
def test_the_wheel_with_the_compiled_contracts_beside_it_is_all_that_a_daemon_reads(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, capture_output=True, check=True)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(tmp_path / "site")
    (tmp_path / "site" / "build").mkdir()
    shutil.copy(ROOT / "build" / "contracts.json", tmp_path / "site" / "build")
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import domicile.chain.artifacts as artifacts, node.daemon, aggregator.daemon, scripts.doctor.bundle\n"
        "print(artifacts.__file__, len(artifacts.load_artifacts()))"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    file, num_contracts = done.stdout.split()
    assert file.startswith(str(tmp_path / "site"))
    assert int(num_contracts) >= 3


def test_alarms_are_over_figures_that_are_served() -> None:
    text = (DEPLOY / "alerts.yml").read_text(encoding="utf-8")
    served = {family.name + ("_total" if family.type == "counter" else "") for family in metrics.REGISTRY.collect()}
    named = set(re.findall(r"\bdomicile_\w+", text))
    assert named
    assert named <= served
