from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from domicile.privacy.claim import REPRODUCIBLE
from domicile.privacy.node_level.claim import node_claim_of
from domicile.privacy.settings import NodePrivacySettings
from scripts.report.attendance import attendance_of
from scripts.report.page import render_page
from scripts.report.schema import LineageRecord, RefusalRecord, Report
from tests.scripts.finished_job import SHARDS, FinishedJob

HOSTILE = "<script>alert('x')</script>\"&$\\frac{1}$"


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id" and value is not None:
                self.ids.append(value)
            if name in {"src", "href", "srcset", "data", "action"} and value is not None:
                self.references.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_data(self, data: str) -> None:
        self.text += data


def test_how_updates_are_merged_and_why_a_round_made_no_model_is_told() -> None:
    text = Page(render_page(FinishedJob().robust_report())).text
    rule = "trimmed mean against 1 hostile node"
    assert f"Aggregation: robust, updates are merged by {rule}, regions by their mean." in text
    assert "IN round 3.3" in text
    assert "trimmed_mean against 1 hostile needs 3 contributions (n >= 2f + 1), 2 are usable" in text
    secure = Page(render_page(FinishedJob().masked_report())).text
    assert "Aggregation: secure, updates are masked, of which the committee learns the mean alone." in secure


@pytest.fixture(params=["binary", "multiclass", "regression"], scope="module")
def report(request: pytest.FixtureRequest) -> Report:
    return FinishedJob(kind=request.param).report()


@pytest.fixture(scope="module")
def html(report: Report) -> str:
    return render_page(report)


class TestHostileNames:
    @pytest.fixture
    def page(self) -> Page:
        report = FinishedJob(shards={HOSTILE: [HOSTILE + "1", HOSTILE + "2"]}, name=HOSTILE).report()
        refusal = RefusalRecord(node=HOSTILE, action=HOSTILE, reason=HOSTILE)
        lineage = LineageRecord(verified=False, checks=1, problems=[HOSTILE])
        gas = {HOSTILE: 21_000}
        return Page(
            render_page(report.model_copy(update={"refusals": [refusal], "lineage": lineage, "gas": gas}, deep=True))
        )

    def test_no_script_comes_out_of_a_name(self, page: Page) -> None:
        assert "script" not in page.tags
        assert page.handlers == []

    def test_a_name_is_shown_as_it_is(self, page: Page) -> None:
        assert page.text.count(HOSTILE) > 10


class TestPage:
    def test_nothing_is_fetched_from_elsewhere(self, html: str) -> None:
        page = Page(html)
        assert not {"script", "link", "img", "iframe", "object", "embed", "base"} & set(page.tags)
        assert all(one.startswith("#") for one in page.references)
        assert re.findall(r"https?:|@import|url\((?!#)", html) == []

    def test_ids_are_unique_and_references_find_theirs(self, html: str) -> None:
        page = Page(html)
        assert len(page.ids) == len(set(page.ids))
        used = {one.removeprefix("#") for one in page.references} | set(re.findall(r"url\(#([^)]*)\)", html))
        assert used <= set(page.ids)

    def test_every_plot_has_a_title_for_those_who_cannot_see_it(self, html: str) -> None:
        assert html.count("<svg") == len(re.findall(r'<svg [^>]*role="img"[^>]*><title>[^<]+</title>', html)) >= 4

    def test_every_node_export_and_refusal_is_named(self, html: str, report: Report) -> None:
        text = Page(html).text
        assert all(node.name in text and node.jurisdiction in text for node in report.nodes)
        assert all(export.digest in html for export in report.exports)
        assert "JurisdictionNotInShard" in text
        assert "ucsf left out by the committee (not finite)" in text
        assert "the shard stalled (too few updates)" in text
        assert "never joined: refused at joining: JurisdictionNotInShard" in text

    def test_references_are_labelled_as_what_they_are(self, html: str) -> None:
        text = Page(html).text
        assert "local-only: trained on that node alone" in text
        assert "only possible in a sandbox" in text

    def test_only_figures_that_the_task_has_are_shown(self, html: str, report: Report) -> None:
        shown = {name for name in ("AUC", "balanced accuracy", "RMSE", "R²") if f">{name}</th>" in html}
        metrics = report.nodes[0].metrics.global_
        assert metrics is not None
        expected = {"RMSE", "R²"} if metrics.rmse is not None else {"balanced accuracy"}
        assert shown == (expected | {"AUC"} if metrics.auc is not None else expected)

    def test_the_same_report_makes_the_same_page(self, html: str, report: Report) -> None:
        assert render_page(report) == html


class TestParticipation:
    def test_a_grid_shows_only_shards_with_gaps_a_row_a_member(self) -> None:
        grids = {one.jurisdiction: one for one in attendance_of(FinishedJob().report())}
        assert set(grids) == {"US", "IN"}
        rows = dict(grids["US"].rows)
        assert [one.sign for one in rows["ucsf"]] == list("✓✓✓✓✗✓✓✓✓")
        assert [one.sign for one in rows["nyu"]] == ["✓"] * 9
        assert [one.sign for one in dict(grids["IN"].rows)["delhi"]] == list("✓✓✓✓⊘✓✓✓")
        assert [one.dropped for one in dict(grids["IN"].rows)["pune"]] == [False] * 3 + [True] + [False] * 4

    def test_where_everybody_took_part_one_line_says_so(self) -> None:
        whole = FinishedJob().participation()[0]
        report = FinishedJob().report().model_copy(update={"participation": [whole], "absent": [], "refusals": []})
        text = Page(render_page(report)).text
        assert "27 of 27 expected updates merged in 9 regional rounds of 1 global round; nobody was left out." in text
        assert "did not commit" not in text

    def test_each_sign_is_told_in_words_too(self) -> None:
        assert "refused: attestation expired" in Page(render_page(FinishedJob().report())).text


