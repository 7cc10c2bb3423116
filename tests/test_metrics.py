"""What is counted, how it is served, and that nothing is served unasked."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from domicile import metrics
from domicile.chain.account import Signer
from domicile.errors import ConfigurationError, Refused
from domicile.party import MetricsSettings
from domicile.protocol.eligibility import Refusal, Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.refusals import NotEligible
from domicile.protocol.round import JobPhase, JobState, ShardPhase, ShardState, StallReason
from domicile.settings import parse_settings
from domicile.storage.directory import DirectoryBlocks
from domicile.storage.measured import MeasuredBlocks
from domicile.storage.store import BlockStore
from domicile.types import JobId

ROOT = Path(__file__).resolve().parents[1]


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.fixture
def taken() -> Iterator[int]:
    """A port on which somebody else listens."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


def test_a_taken_port_is_the_operators_to_mend(taken: int) -> None:
    told = rf"metrics: 127.0.0.1:{taken} cannot be listened on \(Address already in use\); choose another"
    with pytest.raises(ConfigurationError, match=told):
        metrics.serve(taken, "127.0.0.1", role="node", party="a")


def test_without_a_port_no_thread_starts_and_only_this_machine_is_served_unless_told() -> None:
    settings = parse_settings({}, MetricsSettings, source="a test")
    before = threading.active_count()
    metrics.serve(settings.port, settings.host, role="node", party="a")
    assert threading.active_count() == before
    assert settings.host == "127.0.0.1"


def test_the_seconds_of_an_act_are_without_those_of_the_acts_within_it() -> None:
    before = {act: value("domicile_act_seconds_sum", act=act) for act in ("train", "seal", "store")}
    with metrics.acting("train"):
        time.sleep(0.02)
        with metrics.acting("seal"):
            time.sleep(0.05)
            with metrics.acting("store"):
                time.sleep(0.1)
    took = {act: value("domicile_act_seconds_sum", act=act) - seconds for act, seconds in before.items()}
    assert 0.02 <= took["train"] < took["seal"] < took["store"]


def test_an_act_that_fails_is_no_act() -> None:
    before = value("domicile_act_seconds_count", act="merge")
    with pytest.raises(Refused), metrics.acting("merge"):
        raise Refused("no")
    assert value("domicile_act_seconds_count", act="merge") == before
    with metrics.acting("store"):
        pass  # The stopwatch that was left by an error is not running any more.
    assert not metrics.Stopwatch()._stack


def test_a_store_counts_the_bytes_that_go_in_and_out(tmp_path: Path) -> None:
    store = BlockStore(MeasuredBlocks(DirectoryBlocks(tmp_path / "store"), "region"))
    names = ("domicile_store_written_bytes_total", "domicile_store_read_bytes_total")
    before = [value(name, store="region") for name in names]
    digest = store.put_bytes(b"x" * 300_000)
    assert store.get_bytes(digest, max_bytes=300_000) == b"x" * 300_000
    written, read = (value(name, store="region") - then for name, then in zip(names, before, strict=True))
    assert 300_000 < written == read < 301_000


def test_a_refusal_is_counted_by_the_gates_reason_or_by_its_name() -> None:
    own = Signer.from_key(b"\1" * 32).address
    before = value("domicile_refusals_total", reason="suspended"), value("domicile_refusals_total", reason="Refused")
    metrics.refused(NotEligible(account=own, reason=Refusal.SUSPENDED))
    metrics.refused(Refused("for no reason that has a name"))
    after = value("domicile_refusals_total", reason="suspended"), value("domicile_refusals_total", reason="Refused")
    assert after == (before[0] + 1, before[1] + 1)


def test_a_gate_that_is_asked_again_and_again_counts_each_refusal_once_until_it_changes() -> None:
    gate = metrics.Gate()
    before = value("domicile_refusals_total", reason="not_cleared")
    answers = [Refusal.NONE, *[Refusal.NOT_CLEARED] * 5, Refusal.NONE, Refusal.NOT_CLEARED]
    assert [gate.said(answer) for answer in answers] == [answer is not Refusal.NONE for answer in answers]
    assert value("domicile_refusals_total", reason="not_cleared") == before + 2


def seen(phase: JobPhase) -> tuple[JobState, tuple[ShardState, ...]]:
    state = JobState(
        phase=phase,
        global_round=4,
        retries=0,
        num_shards=1,
        num_reported=0,
        num_stalled=0,
        deadline_s=0,
        collect_window_s=60,
        sensitivity=Sensitivity.PUBLIC,
        max_tier=Tier.OPEN,
        safeguards=Safeguard.NONE,
        min_nodes=3,
        has_budget=False,
        has_denied=False,
    )
    shard = ShardState(
        phase=ShardPhase.COLLECTING,
        stall=StallReason.NONE,
        jurisdiction=1,
        quorum=1,
        retries=0,
        stale_rounds=0,
        regional_round=2,
        first_round=0,
        num_members=3,
        num_committed=0,
        least_contributors=0,
        deadline_s=0,
        best_loss_micros=0,
    )
    return state, (shard,)


def test_rounds_and_phases_of_a_job_are_as_the_chain_showed_them_last() -> None:
    metrics.JOBS.saw(JobId(9001), *seen(JobPhase.JOINING))
    metrics.JOBS.saw(JobId(9001), *seen(JobPhase.TRAINING))
    assert value("domicile_job_global_round", job="9001") == 4
    assert value("domicile_shard_regional_round", job="9001", shard="0") == 2
    phases = {phase: value("domicile_job_phase", job="9001", phase=phase.name.lower()) for phase in JobPhase}
    assert [phase for phase, shown in phases.items() if shown] == [JobPhase.TRAINING]
    assert value("domicile_shard_phase", job="9001", shard="0", phase="collecting") == 1


def test_jobs_that_anybody_creates_cost_only_so_many_series() -> None:
    for number in range(10_000, 10_000 + 3 * metrics.NUM_JOBS_MAX):
        metrics.JOBS.saw(JobId(number), *seen(JobPhase.JOINING))
    rounds = next(family for family in metrics.JOBS.collect() if family.name == "domicile_job_global_round")
    shown = sorted(int(sample.labels["job"]) for sample in rounds.samples)
    assert shown == list(range(10_000 + 2 * metrics.NUM_JOBS_MAX, 10_000 + 3 * metrics.NUM_JOBS_MAX))


def test_the_table_of_metrics_in_the_documents_is_the_one_that_is_served() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(domicile_\w+)` \| (\w+) \| (.*?) \|", text, flags=re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}
    labels_of = {
        "domicile_job_global_round": {"job"},
        "domicile_job_phase": {"job", "phase"},
        "domicile_shard_regional_round": {"job", "shard"},
        "domicile_shard_phase": {"job", "shard", "phase"},
    }
    for one in vars(metrics).values():
        if isinstance(one, MetricWrapperBase):
            labels_of[one._name] = set(one._labelnames)
    served = {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, labels_of[family.name])
        for family in metrics.REGISTRY.collect()
    }
    assert documented == served
