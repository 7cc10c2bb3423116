"""The report as data (``--json``): version 1, documented in ``docs/report-format.md``.

Times are seconds since the job was created on the chain's clock unless a name says otherwise; digests are
hexadecimal with ``0x``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from domicile.participation import GlobalParticipation
from domicile.privacy.claim import Claim
from scripts.view import AggregationView, DatasetView, UnmaskingView

REPORT_VERSION: Literal["1"] = "1"


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Metrics(_Record):
    """Figures of one model on one held-out part; ``None`` where the task or the split has no such figure."""

    loss: float
    accuracy: float | None = None
    balanced_accuracy: float | None = None
    auc: float | None = None
    rmse: float | None = None
    mae: float | None = None
    r2: float | None = None


class NodeMetrics(_Record):
    """The final global model, a model trained on this node alone and one trained on all data pooled.

    The last two take as many gradient steps as the node took in the job. A pooled model exists only in the sandbox,
    where all data lies on one machine.
    """

    global_: Metrics | None = Field(validation_alias="global", serialization_alias="global")
    local: Metrics | None
    pooled: Metrics | None


class NodeRecord(_Record):
    name: str
    jurisdiction: str
    shard: str
    num_train: int
    num_test: int
    num_steps: int
    metrics: NodeMetrics

    def figure(self, column: str, name: str) -> float | None:
        """One figure of the ``global``, ``local`` or ``pooled`` model."""
        metrics = {"global": self.metrics.global_, "local": self.metrics.local, "pooled": self.metrics.pooled}[column]
        value: float | None = None if metrics is None else getattr(metrics, name)
        return value


class RegionalRound(_Record):
    """One regional round of one shard. ``loss`` is the validation loss of the model that the round started from."""

    shard: str
    global_round: int
    regional_round: int
    opened_s: int
    accepted_s: int | None
    members: int
    committed: list[str]
    excluded: dict[str, str]
    contributors: int | None
    loss: float | None
    model: str | None
    not_merged: str | None = None
    """Why the committee made no model of the round, where one of its members knows."""

    unmasking: UnmaskingView | None = None
    """``None`` where updates are not masked."""


class GlobalRound(_Record):
    """One global round. Figures are means over the held-out parts of all reported regions, weighted by rows."""

    global_round: int
    opened_s: int
    accepted_s: int | None
    reported: list[str]
    stalled: dict[str, str]
    excluded: dict[str, str]
    model: str | None
    test_loss: float | None
    test_accuracy: float | None


class ExportRecord(_Record):
    """One crossing of a border: a line of the public export ledger."""

    from_: str = Field(validation_alias="from", serialization_alias="from")
    to: str
    global_round: int
    contributors: int
    digest: str
    model: str
    at_s: int


class AbsentRecord(_Record):
    """A node of the network that never became a member of the job."""

    node: str
    reason: str


class RefusalRecord(_Record):
    node: str
    action: str
    reason: str


class GasTotal(_Record):
    num: int
    total: int


class ByteRecord(_Record):
    """Sealed payload bytes: all, those that stayed in their region, and those that crossed to the border store."""

    sealed: int
    kept_in_region: int
    exported: int


class LineageRecord(_Record):
    verified: bool
    checks: int
    problems: list[str]


class NodePrivacyRecord(_Record):
    """``epsilon`` is over all rounds that the job could ask for, ``epsilon_spent`` over those that were trained."""

    node: str
    num_rows: int
    sample_rate: float
    noise_multiplier: float
    epsilon: float
    num_rounds: int
    num_steps: int
    max_steps: int
    epsilon_spent: float


class CurvePoint(_Record):
    """The job at one ε (``None``: without privacy), once a seed. ``noise_multiplier`` is the greatest of all nodes."""

    epsilon: float | None
    noise_multiplier: float
    global_: list[float] = Field(validation_alias="global", serialization_alias="global")
    local: list[float]


class CurveRecord(_Record):
    """What ε costs the job's model: ``figure`` at the nodes' own held-out rows, the mean over the nodes."""

    figure: str
    seeds: list[int]
    points: list[CurvePoint]


class PrivacyRecord(_Record):
    """What is claimed of the privacy of rows or nodes, point by point as NIST SP 800-226 asks for it. ``epsilon_spent``
    is the most over the nodes.
    """

    claim: Claim
    nodes: list[NodePrivacyRecord]
    epsilon_spent: float
    datasets: list[DatasetView]
    curve: CurveRecord | None = None


class JobRecord(_Record):
    id: int
    name: str
    task: str
    phase: str
    num_parameters: int
    sensitivity: str
    aggregation: AggregationView
    model: str | None


class Report(_Record):
    version: Literal["1"] = REPORT_VERSION
    job: JobRecord
    nodes: list[NodeRecord]
    privacy: PrivacyRecord | None = None
    """``None`` where the job promises no privacy."""

    privacy_left_out: bool = False
    """Whether the job asks for privacy, and this run left it out."""

    rounds: list[GlobalRound]
    regional_rounds: list[RegionalRound]
    participation: list[GlobalParticipation]
    absent: list[AbsentRecord]
    exports: list[ExportRecord]
    refusals: list[RefusalRecord]
    gas: dict[str, int]
    """Median gas of a transaction, by action."""

    gas_totals: dict[str, GasTotal]
    bytes: ByteRecord
    seconds: float
    """Wall-clock seconds from the start of the first process to the final phase."""

    seconds_in_all: float
    """The same until the nodes had measured the last global model and the lineage was checked."""

    lineage: LineageRecord