class TestVerdict:
    def test_a_record_that_does_not_hold_names_every_problem(self) -> None:
        lineage = LineageRecord(verified=False, checks=3, problems=["EU round 1.2: root differs", "US: event missing"])
        text = Page(render_page(FinishedJob().report().model_copy(update={"lineage": lineage}))).text
        assert "The record does not hold." in text
        assert "EU round 1.2: root differs" in text
        assert "US: event missing" in text

    def test_a_record_that_holds_says_so(self) -> None:
        assert "The record holds." in Page(render_page(FinishedJob().report())).text


class TestSmallAndLargeJobs:
    def test_a_job_that_failed_at_once_has_a_page(self) -> None:
        nothing = {
            "nodes": [],
            "rounds": [],
            "regional_rounds": [],
            "participation": [],
            "exports": [],
            "gas": {},
            "gas_totals": {},
        }
        text = Page(render_page(FinishedJob().report().model_copy(update=nothing))).text
        assert "No round was completed." in text
        assert "Nothing was exported." in text

    def test_one_of_a_thing_is_told_in_the_singular(self) -> None:
        text = Page(render_page(FinishedJob(shards={"EU": SHARDS["EU"]}).report())).text
        assert "nodes trained, in 1 shard" in text
        assert not re.search(r"\b1 [a-z ]*(shards|exports|models|attempts|checks)\b", text)

    def test_more_shards_than_colours_are_all_drawn(self) -> None:
        many = {f"S{number}": SHARDS["EU"] for number in range(9)}
        html = render_page(FinishedJob(shards=many).report())
        assert all(f">{name}</text>" in html for name in many)


def test_accuracy_over_epsilon_is_drawn_and_told_and_says_where_it_comes_from() -> None:
    html = render_page(FinishedJob().private_report())
    page = Page(html)
    assert "Accuracy over ε" in html
    assert "accuracy of the global and the local-only models over epsilon" in page.text
    assert "0.920 ± 0.0100.820 ± 0.0872 of 3 seeds" in page.text.replace("\n", "")
    assert "over the seeds 7, 8, 9, and the deviation" in page.text
    assert "ε per row, which is a patient where each has one: 5.346 spent of 7.987 promised, δ = 1e-05" in page.text
    single = FinishedJob().private_report()
    assert single.privacy is not None
    without = single.model_copy(update={"privacy": single.privacy.model_copy(update={"curve": None})})
    assert "over ε" not in Page(render_page(without)).text


def test_a_run_that_left_the_jobs_privacy_out_says_so_before_any_figure() -> None:
    plain = FinishedJob().report()
    assert "No privacy." not in Page(render_page(plain)).text
    text = Page(render_page(plain.model_copy(update={"privacy_left_out": True}))).text
    assert "left out the privacy that the job asks for (--no-privacy)" in text
    assert text.index("No privacy.") < text.index("nodes trained")


def test_a_job_with_privacy_states_its_claim_and_what_was_spent_and_one_without_says_so() -> None:
    private = Page(render_page(FinishedJob().private_report())).text
    for point, told in FinishedJob().private_report().privacy.claim.lines():  # type: ignore[union-attr]
        assert point in private
        assert told in private
    assert "45 of 90" in private
    assert "5.346" in private
    assert "epsilon 10.654, delta 9e-05" in private
    assert "nobody said" in private
    plain = Page(render_page(FinishedJob().report())).text
    assert "neither differential privacy nor secure aggregation" in plain
    assert "unit of privacy" not in plain


def test_masked_rounds_tell_survivors_and_answers_and_the_page_says_what_was_used() -> None:
    page = Page(render_page(FinishedJob().masked_report()))
    assert "this job used secure aggregation and no differential privacy" in page.text
    assert re.search(r"US\s*2\.2\s*3\s*2\s*2\s*2 of 3", page.text)
    assert page.text.count("–\n") or "–" in page.text
    both = FinishedJob().masked_report().model_copy(update={"privacy": FinishedJob().private_report().privacy})
    assert "differential privacy, as stated below, and secure aggregation" in Page(render_page(both)).text
    assert "Masked rounds" not in render_page(FinishedJob().private_report())


def test_a_job_with_privacy_of_nodes_says_nothing_of_rows_or_patients() -> None:
    report = FinishedJob().private_report()
    assert report.privacy is not None
    claim = node_claim_of(
        NodePrivacySettings(epsilon=8.0, delta=1e-5),
        rounds=(4, 1, 0),
        min_survivors=5,
        max_update_norm=2.0,
        epsilon=7.987,
        randomness=REPRODUCIBLE,
    )
    privacy = report.privacy.model_copy(update={"claim": claim, "curve": None})
    page = Page(render_page(report.model_copy(update={"privacy": privacy})))
    assert "ε per node, with all its rows: 5.346 spent of 7.987 promised, δ = 1e-05" in page.text
    assert "Local-only and pooled models were trained without noise" in page.text
    assert "patient" not in page.text
