"""A finished job as a report, and the same job while it ran, made up but of realistic size and shape."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

from domicile.learning.settings import TrainingSettings
from domicile.participation import (
    Absence,
    GlobalParticipation,
    LeftOut,
    Outcome,
    RegionalParticipation,
    ShardParticipation,
)
from domicile.privacy.claim import REPRODUCIBLE, claim_of
from domicile.privacy.settings import PrivacySettings
from domicile.protocol.budget import Budget
from domicile.protocol.round import JobPhase, ShardPhase, StallReason
from domicile.types import Address, JurisdictionCode, ShardIndex
from scripts.report.schema import (
    AbsentRecord,
    ByteRecord,
    CurvePoint,
    CurveRecord,
    ExportRecord,
    GasTotal,
    GlobalRound,
    JobRecord,
    LineageRecord,
    Metrics,
    NodeMetrics,
    NodePrivacyRecord,
    NodeRecord,
    PrivacyRecord,
    RefusalRecord,
    RegionalRound,
    Report,
)
from scripts.view import (
    AggregationView,
    CommitteeView,
    DatasetView,
    GlobalFigure,
    JobRules,
    JobView,
    RuleView,
    ShardLoss,
    ShardView,
    UnmaskingView,
)

SHARDS = {"EU": ("charite", "paris", "utrecht"), "US": ("ucsf", "nyu", "austin"), "IN": ("delhi", "pune", "chennai")}
PLACES = {
    **{"charite": "DE", "paris": "FR", "utrecht": "NL", "ucsf": "US-CA", "nyu": "US-NY", "austin": "US-TX"},
    **{"delhi": "IN", "pune": "IN", "chennai": "IN"},
}
NUM_GLOBAL_ROUNDS = 3
NUM_REGIONAL_ROUNDS = 3


class FinishedJob:
    """Nine nodes in three shards, three global rounds. `kind` is "binary", "multiclass" or "regression"."""

    def __init__(self, *, kind: str = "binary", shards: Mapping[str, Sequence[str]] = SHARDS, name: str = "diagnosis"):
        self._random = random.Random(7)  # noqa: S311 - figures of a sample, nothing secret
        self._kind = kind
        self._shards = shards
        self._name = name

    def private_report(self) -> Report:
        """The same of a job that promises something of each row's privacy."""
        return self.report().model_copy(update={"privacy": _privacy(self._shards)})

    def masked_report(self) -> Report:
        """The same of a job whose updates are masked: two survivors of each round answered, and nobody agreed on the
        survivors of the last round.
        """
        report = self.report()
        rounds = [one.model_copy(update={"unmasking": _unmasking(one)}) for one in report.regional_rounds]
        silent = UnmaskingView(survivors=None, answered=(), threshold=2, num_holders=3)
        rounds[-1] = rounds[-1].model_copy(update={"unmasking": silent})
        job = report.job.model_copy(update={"aggregation": AggregationView(kind="secure")})
        return report.model_copy(update={"job": job, "regional_rounds": rounds})

    def robust_report(self) -> Report:
        """The same of a job that one hostile node in each region cannot steer, and of which one round made no model."""
        report = self.report()
        robust = AggregationView(kind="robust", updates=RuleView(rule="trimmed_mean", num_hostile=1))
        job = report.job.model_copy(update={"aggregation": robust})
        why = "trimmed_mean against 1 hostile needs 3 contributions (n >= 2f + 1), 2 are usable"
        rounds = [*report.regional_rounds]
        rounds[-1] = rounds[-1].model_copy(update={"not_merged": why, "accepted_s": None, "model": None})
        return report.model_copy(update={"job": job, "regional_rounds": rounds})

    def report(self) -> Report:
        nodes = [self._node(shard, node) for shard, members in self._shards.items() for node in members]
        gas = {"attest": 71_214, "commit update": 43_987, "create job": 512_330, "export": 88_121, "join": 74_002}
        return Report(
            job=JobRecord(
                id=1,
                name=self._name,
                task="tabular",
                phase="complete",
                num_parameters=31,
                sensitivity="special",
                aggregation=AggregationView(kind="plain"),
                model="0x" + "5e" * 32,
            ),
            nodes=nodes,
            rounds=[self._global_round(number) for number in range(NUM_GLOBAL_ROUNDS)],
            regional_rounds=[
                self._regional_round(shard, members, number, regional)
                for number in range(NUM_GLOBAL_ROUNDS)
                for shard, members in self._shards.items()
                for regional in range(NUM_REGIONAL_ROUNDS)
            ],
            exports=[
                ExportRecord(
                    from_=shard,
                    to="border store",
                    global_round=number,
                    contributors=len(members),
                    digest="0x" + f"{number + 1:02x}" * 32,
                    model="0x" + f"{number + 17:02x}" * 32,
                    at_s=12 * number + 11,
                )
                for number in range(NUM_GLOBAL_ROUNDS)
                for shard, members in self._shards.items()
            ],
            participation=list(self.participation()),
            absent=[AbsentRecord(node="minsk", reason="refused at joining: JurisdictionNotInShard")],
            refusals=[RefusalRecord(node="minsk", action="join", reason="JurisdictionNotInShard")],
            gas=gas,
            gas_totals={action: GasTotal(num=27, total=27 * median) for action, median in gas.items()},
            bytes=ByteRecord(sealed=612_450, kept_in_region=520_118, exported=70_332),
            seconds=61.4,
            seconds_in_all=68.2,
            lineage=LineageRecord(verified=True, checks=412, problems=[]),
        )

    def views(self) -> list[JobView]:
        """The job at a few blocks: joining, collecting, all committed, exported, a shard stalled, complete."""
        joining = JobView(
            job=1,
            name=self._name,
            owner="lab",
            rules=JobRules(
                num_global_rounds=NUM_GLOBAL_ROUNDS,
                min_nodes=3,
                min_survivors=None,
                min_shards=2,
                max_retries=1,
                sensitivity="special",
            ),
            phase=JobPhase.JOINING,
            before=None,
            global_round=0,
            newest_model=None,
            retries=0,
            since_s=90,
            deadline_s=160,
            now_s=100,
            block=40,
            gas_used=2_000_000,
            shards=tuple(_idle(shard, tuple(members)) for shard, members in self._shards.items()),
            global_committee=_committee("global-1"),
            figures=(),
            participation=(),
            refusals=(("minsk", "JurisdictionNotInShard"),),
        )
        first, second, third = joining.shards
        collecting = replace(
            joining,
            phase=JobPhase.TRAINING,
            block=44,
            now_s=104,
            shards=(
                replace(first, phase=ShardPhase.COLLECTING, deadline_s=130, committed=first.members[:2]),
                replace(second, phase=ShardPhase.COLLECTING, deadline_s=130),
                replace(third, phase=ShardPhase.COLLECTING, deadline_s=130),
            ),
        )
        reported = replace(
            collecting,
            block=60,
            now_s=120,
            shards=(
                replace(
                    first,
                    phase=ShardPhase.REPORTED,
                    deadline_s=0,
                    regional_round=1,
                    committed=first.members,
                    losses=_losses(0.6931, 0.41),
                    exports=(0,),
                ),
                replace(
                    second, phase=ShardPhase.AGGREGATING, deadline_s=150, committed=second.members, losses=_losses(0.7)
                ),
                replace(third, phase=ShardPhase.STALLED, deadline_s=0, stall=StallReason.TOO_FEW_UPDATES),
            ),
            participation=self.participation()[:1],
        )
        complete = replace(
            reported,
            phase=JobPhase.COMPLETE,
            before=JobPhase.MERGING,
            newest_model=2,
            block=90,
            deadline_s=0,
            figures=(
                GlobalFigure(global_round=0, loss=0.35, accuracy=0.91),
                GlobalFigure(global_round=1, loss=0.21, accuracy=None),
            ),
            participation=self.participation(),
        )
        return [joining, collecting, reported, complete]

    def participation(self) -> tuple[GlobalParticipation, ...]:
        """As the rounds of the report have it: one update was left out, one shard stalled in its second regional round
        of one global round, where a node was silent.
        """
        return tuple(
            GlobalParticipation(
                global_round=number,
                outcome=Outcome.MERGED,
                shards=tuple(
                    self._shard_participation(ShardIndex(index), shard, number)
                    for index, shard in enumerate(self._shards)
                ),
            )
            for number in range(NUM_GLOBAL_ROUNDS)
        )

    def _shard_participation(self, index: ShardIndex, shard: str, number: int) -> ShardParticipation:
        members = tuple(map(Address, self._shards[shard]))
        stalls = (shard, number) == ("IN", 1)
        num_rounds = 2 if stalls else NUM_REGIONAL_ROUNDS
        rounds = [self._regional_participation(shard, members, number, one) for one in range(num_rounds)]
        if stalls:
            silent = LeftOut(node=members[0], cause=Absence.REFUSED, reason="attestation_expired")
            vain = [LeftOut(node=one, cause=Absence.NOT_MERGED, reason="too_few_updates") for one in members[1:]]
            rounds = [replace(one, stall="too_few_updates") for one in rounds]
            rounds[1] = replace(rounds[1], outcome=Outcome.STALLED, contributed=(), left_out=(silent, *vain))
        return ShardParticipation(
            shard=index,
            jurisdiction=JurisdictionCode(shard),
            outcome=Outcome.STALLED if stalls else Outcome.MERGED,
            reason="too_few_updates" if stalls else "",
            members=members,
            rounds=tuple(rounds),
        )

    def _regional_participation(
        self, shard: str, members: tuple[Address, ...], number: int, regional: int
    ) -> RegionalParticipation:
        lost = members[:1] if (shard, number, regional) == ("US", 1, 1) else ()
        return RegionalParticipation(
            regional_round=regional,
            outcome=Outcome.MERGED,
            stall="",
            expected=members,
            contributed=tuple(one for one in members if one not in lost),
            left_out=tuple(LeftOut(node=one, cause=Absence.EXCLUDED, reason="not_finite") for one in lost),
            awaited=(),
        )

    def _node(self, shard: str, name: str) -> NodeRecord:
        return NodeRecord(
            name=name,
            jurisdiction=PLACES.get(name, shard),
            shard=shard,
            num_train=self._random.randint(25, 70),
            num_test=self._random.randint(12, 30),
            num_steps=90,
            metrics=NodeMetrics(global_=self._metrics(0.97), local=self._metrics(0.91), pooled=self._metrics(0.98)),
        )

    def _metrics(self, centre: float) -> Metrics:
        def near(value: float) -> float:
            return round(min(1.0, value + self._random.uniform(-0.05, 0.03)), 4)

        loss = round(1.1 - near(centre), 4)
        if self._kind == "regression":
            return Metrics(loss=loss, rmse=loss**0.5, mae=loss**0.5 * 0.8, r2=near(centre - 0.2))
        auc = near(centre) if self._kind == "binary" else None
        return Metrics(loss=loss, accuracy=near(centre), balanced_accuracy=near(centre - 0.02), auc=auc)

    def _global_round(self, number: int) -> GlobalRound:
        return GlobalRound(
            global_round=number,
            opened_s=12 * number,
            accepted_s=12 * number + 12,
            reported=list(self._shards),
            stalled={"IN": "TOO_FEW_UPDATES"} if number == 1 else {},
            excluded={},
            model="0x" + f"{number + 33:02x}" * 32,
            test_loss=round(0.4 / (number + 1), 4),
            test_accuracy=None if self._kind == "regression" else round(0.9 + 0.03 * number, 4),
        )

    def _regional_round(self, shard: str, members: Sequence[str], number: int, regional: int) -> RegionalRound:
        step = NUM_REGIONAL_ROUNDS * number + regional
        lost = {members[0]: "NOT_FINITE"} if (shard, step) == ("US", 4) else {}
        return RegionalRound(
            shard=shard,
            global_round=number,
            regional_round=regional,
            opened_s=4 * step,
            accepted_s=4 * step + 3,
            members=len(members),
            committed=list(members),
            excluded=lost,
            contributors=len(members) - len(lost),
            loss=None if (shard, step) == ("IN", 3) else round(0.7 / (step + 1) + self._random.uniform(0, 0.05), 4),
            model="0x" + f"{step:02x}" * 32,
        )


