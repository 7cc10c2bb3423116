from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from scripts.report.data import SCHEMA_FILE, schema_text, write_json
from scripts.report.schema import Report
from tests.scripts.finished_job import FinishedJob

DOCUMENT = SCHEMA_FILE.with_name("report-format.md")


class TestReportAsData:
    @pytest.fixture
    def data(self, tmp_path: Path) -> dict[str, object]:
        write_json(FinishedJob().report(), tmp_path / "report.json")
        loaded: dict[str, object] = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
        return loaded

    def test_an_unknown_key_is_refused(self, data: dict[str, object]) -> None:
        with pytest.raises(ValidationError, match="surprise"):
            Report.model_validate(data | {"surprise": 1})

    def test_another_version_is_refused(self, data: dict[str, object]) -> None:
        with pytest.raises(ValidationError, match="version"):
            Report.model_validate(data | {"version": "2"})

    def test_a_failed_write_leaves_the_old_file(self, tmp_path: Path) -> None:
        path = tmp_path / "report.json"
        path.write_text("old", encoding="utf-8")
        (tmp_path / "report.json.new").mkdir()
        with pytest.raises(OSError, match=r"report\.json\.new"):
            write_json(FinishedJob().report(), path)
        assert path.read_text(encoding="utf-8") == "old"

    def test_writing_leaves_no_other_file(self, tmp_path: Path) -> None:
        write_json(FinishedJob().report(), tmp_path / "report.json")
        assert [path.name for path in tmp_path.iterdir()] == ["report.json"]

    def test_keys_are_as_documented(self, data: dict[str, object]) -> None:
        assert list(data) == [
            *("version", "job", "nodes", "privacy", "privacy_left_out", "rounds", "regional_rounds", "participation"),
            *("absent", "exports", "refusals", "gas", "gas_totals", "bytes", "seconds", "seconds_in_all", "lineage"),
        ]

    def test_a_node_has_the_figures_of_three_models(self, data: dict[str, object]) -> None:
        for node in _records(data, "nodes"):
            assert {"name", "jurisdiction", "shard", "num_train", "num_test"} <= set(node)
            metrics = node["metrics"]
            assert isinstance(metrics, dict)
            assert set(metrics) == {"global", "local", "pooled"}
            for figures in metrics.values():
                assert {"accuracy", "balanced_accuracy", "auc", "loss"} <= set(figures)

    def test_an_export_says_where_from_and_where_to(self, data: dict[str, object]) -> None:
        for export in _records(data, "exports"):
            assert {"from", "to", "contributors", "digest"} <= set(export)

    def test_a_refusal_names_node_and_reason(self, data: dict[str, object]) -> None:
        assert _records(data, "refusals") == [{"node": "minsk", "action": "join", "reason": "JurisdictionNotInShard"}]

    def test_participation_says_of_each_member_what_became_of_its_update(self, data: dict[str, object]) -> None:
        lost = [
            (shard["jurisdiction"], whole["global_round"], one["regional_round"], absent["cause"], absent["reason"])
            for whole in _records(data, "participation")
            for shard in whole["shards"]  # type: ignore[attr-defined]
            for one in shard["rounds"]
            for absent in one["left_out"]
        ]
        assert ("US", 1, 1, "excluded", "not_finite") in lost
        assert ("IN", 1, 1, "refused", "attestation_expired") in lost

    def test_gas_is_the_median_by_action(self, data: dict[str, object]) -> None:
        assert data["gas"] == FinishedJob().report().gas

    def test_the_lineage_says_whether_it_was_verified(self, data: dict[str, object]) -> None:
        assert data["lineage"] == {"verified": True, "checks": 412, "problems": []}

    def test_the_claim_has_every_point_of_nist_sp_800_226(self, tmp_path: Path) -> None:
        write_json(FinishedJob().private_report(), tmp_path / "report.json")
        privacy = json.loads((tmp_path / "report.json").read_bytes())["privacy"]
        assert (privacy["claim"]["epsilon"], privacy["claim"]["delta"]) == (7.987, 1e-5)
        points = {"unit", "neighbours", "trust", "accountant", "horizon", "sampling", "implementation"}
        assert all(privacy["claim"][point] for point in points)
        assert (privacy["claim"]["num_rounds"], privacy["claim"]["num_steps"]) == (18, 90)
        assert {one["epsilon_spent"] for one in privacy["nodes"]} == {5.346}
        assert Report.model_validate_json((tmp_path / "report.json").read_bytes()) == FinishedJob().private_report()

    def test_a_masked_round_names_survivors_and_who_answered(self, tmp_path: Path) -> None:
        write_json(FinishedJob().masked_report(), tmp_path / "report.json")
        rounds = _records(json.loads((tmp_path / "report.json").read_bytes()), "regional_rounds")
        first = rounds[0]
        threshold = {"threshold": 2, "num_holders": 3}
        survivors = {"survivors": first["committed"], "answered": first["committed"][:2]}  # type: ignore[index]
        assert first["unmasking"] == survivors | threshold
        assert rounds[-1]["unmasking"] == {"survivors": None, "answered": []} | threshold
        assert Report.model_validate_json((tmp_path / "report.json").read_bytes()) == FinishedJob().masked_report()

    def test_a_robust_job_names_its_rule_and_why_a_round_made_no_model(self, tmp_path: Path) -> None:
        write_json(FinishedJob().robust_report(), tmp_path / "report.json")
        data = json.loads((tmp_path / "report.json").read_bytes())
        rule = {"rule": "trimmed_mean", "num_hostile": 1}
        assert data["job"]["aggregation"] == {"kind": "robust", "updates": rule, "regions": None}
        assert [one["not_merged"] is None for one in data["regional_rounds"]] == [True] * 26 + [False]
        assert Report.model_validate_json((tmp_path / "report.json").read_bytes()) == FinishedJob().robust_report()

    @pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
    def test_what_was_written_reads_back_as_the_same_report(self, kind: str, tmp_path: Path) -> None:
        report = FinishedJob(kind=kind).report()
        write_json(report, tmp_path / "report.json")
        assert Report.model_validate_json((tmp_path / "report.json").read_bytes()) == report


class TestSchemaFile:
    def test_the_schema_file_is_that_of_the_model(self) -> None:
        assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run: python -m scripts.report.data"

    def test_every_key_of_the_schema_is_documented(self) -> None:
        schema = json.loads(schema_text())
        told = DOCUMENT.read_text(encoding="utf-8")
        shapes = [schema, *schema["$defs"].values()]
        assert [key for shape in shapes for key in shape.get("properties", ()) if f"`{key}`" not in told] == []


def _records(data: dict[str, object], key: str) -> list[dict[str, object]]:
    records = data[key]
    assert isinstance(records, list)
    assert records
    return records
