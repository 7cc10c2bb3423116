import json
import re
from pathlib import Path

import pytest

from domicile.chain.artifacts import REPOSITORY, load_artifacts, load_enums
from domicile.chain.compile import compile_contracts
from domicile.errors import ConfigurationError
from domicile.protocol import eligibility, jurisdiction
from domicile.protocol import round as rounds

MAX_CONTRACT_BYTES = 24_576


def test_missing_artifacts_name_the_mend(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="make setup"):
        load_artifacts(tmp_path / "contracts.json")


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"format": 0})])
def test_damaged_artifacts_name_the_mend(tmp_path: Path, content: str) -> None:
    file = tmp_path / "contracts.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match="make setup"):
        load_artifacts(file)


@pytest.mark.chaos
def test_unchanged_sources_are_not_compiled_again(tmp_path: Path) -> None:
    file = tmp_path / "contracts.json"
    assert compile_contracts(file) is True
    written = file.stat().st_mtime_ns
    assert compile_contracts(file) is False
    assert file.stat().st_mtime_ns == written
    assert load_artifacts(file).keys() == {
        "AccessManager", "NodeRegistry", "PrivacyLedger", "TrainingJobs", "UnmaskingBoard",
    }  # fmt: skip


def test_every_contract_fits_on_chain() -> None:
    for artifact in load_artifacts().values():
        assert 0 < len(artifact.runtime) < MAX_CONTRACT_BYTES


def test_every_event_and_error_of_the_interfaces_is_in_an_abi() -> None:
    declared = {
        name
        for file in (REPOSITORY / "contracts" / "interfaces").glob("*.sol")
        for name in re.findall(r"^    (?:event|error) (\w+)", file.read_text(), re.MULTILINE)
    }
    known = {entry["name"] for artifact in load_artifacts().values() for entry in artifact.abi if "name" in entry}
    assert declared - known == set()


@pytest.mark.parametrize(
    "enum",
    [
        eligibility.Sensitivity,
        eligibility.Refusal,
        jurisdiction.Tier,
        rounds.JobPhase,
        rounds.ShardPhase,
        rounds.StallReason,
        rounds.ExclusionReason,
    ],
    ids=lambda enum: enum.__name__,
)
def test_python_and_solidity_count_alike(enum: type) -> None:
    twin = [re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper() for name in load_enums()[enum.__name__]]
    assert [member.name for member in enum] == twin  # type: ignore[attr-defined]
    assert [member.value for member in enum] == list(range(len(twin)))  # type: ignore[attr-defined]


def test_every_solidity_enum_has_a_python_twin() -> None:
    assert load_enums().keys() == {
        "Sensitivity", "Refusal", "Tier", "JobPhase", "ShardPhase", "StallReason", "ExclusionReason",
    }  # fmt: skip
