"""What a sandbox will run: both files, checked against each other and against the data before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from domicile.errors import ConfigurationError
from domicile.learning.model import layout_of
from domicile.learning.task import NodeData, Task, failures_of, task_digest
from domicile.privacy.node_level.calibration import NodeCalibration, calibrate_nodes
from domicile.privacy.settings import NodePrivacySettings, PrivacySettings
from domicile.settings import named
from domicile.types import JurisdictionCode
from node.training import split_seed
from scripts.initial_model import fitting_task, fresh_model
from scripts.job_file import NAME_MAX, JobFile, load_job_file
from scripts.network_file import NetworkFile, NodeEntry, load_network_file
from scripts.sandbox.admission import open_gate
from scripts.sandbox.curve import Curve, curve_of

if TYPE_CHECKING:
    from domicile.privacy.calibration import Calibration

NETWORK_FILE = "network.toml"
JOB_FILE = "job.toml"
WITHOUT_PRIVACY = " (no privacy)"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One sandbox. `home` maps each participant to the shard that contains it, or to its own place. `budgets`: of each
    node, where the job asks for privacy of rows; `node_budget`: where it asks for privacy of nodes. `privacy_left_out`:
    it asks for some, and this run leaves it out. `curve`: other values of ε that its report is to show, too.
    """

    folder: Path
    network: NetworkFile
    job: JobFile
    options: dict[str, object]
    task: Task
    task_digest: str
    data: dict[str, NodeData]
    home: dict[str, JurisdictionCode]
    budgets: Mapping[str, Calibration] = field(default_factory=dict)
    node_budget: NodeCalibration | None = None
    privacy_left_out: bool = False
    curve: Curve | None = None

    def data_path(self, path: Path) -> Path:
        """A path of ``network.toml`` is relative to its folder."""
        return self.folder / path


def load_plan(folder: Path, *, privacy_left_out: bool = False, curve_seeds: int = 0) -> Plan:
    """Reads and checks everything; starts nothing.

    Raises:
        ConfigurationError: one line that names file, key, cause and mend.
    """
    network = load_network_file(folder / NETWORK_FILE)
    job = load_job_file(folder / JOB_FILE)
    _check_wishes(folder, job, privacy_left_out=privacy_left_out, curve_seeds=curve_seeds)
    if privacy_left_out:
        network, job = _without_privacy(network, job)
    _check_shards(folder, network, job)
    _check_grants(folder, network, job)
    options = _resolved_options(folder, network, job)
    task = fitting_task(folder / JOB_FILE, job.task.use, options, job.seed)
    data = {node.name: _load(folder, job, task, node) for node in network.nodes}
    home = {one.name: _home(network, job, one.jurisdiction) for one in (*network.nodes, *network.aggregators)}
    _check_members(folder, network, job, home)
    privacy = job.privacy
    budgets: dict[str, Calibration] = {}
    if isinstance(privacy, PrivacySettings):
        budgets = {name: _budget(folder, job, privacy, task, name, one) for name, one in data.items()}
    num_rows = {name: len(one.train[0]) for name, one in data.items()}
    return Plan(
        folder=folder,
        network=network,
        job=job,
        options=options,
        task=task,
        task_digest=task_digest(job.task.use, folder=folder),
        data=data,
        home=home,
        budgets=budgets,
        node_budget=_node_budget(folder, job, task),
        privacy_left_out=privacy_left_out,
        curve=curve_of(job, num_rows, curve_seeds) if privacy and curve_seeds else None,
    )


def _check_wishes(folder: Path, job: JobFile, *, privacy_left_out: bool, curve_seeds: int) -> None:
    if job.privacy is None and (privacy_left_out or curve_seeds):
        option = "--no-privacy" if privacy_left_out else "--curve"
        raise ConfigurationError(
            f"{folder / JOB_FILE}: it asks for no privacy, so that {option} has no meaning; add the table [privacy] or "
            "leave the option out"
        )
    if isinstance(job.privacy, NodePrivacySettings) and curve_seeds:
        raise ConfigurationError(
            f'{folder / JOB_FILE}: privacy.unit is "node", and --curve trains under privacy of rows; leave the option '
            "out"
        )
    if privacy_left_out and curve_seeds:
        raise ConfigurationError("--curve shows what privacy costs, which --no-privacy leaves out; keep one of them")


