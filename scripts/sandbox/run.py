"""``domicile sandbox``: any network and job from two files, on one machine, from nothing to the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from domicile.chain.devnet import Devnet
from domicile.errors import Interrupted, Refused
from domicile.exchange import fetch_spec
from domicile.lineage import Lineage, verify_lineage
from domicile.models import JobModels, open_job_models
from domicile.party import ChainSettings, KeySettings, Party, PartySettings, StoreSettings, open_party
from domicile.protocol.round import FINAL_PHASES, Committee, JobPhase
from domicile.registration import ensure_registered
from domicile.storage.store import Store, open_store
from domicile.text import printable
from domicile.types import JobId
from node.journal import NodeJournal
from scripts.interruption import ALL_ENDED, Interruption
from scripts.live import View, open_view
from scripts.network_file import CommitteeEntry
from scripts.observing import Observer
from scripts.ordering import Order, order_job, prepare
from scripts.outputs import check_output_file
from scripts.sandbox.bring_up import ACCESS_FILE, OWNER, Ground, bring_up, store_places, write_access
from scripts.sandbox.folder import claimed
from scripts.sandbox.journals import held_out_figure
from scripts.sandbox.plan import Plan, initial_values, load_plan
from scripts.sandbox.privacy import RunningCosts
from scripts.sandbox.processes import Processes
from scripts.view import JobView

LOOK_S = 0.2
EVALUATION_TIMEOUT_S = 30.0
RETURN_TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished job and everything that its report is made of."""

    plan: Plan
    ground: Ground
    job: JobId
    owner: Party
    models: JobModels
    observer: Observer
    lineage: Lineage
    refusals: tuple[tuple[str, str, str], ...]
    """``(node, action, reason)``"""

    absent: dict[str, str]
    """Nodes of the network that never became a member, and why."""

    seconds: float
    """Until the final phase."""

    seconds_in_all: float
    """Until the last measurements were there and the record was replayed as well."""

    @property
    def tells_losses(self) -> bool:
        """Whether the losses on chain are of rows."""
        return self.plan.job.privacy is None or not self.plan.job.privacy.withholds


Finish = Callable[[Outcome, View], bool]
"""Shows and writes what came of a job; `False` if anything could not be written, which it has told."""


def run_sandbox(
    folder: Path,
    out: Path,
    *,
    keep: bool,
    json_file: Path | None,
    finish: Finish,
    privacy_left_out: bool = False,
    curve_seeds: int = 0,
) -> int:
    """Runs the job; calls `finish` with its outcome while the network is still up.

    Returns:
        0 if the job completed, its lineage holds and everything was written, 1 otherwise.

    Raises:
        ConfigurationError: a file is wrong; nothing was started.
        Interrupted: Ctrl-C or SIGTERM; everything that was started has ended.
    """
    out = out.absolute()
    if json_file is not None:
        check_output_file(json_file, "--json", made=out)
    plan = load_plan(folder, privacy_left_out=privacy_left_out, curve_seeds=curve_seeds)
    with claimed(out), Interruption() as interruption:
        try:
            code = _with_processes(plan, out, interruption, keep=keep, finish=finish)
        except BaseException:
            # Whatever an interrupt became on its way here, it was one.
            if not interruption.came:
                raise
        if interruption.came:
            raise Interrupted(ALL_ENDED)
        return code


def _with_processes(plan: Plan, out: Path, interruption: Interruption, *, keep: bool, finish: Finish) -> int:
    devnet, processes = Devnet(block_time_s=plan.network.block_time_s), Processes()
    try:
        with interruption.held():
            processes.open()
            devnet.start()
        return _run(plan, out, devnet, processes, keep=keep, finish=finish)
    finally:
        with interruption.held():
            processes.stop()
            devnet.stop()
            (out / ACCESS_FILE).unlink(missing_ok=True)


def _run(plan: Plan, out: Path, devnet: Devnet, processes: Processes, *, keep: bool, finish: Finish) -> int:
    started = time.monotonic()
    with open_view(sys.stdout) as view:
        ground = bring_up(plan, devnet.rpc_url, processes, out, view.say)
        write_access(plan, ground)
        view.say(f"look at it with `domicile job list --access {ground.access_file}`")
        outcome = run_job(plan, ground, processes, view, started)
        written = finish(outcome, view)
    if keep:
        _keep(ground, devnet, processes)
    completed = outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    return 0 if completed and outcome.lineage.verified and written else 1


