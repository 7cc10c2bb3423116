from __future__ import annotations

import io

import pytest
from rich.console import Console

from scripts.report.schema import LineageRecord, RefusalRecord, Report
from scripts.report.screen import print_report
from tests.scripts.finished_job import FinishedJob


def printed(report: Report, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    print_report(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class TestScreen:
    def test_a_record_that_does_not_hold_names_the_place(self) -> None:
        lineage = LineageRecord(verified=False, checks=3, problems=["EU round [1]: root differs"])
        told = printed(FinishedJob().report().model_copy(update={"lineage": lineage}))
        assert "THE RECORD DOES NOT HOLD" in told
        assert "EU round [1]: root differs" in told

    def test_names_are_not_markup(self) -> None:
        report = FinishedJob(shards={"[red]EU": ["[/]x", "[bold]y"]}, name="[/]job").report()
        refusal = RefusalRecord(node="[link=x]n", action="[/]join", reason="[/]why")
        told = printed(report.model_copy(update={"refusals": [refusal], "gas": {"[/]act": 1}}), 200)
        for name in ("[/]x", "[bold]y", "[red]EU", "[/]job", "[link=x]n", "[/]join", "[/]why", "[/]act"):
            assert name in told

    def test_refusals_exclusions_and_stalls_are_told_with_their_reason(self) -> None:
        told = printed(FinishedJob().report())
        assert "refused: minsk, join: JurisdictionNotInShard" in told
        assert "left out: ucsf, US round 2.2: NOT_FINITE" in told
        assert "stalled: IN in global round 2: TOO_FEW_UPDATES" in told

    @pytest.mark.parametrize("width", [80, 120])
    @pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
    def test_nothing_of_the_node_table_is_cut(self, width: int, kind: str) -> None:
        report = FinishedJob(kind=kind).report()
        told = printed(report, width)
        assert "…" not in told
        assert max(map(len, told.splitlines())) <= width
        assert all(node.name in told for node in report.nodes)

    def test_it_counts_where_the_global_model_is_better(self) -> None:
        assert "balanced accuracy: the global model is better than local-only at 9 of 9 nodes" in printed(
            FinishedJob().report()
        )

    def test_bytes_and_gas_are_told(self) -> None:
        told = printed(FinishedJob().report())
        assert "bytes sealed 612,450, kept in their region 520,118, exported 70,332" in told
        assert "43,987" in told

    def test_a_job_that_failed_at_once_is_told(self) -> None:
        nothing = {"nodes": [], "rounds": [], "regional_rounds": [], "exports": [], "gas": {}, "gas_totals": {}}
        assert "lineage: the record holds" in printed(FinishedJob().report().model_copy(update=nothing))