def _without_privacy(network: NetworkFile, job: JobFile) -> tuple[NetworkFile, JobFile]:
    """The same job without what it does for privacy, under a name that says so to whoever sees it."""
    nodes = tuple(node.model_copy(update={"epsilon": None, "delta": None}) for node in network.nodes)
    name = f"{job.name[: NAME_MAX - len(WITHOUT_PRIVACY)]}{WITHOUT_PRIVACY}"
    # What privacy alone made the weights stays as it was.
    merging = job.merging.model_copy(update={"regional": job.regional_merging, "global_": job.global_merging})
    changes: dict[str, object] = {"name": name, "privacy": None, "merging": merging}
    if job.aggregation == "secure":
        # A bound to which masked updates are clipped would leave plain ones out.
        changes |= {"aggregation": "plain", "secure": None, "max_update_norm": None}
    return network.model_copy(update={"nodes": nodes}), job.model_copy(update=changes)


def _check_shards(folder: Path, network: NetworkFile, job: JobFile) -> None:
    codes = {entry.code for entry in network.jurisdictions}
    for key, wanted in (("shards", job.shards), ("denied", job.denied)):
        for code in wanted:
            if code not in codes:
                raise ConfigurationError(
                    f"{folder / JOB_FILE}: {key}: {code!r} is not among the jurisdictions of {NETWORK_FILE}; list it "
                    "there or correct it"
                )
    for code in job.shards:
        if code not in network.committees:
            raise ConfigurationError(
                f"{folder / NETWORK_FILE}: committees.{code}: missing; shard {code!r} of {JOB_FILE} needs a committee"
            )
    for code in network.committees:
        if code not in job.shards:
            raise ConfigurationError(
                f"{folder / NETWORK_FILE}: committees.{code}: {code!r} is no shard of {JOB_FILE}; remove the committee "
                "or add the shard"
            )
    for code in job.shards:
        above = _ancestors(network, code)[1:]
        for other in job.shards:
            if other in above:
                raise ConfigurationError(
                    f"{folder / JOB_FILE}: shards: {code!r} lies inside {other!r}; no shard may lie inside another"
                )


def _check_grants(folder: Path, network: NetworkFile, job: JobFile) -> None:
    for index, node in enumerate(network.nodes):
        given = next((key for key in ("epsilon", "delta") if getattr(node, key) is not None), None)
        if given is not None and job.privacy is None:
            raise ConfigurationError(
                f"{folder / NETWORK_FILE}: nodes.{index}.{given}: {node.name!r} is granted a privacy budget, and "
                f"{JOB_FILE} asks for no privacy; add the table [privacy] there or remove the key"
            )


def _check_members(folder: Path, network: NetworkFile, job: JobFile, home: dict[str, JurisdictionCode]) -> None:
    for code in job.shards:
        for member in network.committees[code].members:
            if home[member] != code:
                raise ConfigurationError(
                    f"{folder / NETWORK_FILE}: committees.{code}.members: {member!r} is in "
                    f"{_jurisdiction(network, member)!r}, outside the shard; name members inside it"
                )
        _check_number(folder, network, job, code, home)


def _check_number(
    folder: Path, network: NetworkFile, job: JobFile, code: str, home: dict[str, JurisdictionCode]
) -> None:
    """Whether a shard gets as many nodes through the gate as it needs."""
    gate = open_gate(network, job)
    problem = gate.shard_problem(code)
    if problem is not None:
        raise ConfigurationError(f"{folder / JOB_FILE}: {problem}")
    inside = [node for node in network.nodes if home[node.name] == code]
    refused = {node.name: reason for node in inside if (reason := gate.complaint(node, code))}
    admitted = len(inside) - len(refused)
    told = f"shard {code!r} has {admitted} node(s)"
    if refused:
        reasons = ", ".join(f"{name!r} {reason}" for name, reason in refused.items())
        told += f" that the contract admits (it would refuse {reasons})"
    if admitted < job.participation.min_nodes:
        raise ConfigurationError(
            f"{folder / JOB_FILE}: participation.min_nodes: {told}, {job.participation.min_nodes} are needed for a "
            "round; add nodes or lower it"
        )
    if admitted < job.participation.min_contributors:
        raise ConfigurationError(
            f"{folder / JOB_FILE}: participation.min_contributors: {told}, so that nothing of it could ever be "
            f"exported; add nodes (at least {job.participation.min_contributors})"
        )


