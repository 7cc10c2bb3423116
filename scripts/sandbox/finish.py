"""After the job: reference models, the report on screen, as a page and as data, and the model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from rich.console import Console

from aggregator.journal import AggregatorJournal
from domicile.history import RegionalKey
from domicile.learning.model import load_flat, save_model
from domicile.learning.references import train_local_only, train_pooled
from domicile.learning.task import NodeData
from domicile.learning.training import evaluate
from domicile.models import JobModels
from domicile.participation import Absence, GlobalParticipation, RegionalParticipation
from domicile.participation import Outcome as RoundOutcome
from domicile.protocol.round import NO_LOSS, JobPhase, ShardPhase
from domicile.types import ShardIndex
from node.journal import NodeJournal
from node.training import training_seed
from scripts.live import View
from scripts.observing import BlockTimes
from scripts.outputs import write_each
from scripts.report.data import write_json
from scripts.report.page import render_page
from scripts.report.schema import (
    AbsentRecord,
    ByteRecord,
    ExportRecord,
    GasTotal,
    GlobalRound,
    JobRecord,
    LineageRecord,
    Metrics,
    NodeMetrics,
    NodeRecord,
    RefusalRecord,
    RegionalRound,
    Report,
)
from scripts.report.screen import print_report
from scripts.sandbox.journals import held_out_figure
from scripts.sandbox.privacy import pooled_budget, privacy_of, training_under
from scripts.sandbox.run import Finish, Outcome
from scripts.sandbox.sweep import train_sweep
from scripts.viewing import aggregation_of, unmasking_of

MICROS = 1_000_000


def finish_with(out: Path, json_file: Path | None) -> Finish:
    """What `run_sandbox` calls when the job is over."""

    def finish(outcome: Outcome, view: View) -> bool:
        view.say("training the local-only and pooled reference models")
        if outcome.plan.curve is not None:
            view.say(f"training the job at {len(outcome.plan.curve.budgets)} values of ε, for the accuracy over ε")
        report = build_report(outcome)
        view.close()
        page = out / "report.html"
        outputs: list[tuple[Path, Callable[[], object]]] = [
            (page, lambda: page.write_text(render_page(report), encoding="utf-8"))
        ]
        if json_file is not None:
            outputs.append((json_file, lambda: write_json(report, json_file)))
        if outcome.models.history.newest_global_round is not None:
            model = out / "model.safetensors"
            outputs.append((model, lambda: _save_newest(outcome.models, model)))
        console = Console()
        print_report(report, console)
        written = write_each(outputs)
        if page in written:
            console.print(f"page: {page}", highlight=False, markup=False, soft_wrap=True)
        return len(written) == len(outputs)

    return finish


def _save_newest(models: JobModels, path: Path) -> None:
    newest = models.history.newest_global_round
    if newest is not None:
        values_P = torch.empty(models.layout.num_parameters)
        save_model(models.global_model(newest, values_P), values_P, path)


def build_report(outcome: Outcome) -> Report:
    """Everything that the chain, the journals and the reference models tell of a finished job."""
    history = outcome.observer.history
    newest = history.newest_global_round
    origin_s = outcome.ground.chain.timestamp_of(history.created.block)
    seconds = _Clock(outcome.observer.times, origin_s)
    participation = outcome.observer.participation()
    return Report(
        job=JobRecord(
            id=outcome.job,
            name=outcome.plan.job.name,
            task=outcome.plan.job.task.use,
            phase=history.job_phases[-1].phase.name.lower(),
            num_parameters=outcome.models.layout.num_parameters,
            sensitivity=outcome.plan.job.sensitivity,
            aggregation=aggregation_of(outcome.plan.job.aggregation, outcome.plan.job.robust),
            model=None if newest is None else _hex(history.global_models[newest].model),
        ),
        nodes=_nodes(outcome),
        privacy=privacy_of(
            outcome.plan, _rounds(outcome), outcome.observer.datasets(), train_sweep(outcome, _steps(outcome))
        ),
        privacy_left_out=outcome.plan.privacy_left_out,
        rounds=[_global_round(outcome, whole, seconds) for whole in participation],
        regional_rounds=_regional_rounds(outcome, participation, seconds),
        participation=list(participation),
        absent=[AbsentRecord(node=name, reason=why) for name, why in outcome.absent.items()],
        exports=[
            ExportRecord(
                from_=event.jurisdiction,
                to="border store",
                global_round=event.global_round,
                contributors=event.contributors,
                digest=_hex(event.payload),
                model=_hex(event.model),
                at_s=seconds.at(event.block),
            )
            for exports in history.exports.values()
            for event in exports.values()
        ],
        refusals=[RefusalRecord(node=n, action=a, reason=r) for n, a, r in outcome.refusals],
        gas={action: int(statistics.median(used)) for action, used in sorted(outcome.observer.gas.by_action.items())},
        gas_totals={
            action: GasTotal(num=len(used), total=sum(used))
            for action, used in sorted(outcome.observer.gas.by_action.items())
        },
        bytes=_bytes(outcome),
        seconds=round(outcome.seconds, 1),
        seconds_in_all=round(outcome.seconds_in_all, 1),
        lineage=LineageRecord(
            verified=outcome.lineage.verified,
            checks=outcome.lineage.num_checks,
            problems=list(outcome.lineage.problems),
        ),
    )


class _Clock:
    """Blocks as seconds since the job was created."""

    def __init__(self, times: BlockTimes, origin_s: int) -> None:
        self._times = times
        self._origin_s = origin_s

    def at(self, block: int) -> int:
        return self._times.at(block) - self._origin_s


def _nodes(outcome: Outcome) -> list[NodeRecord]:
    steps = _steps(outcome)
    members = [node for node in outcome.plan.network.nodes if node.name in steps]
    data = {node.name: outcome.plan.data[node.name] for node in members}
    if not members:
        return []
    initial_P = torch.empty(outcome.models.layout.num_parameters)
    outcome.models.global_model(-1, initial_P)
    seed = outcome.plan.job.seed
    task, settings = outcome.plan.task, outcome.plan.job.training
    pooled_steps = round(statistics.median(steps.values()))
    num_pooled = sum(len(one.train[0]) for one in data.values())
    pooled_P = train_pooled(
        task,
        initial_P,
        list(data.values()),
        settings,
        num_steps=pooled_steps,
        seed=seed,
        training=training_under(pooled_budget(outcome.plan, num_pooled), seed),
    )
    found = []
    for node in members:
        own_seed = training_seed(outcome.models.spec, outcome.ground.addresses[node.name], 0, 0)
        local_P = train_local_only(
            task,
            initial_P,
            data[node.name],
            settings,
            num_steps=steps[node.name],
            seed=own_seed,
            training=training_under(outcome.plan.budgets.get(node.name), own_seed),
        )
        found.append(
            NodeRecord(
                name=node.name,
                jurisdiction=node.jurisdiction,
                shard=outcome.plan.home[node.name],
                num_train=len(data[node.name].train[0]),
                num_test=len(data[node.name].test[0]),
                num_steps=steps[node.name],
                metrics=NodeMetrics(
                    global_=_journaled(outcome, node.name),
                    local=_measured(outcome, local_P, data[node.name]),
                    pooled=_measured(outcome, pooled_P, data[node.name]),
                ),
            )
        )
    return found


def _steps(outcome: Outcome) -> dict[str, int]:
    """Gradient steps that each node took in the job; nodes that took none are left out."""
    steps = {}
    for node in outcome.plan.network.nodes:
        journal = NodeJournal(outcome.ground.party_folder(node.name) / "journal.sqlite")
        taken = sum(update.num_steps for update in journal.updates(outcome.job))
        journal.close()
        if taken:
            steps[node.name] = taken
    return steps


def _rounds(outcome: Outcome) -> dict[str, int]:
    """Regional rounds in which each node sealed an update; nodes that sealed none are left out."""
    rounds = {}
    for node in outcome.plan.network.nodes:
        journal = NodeJournal(outcome.ground.party_folder(node.name) / "journal.sqlite")
        if updates := journal.updates(outcome.job):
            rounds[node.name] = len(updates)
        journal.close()
    return rounds


def _journaled(outcome: Outcome, name: str) -> Metrics | None:
    """What the node itself measured of the last global model."""
    journal = NodeJournal(outcome.ground.party_folder(name) / "journal.sqlite")
    evaluations = journal.evaluations(outcome.job)
    journal.close()
    return Metrics.model_validate(evaluations[-1].metrics) if evaluations else None


def _measured(outcome: Outcome, values_P: torch.Tensor, data: NodeData) -> Metrics:
    module = outcome.plan.task.build_model()
    load_flat(module, values_P)
    return Metrics.model_validate(evaluate(outcome.plan.task, module, data.test).metrics)


def _global_round(outcome: Outcome, whole: GlobalParticipation, seconds: _Clock) -> GlobalRound:
    history = outcome.observer.history
    number = whole.global_round
    accepted = history.global_models.get(number)
    opened = next(e for e in history.job_phases if e.phase is JobPhase.TRAINING and e.global_round == number)
    figure = held_out_figure(outcome.plan, outcome.ground, outcome.job, number)
    return GlobalRound(
        global_round=number,
        opened_s=seconds.at(opened.block),
        accepted_s=seconds.at(accepted.block) if accepted else None,
        reported=[event.jurisdiction for event in history.exports.get(number, {}).values()],
        stalled=_shards_that(RoundOutcome.STALLED, whole),
        excluded=_shards_that(RoundOutcome.EXCLUDED, whole),
        model=_hex(accepted.model) if accepted else None,
        test_loss=None if figure is None else figure.loss,
        test_accuracy=None if figure is None else figure.accuracy,
    )


def _shards_that(came_to: RoundOutcome, whole: GlobalParticipation) -> dict[str, str]:
    return {one.jurisdiction: one.reason.upper() for one in whole.shards if one.outcome is came_to}


def _regional_rounds(
    outcome: Outcome, participation: Sequence[GlobalParticipation], seconds: _Clock
) -> list[RegionalRound]:
    """In order of opening."""
    history = outcome.observer.history
    opened: dict[RegionalKey, int] = {}
    for event in history.shard_phases:
        if event.phase is ShardPhase.COLLECTING:
            opened.setdefault((event.shard, event.global_round, event.regional_round), event.block)
    told = {
        (shard.shard, whole.global_round, one.regional_round): one
        for whole in participation
        for shard in whole.shards
        for one in shard.rounds
    }
    unmerged = _unmerged(outcome)
    return [
        _regional_round(outcome, key, told[key], seconds.at(block), seconds, unmerged) for key, block in opened.items()
    ]


def _unmerged(outcome: Outcome) -> dict[RegionalKey, str]:
    """Why rounds made no model, from the journals of those who were to make one."""
    found: dict[RegionalKey, str] = {}
    for member in outcome.plan.network.aggregators:
        journal = AggregatorJournal(outcome.ground.party_folder(member.name) / "journal.sqlite")
        for one in journal.unmerged(outcome.job):
            found.setdefault((ShardIndex(one.shard), one.global_round, one.regional_round), one.reason)
        journal.close()
    return found


def _regional_round(
    outcome: Outcome,
    key: RegionalKey,
    one: RegionalParticipation,
    opened_s: int,
    seconds: _Clock,
    unmerged: Mapping[RegionalKey, str],
) -> RegionalRound:
    history = outcome.observer.history
    accepted = history.regional_models.get(key)
    return RegionalRound(
        shard=history.shards[key[0]].parameters.jurisdiction,
        global_round=key[1],
        regional_round=key[2],
        opened_s=opened_s,
        accepted_s=seconds.at(accepted.block) if accepted else None,
        members=len(one.expected),
        committed=[outcome.ground.names.get(event.node, event.node) for event in history.commits_of(key)],
        excluded={lost.node: lost.reason.upper() for lost in one.left_out if lost.cause is Absence.EXCLUDED},
        contributors=accepted.contributors if accepted else None,
        loss=None if accepted is None or not outcome.tells_losses else _loss(accepted.loss_micros),
        model=_hex(accepted.model) if accepted else None,
        not_merged=None if accepted else unmerged.get(key),
        unmasking=unmasking_of(history, key, lambda one: outcome.ground.names.get(one, one)),
    )


def _loss(micros: int) -> float | None:
    return None if micros == NO_LOSS else micros / MICROS


def _bytes(outcome: Outcome) -> ByteRecord:
    """Sealed bytes, from the journals of those who sealed them."""
    kept = exported = other = 0
    for node in outcome.plan.network.nodes:
        journal = NodeJournal(outcome.ground.party_folder(node.name) / "journal.sqlite")
        kept += sum(update.sealed_bytes for update in journal.updates(outcome.job))
        journal.close()
    for member in outcome.plan.network.aggregators:
        aggregator = AggregatorJournal(outcome.ground.party_folder(member.name) / "journal.sqlite")
        for payload in aggregator.payloads(outcome.job):
            kept += payload.sealed_bytes if payload.kind == "regional" else 0
            exported += payload.sealed_bytes if payload.kind == "export" else 0
            other += payload.sealed_bytes if payload.kind == "global" else 0
        aggregator.close()
    return ByteRecord(sealed=kept + exported + other, kept_in_region=kept, exported=exported)


def _hex(value: bytes) -> str:
    return "0x" + value.hex()
