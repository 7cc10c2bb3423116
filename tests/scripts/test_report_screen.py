from __future__ import annotations

import io

import pytest
from rich.console import Console

from scripts.report.schema import LineageRecord, Metrics, NodeMetrics, RefusalRecord, Report
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

    def test_how_updates_are_merged_and_why_a_round_made_no_model_is_told(self) -> None:
        told = printed(FinishedJob().robust_report(), 160)
        rule = "trimmed mean against 1 hostile node"
        assert f"aggregation: robust, updates are merged by {rule}, regions by their mean" in told
        assert "IN, round 3.3: trimmed_mean against 1 hostile needs 3 contributions (n >= 2f + 1), 2 are usable" in told

    def test_names_are_not_markup(self) -> None:
        report = FinishedJob(shards={"[red]EU": ["[/]x", "[bold]y"]}, name="[/]job").report()
        refusal = RefusalRecord(node="[link=x]n", action="[/]join", reason="[/]why")
        told = printed(report.model_copy(update={"refusals": [refusal], "gas": {"[/]act": 1}}), 200)
        for name in ("[/]x", "[bold]y", "[red]EU", "[/]job", "[link=x]n", "[/]join", "[/]why", "[/]act"):
            assert name in told

    def test_nothing_of_a_stranger_reaches_the_terminal_with_control_characters(self) -> None:
        hostile = "\x1b]0;owned\x07\x1b[2J"
        report = FinishedJob(shards={hostile: [hostile + "1", hostile + "2"]}, name=hostile).report()
        refusal = RefusalRecord(node=hostile, action=hostile, reason=hostile)
        lineage = LineageRecord(verified=False, checks=1, problems=[hostile])
        told = printed(
            report.model_copy(update={"refusals": [refusal], "lineage": lineage, "gas": {hostile: 1}}, deep=True), 300
        )
        assert not {"\x1b", "\x07"} & set(told)
        assert told.count("]0;owned") > 8

    def test_long_names_and_large_figures_leave_no_figure_cut_on_80_columns(self) -> None:
        names = ["university-medical-center-utrecht", "b", "c"]
        report = FinishedJob(kind="regression", shards={"NL": names}).report()
        large = Metrics(loss=178.3, rmse=13.3541, mae=1234.56, r2=-2.3456)
        node = report.nodes[0].model_copy(
            update={"metrics": NodeMetrics(global_=large, local=large, pooled=large), "jurisdiction": "US-ABCDE"}
        )
        told = printed(report.model_copy(update={"nodes": [node, *report.nodes[1:]]}), 80)
        assert "…" not in told
        assert max(map(len, told.splitlines())) <= 80
        assert all("  ".join([figure] * 3) in told for figure in ("13.35", " 1235", "-2.35"))

    def test_refusals_exclusions_and_stalls_are_told_with_their_reason(self) -> None:
        told = printed(FinishedJob().report())
        assert "refused: minsk, join: JurisdictionNotInShard" in told
        assert "never joined: minsk: refused at joining: JurisdictionNotInShard" in told
        assert "participation: 71 of 78 expected updates merged" in told
        assert "  US round 2.2: 2 of 3 merged; ucsf left out by the committee (not finite)" in told
        assert "  IN round 2: not in the global model, since the shard stalled (too few updates)" in told

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

    def test_without_a_global_model_there_is_nothing_to_count(self) -> None:
        report = FinishedJob().report()
        nodes = [
            node.model_copy(update={"metrics": node.metrics.model_copy(update={"global_": None})})
            for node in report.nodes
        ]
        assert "is better than" not in printed(report.model_copy(update={"nodes": nodes}))

    def test_survivors_and_answers_of_masked_rounds_are_told(self) -> None:
        told = printed(FinishedJob().masked_report())
        survived = "2 of 3 updates survive, 2 of 2 survivors answered, 2 of each one's 3 holders must"
        assert f"US, round 2.2: unmasking: {survived}" in told
        assert "unmasking: no survivors of 3 updates agreed on" in told
        assert "unmasking" not in printed(FinishedJob().report())

    def test_masked_rounds_that_went_alike_are_one_line(self) -> None:
        report = FinishedJob().masked_report()
        us = [one for one in report.regional_rounds if one.shard == "US"]
        first = us[0]
        alike = [first.model_copy(update={"regional_round": number}) for number in range(3)]
        late = first.model_copy(update={"regional_round": 3, "committed": first.committed[:-1]})
        told = printed(report.model_copy(update={"regional_rounds": [*alike, late, alike[0]]}), 200)
        lines = [line.partition(": ")[0] for line in told.splitlines() if "unmasking" in line]
        assert lines == ["US, rounds 1.1 to 1.3, each", "US, round 1.4", "US, round 1.1"]

    def test_what_privacy_costs_is_told_with_the_deviation_over_the_seeds(self) -> None:
        told = printed(FinishedJob().private_report())
        rows = [" ".join(line.split()) for line in told.splitlines() if line.rstrip().endswith(" seeds")]
        assert rows == [
            "none 0.00 0.940 ± 0.010 0.850 ± 0.010 3 of 3 seeds",
            "8 2.70 0.920 ± 0.010 0.820 ± 0.087 2 of 3 seeds",
            "1 16.90 0.850 ± 0.050 0.707 ± 0.093 2 of 3 seeds",
        ]

    def test_the_last_thing_told_is_what_each_row_lost(self) -> None:
        told = printed(FinishedJob().private_report()).splitlines()
        lost = "ε per row, which is a patient where each has one: 5.346 spent of 7.987 promised, δ = 1e-05"
        assert told[-1] == lost
        assert "ε per row" not in printed(FinishedJob().report())

    def test_a_run_that_left_the_jobs_privacy_out_says_so_before_any_figure(self) -> None:
        told = printed(FinishedJob().report().model_copy(update={"privacy_left_out": True}))
        assert told.index("left out the privacy that the job asks for") < told.index("Each node's own held-out rows")
        assert "--no-privacy" not in printed(FinishedJob().report())

    def test_bytes_and_gas_are_told(self) -> None:
        told = printed(FinishedJob().report())
        assert "bytes sealed 612,450, kept in their region 520,118, exported 70,332" in told
        assert "43,987" in told

    def test_a_job_that_failed_at_once_is_told(self) -> None:
        nothing = {"nodes": [], "rounds": [], "regional_rounds": [], "exports": [], "gas": {}, "gas_totals": {}}
        assert "lineage: the record holds" in printed(FinishedJob().report().model_copy(update=nothing))