def _jurisdiction(network: NetworkFile, name: str) -> str:
    return next(one.jurisdiction for one in (*network.nodes, *network.aggregators) if one.name == name)


def _ancestors(network: NetworkFile, code: str) -> list[str]:
    """A place and everything above it."""
    parents = {entry.code: entry.parent for entry in network.jurisdictions}
    path = [code]
    while (parent := parents[path[-1]]) is not None:
        path.append(parent)
    return path


def _home(network: NetworkFile, job: JobFile, code: str) -> JurisdictionCode:
    inside = [place for place in _ancestors(network, code) if place in job.shards]
    return JurisdictionCode(inside[0] if inside else code)


def _resolved_options(folder: Path, network: NetworkFile, job: JobFile) -> dict[str, object]:
    if job.task.use != "tabular":
        return dict(job.task.options)
    from domicile.learning.tabular import resolve_options

    headers = _headers(folder, network)
    try:
        return dict(resolve_options(job.task.options, headers))
    except ConfigurationError as exc:
        raise ConfigurationError(f"{folder / JOB_FILE}: {exc}") from exc


def _headers(folder: Path, network: NetworkFile) -> dict[str, list[str]]:
    """Columns of every node's files, by the words that name the file."""
    from domicile.learning.table import read_table

    headers = {}
    for index, node in enumerate(network.nodes):
        for key, file in (("train", node.train), ("test", node.test)):
            if file is not None:
                try:
                    headers[f"{file} of {node.name!r}"] = read_table(folder / file).column_names
                except ConfigurationError as exc:
                    place = f"nodes.{index}.{key} ({node.name!r})"
                    raise ConfigurationError(f"{folder / NETWORK_FILE}: {place}: {exc}") from exc
    return headers


def _load(folder: Path, job: JobFile, task: Task, node: NodeEntry) -> NodeData:
    test = None if node.test is None else folder / node.test
    try:
        with failures_of(job.task.use, "load fails"):
            return task.load(folder / node.train, test, job.data, split_seed(job.seed, node.name))
    except ConfigurationError as exc:
        raise ConfigurationError(f"{folder / NETWORK_FILE}: nodes: {node.name!r}: {exc}") from exc


def _budget(folder: Path, job: JobFile, privacy: PrivacySettings, task: Task, name: str, data: NodeData) -> Calibration:
    """What the job's privacy means at one node, which it would decline a job for."""
    from domicile.privacy.admission import admit

    try:
        return admit(
            privacy,
            job.training,
            use=job.task.use,
            task=task,
            module=fresh_model(task, job.seed),
            rows=data.train,
            data=job.data,
            rounds=job.horizon_rounds,
        )
    except ConfigurationError as exc:
        raise ConfigurationError(f"{folder / JOB_FILE}: node {name!r}: {exc}") from exc


def _node_budget(folder: Path, job: JobFile, task: Task) -> NodeCalibration | None:
    if not isinstance(job.privacy, NodePrivacySettings):
        return None
    with named(folder / JOB_FILE):
        return calibrate_nodes(
            job.privacy,
            rounds=job.horizon_rounds,
            min_survivors=job.participation.min_survivors,
            max_update_norm=job.max_update_norm,
            num_parameters=layout_of(fresh_model(task, job.seed)).num_parameters,
        )


def initial_values(plan: Plan) -> torch.nn.Module:
    """The initial model."""
    return fresh_model(plan.task, plan.job.seed)