def _idle(shard: str, members: tuple[str, ...]) -> ShardView:
    return ShardView(
        jurisdiction=shard,
        phase=ShardPhase.IDLE,
        stall=StallReason.NONE,
        regional_round=0,
        retries=0,
        since_s=100,
        deadline_s=0,
        members=members,
        committed=(),
        refused=(),
        committee=_committee(f"agg-{shard.lower()}", f"second-{shard.lower()}"),
        losses=(),
        exports=(),
    )


def _committee(*members: str) -> CommitteeView:
    return CommitteeView(members=members, quorum=1, votes=(), refused=())


def _losses(*values: float) -> tuple[ShardLoss, ...]:
    """Of the regional rounds of the first global round."""
    return tuple(ShardLoss(global_round=0, regional_round=number, loss=loss) for number, loss in enumerate(values))


def _unmasking(one: RegionalRound) -> UnmaskingView:
    survivors = tuple(name for name in one.committed if name not in one.excluded)
    return UnmaskingView(survivors=survivors, answered=survivors[:2], threshold=2, num_holders=3)


def _privacy(shards: Mapping[str, Sequence[str]]) -> PrivacyRecord:
    claim = claim_of(
        PrivacySettings(epsilon=8.0, delta=1e-5, max_grad_norm=1.0),
        TrainingSettings(steps=5),
        rounds=(NUM_GLOBAL_ROUNDS, NUM_REGIONAL_ROUNDS, 1),
        epsilon=7.987,
        randomness=REPRODUCIBLE,
    )
    spent = {"num_rows": 44, "sample_rate": 0.727, "noise_multiplier": 4.031, "epsilon": 7.987}
    taken = {"num_rounds": 9, "num_steps": 45, "max_steps": 90, "epsilon_spent": 5.346}
    names = [name for members in shards.values() for name in members]
    return PrivacyRecord(
        claim=claim,
        nodes=[NodePrivacyRecord(node=name, **spent, **taken) for name in names],
        epsilon_spent=5.346,
        datasets=list(datasets_of(names)),
        curve=CurveRecord(
            figure="accuracy",
            seeds=[7, 8, 9],
            points=[
                CurvePoint(epsilon=None, noise_multiplier=0.0, global_=[0.93, 0.94, 0.95], local=[0.85, 0.86, 0.84]),
                CurvePoint(epsilon=8.0, noise_multiplier=2.7, global_=[0.92, 0.91, 0.93], local=[0.77, 0.92, 0.77]),
                CurvePoint(epsilon=1.0, noise_multiplier=16.9, global_=[0.85, 0.8, 0.9], local=[0.68, 0.81, 0.63]),
            ],
        ),
    )


def datasets_of(names: Sequence[str]) -> tuple[DatasetView, ...]:
    """A grant of which two jobs of ε = 8 could be had; nobody said yet what the last one spent."""
    granted, reserved = Budget.covering(16.0, 1e-4), Budget.covering(8.0, 1e-5)
    spent = [Budget.covering(5.346, 1e-5)] * (len(names) - 1)
    return tuple(
        DatasetView(
            dataset=number,
            node=name,
            granted=granted,
            reserved=reserved,
            spent=one,
            remaining=granted - (one or reserved),
        )
        for number, (name, one) in enumerate(zip(names, [*spent, None], strict=True), 1)
    )
