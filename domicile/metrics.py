"""What a daemon counts, for Prometheus: served over HTTP where the configuration asks for it, and nowhere else.

Figures are of this process since it started. None tells of rows, of a model's content or of another party, and no label
comes from a document of somebody else.
"""

from __future__ import annotations

import platform
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from domicile import __version__
from domicile.errors import ConfigurationError, Refused
from domicile.protocol.eligibility import Refusal
from domicile.protocol.refusals import NotEligible
from domicile.protocol.round import JobPhase, JobState, ShardPhase, ShardState
from domicile.types import JobId

NUM_JOBS_MAX = 64
"""Jobs that are shown at once: anybody may create jobs, and each costs Prometheus a dozen series or more."""

_SECONDS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)

REGISTRY = CollectorRegistry()
ACT_SECONDS = Histogram(
    "domicile_act_seconds",
    "Seconds that an act took, without those of the acts within it.",
    ["act"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
SEALED_BYTES = Counter(
    "domicile_sealed_bytes", "Bytes of the payloads that were sealed here, by kind.", ["kind"], registry=REGISTRY
)
STORED_BYTES = Counter(
    "domicile_store_written_bytes", "Bytes of the blocks that were put into a store.", ["store"], registry=REGISTRY
)
READ_BYTES = Counter(
    "domicile_store_read_bytes", "Bytes of the blocks that were read from a store.", ["store"], registry=REGISTRY
)
TRANSACTIONS = Counter(
    "domicile_transactions",
    "Transactions of this account that were mined, by the contract's function and outcome.",
    ["action", "outcome"],
    registry=REGISTRY,
)
GAS_USED = Counter(
    "domicile_gas_used", "Gas that this account's transactions used, by function.", ["action"], registry=REGISTRY
)
REFUSALS = Counter(
    "domicile_refusals",
    "Acts that a contract or its gate refused, by reason.",
    ["reason"],
    registry=REGISTRY,
)
FAULTS = Counter(
    "domicile_faults", "Faults of chain, stores and peers that were waited out, by kind.", ["kind"], registry=REGISTRY
)
LAST_LOOK_TIME = Gauge(
    "domicile_last_look_timestamp_seconds", "Unix time of the last look at the chain.", registry=REGISTRY
)
LAST_LOOK_BLOCK = Gauge("domicile_last_look_block", "Newest block that was read.", registry=REGISTRY)
CHAIN_TIME = Gauge(
    "domicile_chain_timestamp_seconds", "The chain's time at the last look; deadlines follow it.", registry=REGISTRY
)
STARTED = Gauge("domicile_started_timestamp_seconds", "Unix time of the daemon's start.", registry=REGISTRY)
BUILD = Gauge(
    "domicile_build_info",
    "Always 1; the labels say what runs.",
    ["version", "python", "role", "party"],
    registry=REGISTRY,
)


class _Jobs(Collector):
    """The jobs that were looked at last, as the chain showed them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: OrderedDict[JobId, tuple[JobState, tuple[ShardState, ...]]] = OrderedDict()

    def saw(self, job: JobId, state: JobState, shards: tuple[ShardState, ...]) -> None:
        with self._lock:
            self._seen[job] = (state, shards)
            self._seen.move_to_end(job)
            if len(self._seen) > NUM_JOBS_MAX:
                self._seen.popitem(last=False)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            seen = dict(self._seen)
        global_round = GaugeMetricFamily(
            "domicile_job_global_round", "Present global round of a job, from 0.", labels=["job"]
        )
        phase = GaugeMetricFamily(
            "domicile_job_phase", "1 for the present phase of a job, 0 for all others.", labels=["job", "phase"]
        )
        regional_round = GaugeMetricFamily(
            "domicile_shard_regional_round", "Present regional round of a shard, from 0.", labels=["job", "shard"]
        )
        shard_phase = GaugeMetricFamily(
            "domicile_shard_phase",
            "1 for the present phase of a shard, 0 for all others.",
            labels=["job", "shard", "phase"],
        )
        for job, (state, shards) in seen.items():
            global_round.add_metric([str(job)], state.global_round)
            for each in JobPhase:
                phase.add_metric([str(job), each.name.lower()], float(each is state.phase))
            for index, shard in enumerate(shards):
                regional_round.add_metric([str(job), str(index)], shard.regional_round)
                for one in ShardPhase:
                    shard_phase.add_metric([str(job), str(index), one.name.lower()], float(one is shard.phase))
        yield from (global_round, phase, regional_round, shard_phase)


JOBS = _Jobs()
REGISTRY.register(JOBS)


class Stopwatch:
    """Adds up the seconds inside its ``with`` blocks, without those of stopwatches that run within them."""

    _running = threading.local()

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> Self:
        self._within = 0.0
        self._stack.append(self)
        self._started = time.perf_counter()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        elapsed = time.perf_counter() - self._started
        self._stack.pop()
        self.seconds += elapsed - self._within
        if self._stack:
            self._stack[-1]._within += elapsed

    @property
    def _stack(self) -> list[Stopwatch]:
        if not hasattr(self._running, "stack"):
            self._running.stack = []
        stack: list[Stopwatch] = self._running.stack
        return stack


@contextmanager
def acting(act: str | object) -> Iterator[None]:
    """Times an act by its name, or by that of the decision's class; what fails is counted elsewhere."""
    name = act if isinstance(act, str) else type(act).__name__.lower()
    with Stopwatch() as watch:
        yield
    ACT_SECONDS.labels("advance" if name.startswith("advance") else name).observe(watch.seconds)


def looked(block: int, chain_s: int) -> None:
    """Notes a look at the chain."""
    LAST_LOOK_TIME.set(time.time())
    LAST_LOOK_BLOCK.set(block)
    CHAIN_TIME.set(chain_s)


def mined(action: str, gas_used: int, *, passed: bool) -> None:
    """Counts a transaction of this account."""
    TRANSACTIONS.labels(action, "passed" if passed else "reverted").inc()
    GAS_USED.labels(action).inc(gas_used)


def sealed(kind: Enum, num_bytes: int) -> None:
    """Counts a sealed payload; its size follows from the model and the number of its recipients alone."""
    SEALED_BYTES.labels(kind.name.lower()).inc(num_bytes)


def refused(refusal: Refused) -> None:
    """Counts an act that a contract refused."""
    reason = refusal.reason.name.lower() if isinstance(refusal, NotEligible) else type(refusal).__name__
    REFUSALS.labels(reason).inc()


class Gate:
    """Counts refusals of the contracts' gate where it is asked again at every look: each once, until it changes."""

    def __init__(self) -> None:
        self._said = Refusal.NONE

    def said(self, answer: Refusal) -> bool:
        """Takes in an answer; whether it is a refusal."""
        if answer not in (self._said, Refusal.NONE):
            REFUSALS.labels(answer.name.lower()).inc()
        self._said = answer
        return answer is not Refusal.NONE


def serve(port: int | None, host: str, *, role: str, party: str) -> None:
    """Serves all figures at ``http://HOST:PORT/metrics`` until the process ends; without a port, does nothing.

    Raises:
        ConfigurationError: the port cannot be had.
    """
    if port is None:
        return
    disable_created_metrics()  # type: ignore[no-untyped-call]
    BUILD.labels(__version__, platform.python_version(), role, party).set(1)
    STARTED.set(time.time())
    try:
        start_http_server(port, addr=host, registry=REGISTRY)
    except OSError as exc:
        raise ConfigurationError(
            f"metrics: {host}:{port} cannot be listened on ({exc.strerror}); choose another metrics.port or leave "
            "[metrics] out"
        ) from exc
