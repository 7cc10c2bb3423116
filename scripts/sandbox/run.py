"""``domicile sandbox``: any network and job from two files, on one machine, from nothing to the report."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from domicile.chain.devnet import Devnet
from domicile.errors import ConfigurationError, Interrupted
from domicile.exchange import fetch_spec
from domicile.lineage import Lineage, verify_lineage
from domicile.models import JobModels, open_job_models
from domicile.party import ChainSettings, KeySettings, Party, PartySettings, StoreSettings, open_party
from domicile.protocol.round import FINAL_PHASES, Committee, JobPhase
from domicile.registration import ensure_registered
from domicile.storage.store import Store, open_store
from domicile.types import JobId
from node.journal import NodeJournal
from scripts.live import View, open_view
from scripts.network_file import CommitteeEntry
from scripts.observing import Observer
from scripts.ordering import Order, order_job
from scripts.sandbox.bring_up import OWNER, Ground, bring_up
from scripts.sandbox.plan import Plan, initial_values, load_plan
from scripts.sandbox.processes import Processes

MARKER = ".domicile-sandbox"
"""Lies in every output folder of ours: no other folder is ever emptied."""

LOOK_S = 0.2
EVALUATION_TIMEOUT_S = 30.0


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

    seconds: float


def run_sandbox(folder: Path, out: Path, *, keep: bool, finish: Callable[[Outcome, View], None]) -> int:
    """Runs the job; calls `finish` with its outcome while the network is still up.

    Returns:
        0 if the job completed and its lineage holds, 1 otherwise.

    Raises:
        ConfigurationError: a file is wrong; nothing was started.
        Interrupted: Ctrl-C or SIGTERM; everything that was started has ended.
    """
    plan = load_plan(folder)
    out = out.absolute()
    _prepare_folder(out)
    started = time.monotonic()
    _leave_on_sigterm()
    try:
        with Devnet(block_time_s=plan.network.block_time_s) as devnet, Processes() as processes:
            with open_view(sys.stdout) as view:
                ground = bring_up(plan, devnet.rpc_url, processes, out, view.say)
                outcome = run_job(plan, ground, processes, view, started)
                finish(outcome, view)
            if keep:
                _wait_for_the_user(ground)
    except KeyboardInterrupt:
        raise Interrupted("interrupted; every process that was started has ended") from None
    completed = outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    return 0 if completed and outcome.lineage.verified else 1


def run_job(plan: Plan, ground: Ground, processes: Processes, view: View, started: float) -> Outcome:
    """Orders the plan's job on a network that is up, follows it to its end, and replays its record."""
    owner = open_owner(ground)
    ensure_registered(owner)
    job = order_job(owner, _order(plan, ground))
    view.say(f"job {job} created: {plan.job.name!r}, shards {', '.join(plan.job.shards)}")
    observer = Observer(owner.chain, owner.deployment, job, plan.job.name, ground.names)
    journals = {
        node.name: NodeJournal(ground.party_folder(node.name) / "journal.sqlite") for node in plan.network.nodes
    }
    view.update(observer.look())
    _await_members(ground, job, observer, journals, processes)
    owner.sender.act(owner.jobs.start(job))
    spec = fetch_spec(owner.border, observer.history.created.parameters.spec)
    models = open_job_models(owner, job, observer.history, spec)
    seen: set[str] = set()
    while True:
        told = observer.look(_refusals_seen(job, journals))
        observer.open_figures(models)
        view.update(told)
        for name, code in processes.ended().items():
            if name not in seen:
                seen.add(name)
                view.say(f"{name} ended with exit code {code}; see {ground.party_folder(name) / 'log.jsonl'}")
        if told.phase in FINAL_PHASES:
            break
        time.sleep(LOOK_S)
    _await_evaluations(job, observer, journals, processes, view)
    stores = open_stores(plan, ground)
    lineage = verify_lineage(ground.chain, ground.deployment, job, stores)
    refusals = tuple(
        (name, action, reason) for name, journal in journals.items() for action, reason in journal.refusals(job)
    )
    for journal in journals.values():
        journal.close()
    return Outcome(
        plan=plan,
        ground=ground,
        job=job,
        owner=owner,
        models=models,
        observer=observer,
        lineage=lineage,
        refusals=refusals,
        seconds=time.monotonic() - started,
    )


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
    places = ["border", *sorted(set(plan.home.values()))]
    return {place: open_store(ground.store(place)) for place in places}


def _order(plan: Plan, ground: Ground) -> Order:
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
    ground: Ground, job: JobId, observer: Observer, journals: dict[str, NodeJournal], processes: Processes
) -> None:
    """Waits until every node has joined, was refused, declined or ended."""
    while True:
        members = {ground.names[address] for address in observer.history.members}
        told = {name for name, journal in journals.items() if journal.refusals(job) or journal.declined(job)}
        if not journals.keys() - members - told - processes.ended().keys():
            return
        if observer.look().phase is not JobPhase.JOINING:
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
    while time.monotonic() < deadline:
        waiting = [
            name
            for name in sorted(members & processes.alive())
            if newest not in {one.global_round for one in journals[name].evaluations(job)}
        ]
        if not waiting:
            return
        time.sleep(LOOK_S)
    view.say(f"{', '.join(waiting)} did not measure the last global model; the report goes without that")


def _refusals_seen(job: JobId, journals: dict[str, NodeJournal]) -> tuple[tuple[str, str], ...]:
    return tuple((name, reason) for name, journal in journals.items() for _, reason in journal.refusals(job))


def _prepare_folder(out: Path) -> None:
    if out.exists() and any(out.iterdir()) and not (out / MARKER).exists():
        raise ConfigurationError(f"{out}: not empty and not made by a sandbox; name another folder with --out")
    try:
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        (out / MARKER).touch()
    except OSError as exc:
        raise ConfigurationError(f"{out}: cannot be made ({exc.strerror}); name another folder with --out") from exc


def _leave_on_sigterm() -> None:
    def leave(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)


def _wait_for_the_user(ground: Ground) -> None:
    access = ground.folder / "access.toml"
    print(f"the network stays up; look at it with `domicile job list --access {access}`; Ctrl-C ends it", flush=True)
    signal.pause()