def run_job(plan: Plan, ground: Ground, processes: Processes, view: View, started: float) -> Outcome:
    """Orders the plan's job on a network that is up, follows it to its end, and replays its record."""
    owner = open_owner(ground)
    ensure_registered(owner)
    job = order_job(owner, prepare(order_of(plan, ground)))
    view.say(f"job {job} created: {plan.job.name!r}, shards {', '.join(plan.job.shards)}")
    observer = Observer(owner.chain, owner.deployment, job, plan.job.name, ground.names)
    journals = {
        node.name: NodeJournal(ground.party_folder(node.name) / "journal.sqlite") for node in plan.network.nodes
    }
    view.update(observer.look())
    _await_members(ground, job, observer, journals, processes, view)
    _start(owner, job, journals, view)
    spec = fetch_spec(owner.border, observer.history.created.parameters.spec)
    models = open_job_models(owner, job, observer.history, spec)
    observer.models, observer.spec = models, spec
    _follow(plan, ground, job, observer, journals, processes, view)
    seconds = time.monotonic() - started
    _await_evaluations(job, observer, journals, processes, view)
    newest = observer.history.newest_global_round
    if newest is not None and (figure := held_out_figure(plan, ground, job, newest)) is not None:
        observer.figures[newest] = figure
        view.update(observer.look(_refusals_seen(job, journals)))
    _await_returns(ground, job, observer, journals, processes, view)
    lineage = verify_lineage(ground.chain, ground.deployment, job, open_stores(plan, ground))
    refusals = tuple(
        (name, action, reason) for name, journal in journals.items() for action, reason in journal.refusals(job)
    )
    absent = _absent(ground, job, observer, journals, processes)
    for journal in journals.values():
        journal.close()
    return Outcome(
        plan=plan,
        ground=ground,
        job=job,
        owner=owner,
        models=replace(models, history=observer.history),
        observer=observer,
        lineage=lineage,
        refusals=refusals,
        absent=absent,
        seconds=seconds,
        seconds_in_all=time.monotonic() - started,
    )


def _start(owner: Party, job: JobId, journals: dict[str, NodeJournal], view: View) -> None:
    """Starts the job; one that the contract does not let start is cancelled, so that its report can say why."""
    if owner.jobs.snapshot(job)[0].phase is not JobPhase.JOINING:
        return
    try:
        owner.sender.act(owner.jobs.start(job))
        return
    except Refused as exc:
        view.say(f"job {job} cannot start: {exc}")
    for name, journal in journals.items():
        for action, reason in journal.refusals(job):
            view.say(f"{name}, {action}: refused by the contract: {reason}")
        if (declined := journal.declined(job)) is not None:
            view.say(f"{name} declined: {declined}")
    owner.sender.act(owner.jobs.cancel(job))


def _follow(
    plan: Plan,
    ground: Ground,
    job: JobId,
    observer: Observer,
    journals: dict[str, NodeJournal],
    processes: Processes,
    view: View,
) -> None:
    """Shows the job until its final phase."""
    seen: set[str] = set()
    costs = RunningCosts(plan)
    while True:
        told = observer.look(_refusals_seen(job, journals))
        view.update(replace(told, costs=costs.after(_rounds_before(told, job, journals))))
        _tell_ended(ground, processes, seen, view.say)
        if told.phase in FINAL_PHASES:
            return
        time.sleep(LOOK_S)


def _rounds_before(told: JobView, job: JobId, journals: dict[str, NodeJournal]) -> dict[str, int]:
    """Regional rounds of finished global rounds in which each holder of a reserved dataset sealed an update."""
    return {
        one.node: sum(update.global_round < told.global_round for update in journals[one.node].updates(job))
        for one in told.datasets
    }


def _tell_ended(ground: Ground, processes: Processes, seen: set[str], say: Callable[[str], None]) -> None:
    for name, code in processes.ended().items():
        if name not in seen:
            seen.add(name)
            say(f"{name} ended with exit code {code}; see {ground.party_folder(name) / 'log.jsonl'}")


def open_owner(ground: Ground) -> Party:
    """The job's owner as a party of the network."""
    folder = ground.party_folder(OWNER)
    settings = PartySettings(
        name=OWNER,
        journal=folder / "journal.sqlite",
        chain=ChainSettings(rpc_url=ground.rpc_url, deployment=ground.deployment_file),
        keys=KeySettings(account=folder / "account.json", hpke=folder / "hpke.json", password_file=folder / "password"),
        stores=StoreSettings(border=ground.store("border")),
    )
    return open_party(settings)


def open_stores(plan: Plan, ground: Ground) -> dict[str, Store]:
    """Every store of the sandbox, which alone sees all of them."""
    return {place: open_store(ground.store(place)) for place in store_places(plan)}


def order_of(plan: Plan, ground: Ground) -> Order:
    """What the plan's job orders from a network that is up."""

    def committee(entry: CommitteeEntry) -> Committee:
        return Committee(members=tuple(ground.addresses[name] for name in entry.members), quorum=entry.quorum)

    return Order(
        job=plan.job,
        options=plan.options,
        task_digest=plan.task_digest,
        initial=initial_values(plan),
        committees={code: committee(plan.network.committees[code]) for code in plan.job.shards},
        global_committee=committee(plan.network.global_committee),
    )


def _await_members(
    ground: Ground, job: JobId, observer: Observer, journals: dict[str, NodeJournal], processes: Processes, view: View
) -> None:
    """Waits until every node has joined, was refused, declined or ended."""
    while True:
        members = {ground.names[address] for address in observer.history.members}
        told = {name for name, journal in journals.items() if journal.refusals(job) or journal.declined(job)}
        if not journals.keys() - members - told - processes.ended().keys():
            return
        seen = observer.look(_refusals_seen(job, journals))
        view.update(seen)
        if seen.phase is not JobPhase.JOINING:
            return
        time.sleep(LOOK_S)


def _await_evaluations(
    job: JobId, observer: Observer, journals: dict[str, NodeJournal], processes: Processes, view: View
) -> None:
    """Gives the nodes that are up time to measure the last global model on their held-out parts."""
    newest = observer.history.newest_global_round
    if newest is None:
        return
    deadline = time.monotonic() + EVALUATION_TIMEOUT_S
    members = {name for name, journal in journals.items() if journal.updates(job)}
    told = False
    while time.monotonic() < deadline:
        waiting = [
            name
            for name in sorted(members & processes.alive())
            if newest not in {one.global_round for one in journals[name].evaluations(job)}
        ]
        if not waiting:
            return
        if not told:
            told = True
            view.say(
                f"waiting for {len(waiting)} of {len(members)} nodes to measure the last global model, "
                f"at most {EVALUATION_TIMEOUT_S:.0f} s"
            )
        time.sleep(LOOK_S)
    view.say(f"{', '.join(waiting)} did not measure the last global model; the report goes without that")


def _await_returns(
    ground: Ground, job: JobId, observer: Observer, journals: dict[str, NodeJournal], processes: Processes, view: View
) -> None:
    """Gives the nodes that are up time to say what they spent of their datasets."""
    deadline = time.monotonic() + RETURN_TIMEOUT_S
    while True:
        history = observer.history
        reserving = {ground.names[address] for address in history.datasets.keys() - history.unspent.keys()}
        waiting = {name for name in reserving & processes.alive() if journals[name].recovered_in(job) is None}
        if not waiting:
            return
        if time.monotonic() > deadline:
            view.say(f"{', '.join(sorted(waiting))} did not say what was spent, so that all that was reserved counts")
            return
        time.sleep(LOOK_S)
        view.update(observer.look(_refusals_seen(job, journals)))


def _absent(
    ground: Ground, job: JobId, observer: Observer, journals: dict[str, NodeJournal], processes: Processes
) -> dict[str, str]:
    joined = {ground.names[event.node] for event in observer.history.membership}
    ended = processes.ended()
    found = {}
    for name, journal in journals.items():
        if name in joined:
            continue
        refused = [reason for action, reason in journal.refusals(job) if action == "join"]
        declined = journal.declined(job)
        if refused:
            found[name] = f"refused at joining: {refused[-1]}"
        elif declined is not None:
            found[name] = f"declined: {declined}"
        else:
            found[name] = f"its daemon ended, exit code {ended[name]}" if name in ended else "did not join"
    return found


def _refusals_seen(job: JobId, journals: dict[str, NodeJournal]) -> tuple[tuple[str, str], ...]:
    return tuple((name, reason) for name, journal in journals.items() for _, reason in journal.refusals(job))


def _keep(ground: Ground, devnet: Devnet, processes: Processes) -> None:
    """Leaves the network up until Ctrl-C, and says so when a part of it ends."""

    def say(line: str) -> None:
        print(printable(line), flush=True)

    say(f"the network stays up; look at it with `domicile job list --access {ground.access_file}`; Ctrl-C ends it")
    seen = set(processes.ended())
    chain_ran = True
    while True:
        _tell_ended(ground, processes, seen, say)
        if chain_ran and not devnet.is_running:
            chain_ran = False
            say("the chain has ended; nothing more will happen here, Ctrl-C ends the rest")
        time.sleep(LOOK_S)
