"""An audit of one job by one node, on its own rows: nothing is sent, nothing leaves but figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from domicile import __version__
from domicile.errors import ConfigurationError
from domicile.history import Histories
from domicile.leakage.canaries import CanaryFindings, CanaryTrials
from domicile.leakage.captured import CapturedUpdate, InversionFindings
from domicile.leakage.likelihood import deal_halves
from domicile.leakage.local import LocalTraining, RowNoise
from domicile.leakage.membership import MembershipFindings, infer_membership
from domicile.leakage.rows import require_own_losses
from domicile.leakage.shadows import ReleasedRound, ShadowFederation
from domicile.learning.task import NodeData, Split
from domicile.party import open_party
from domicile.privacy.accountant import Mechanism
from domicile.privacy.calibration import Calibration
from domicile.privacy.node_level.calibration import NodeCalibration
from domicile.settings import load_settings, named
from domicile.types import JobId
from node.config import NodeConfig
from node.training import LocalJob
from node.work import prepare
from scripts.access import known_job
from scripts.leakage.released import released_rounds, shard_of

DELTA = 1e-5
"""At which ε is bounded from below where a job names no δ."""

SHOWN_NOISE = RowNoise(mechanism=Mechanism(sample_rate=1.0, noise_multiplier=1.0), max_grad_norm=1.0)
"""Of the private setting where a job asks for no privacy."""

MEMORY_MAX = 1 << 30
"""Bytes of all shadow updates of a round."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """`num_canaries`: at least so many; 0 leaves that attack out."""

    num_shadows: int
    num_canaries: int
    confidence: float
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LeakageReport:
    """`private`: whether the job asks for differential privacy. `canaries` is `None` where none were asked for."""

    version: str
    job: JobId
    name: str
    node: str
    task: str
    num_parameters: int
    private: bool
    asked: Asked
    membership: MembershipFindings
    canaries: CanaryFindings | None
    inversion: InversionFindings

    @property
    def holds(self) -> bool:
        """Whether no finding contradicts what the job claims."""
        return self.canaries is None or self.canaries.holds


class Ticker:
    """Tells of many small steps, each tenth of them."""

    def __init__(self, say: Callable[[str], None], what: str, total: int) -> None:
        self._say, self._what, self._total, self._done = say, what, total, 0

    def __call__(self) -> None:
        before, self._done = self._done * 10 // self._total, self._done + 1
        if self._done * 10 // self._total > before:
            self._say(f"{self._what}: {self._done:,} of {self._total:,}")


def audit_leakage(path: Path, number: int, asked: Asked, say: Callable[[str], None]) -> LeakageReport:
    """Opens a job as a node's daemon does, and attacks it.

    Raises:
        ConfigurationError: the file or an option is wrong, there is no such job or model, or the node is no member.
        PeerError: the job's documents do not hold, or a training diverges; Fault: chain or store failed.
    """
    config = load_settings(path, NodeConfig)
    with named(path):
        party = open_party(config)
    job = known_job(party.jobs, number)
    say(f"reading the record and the models of job {number}")
    histories = Histories(party.chain, party.deployment)
    histories.update()
    history = histories.jobs[job]
    shard_of(history, party.sender.address)
    local, models = prepare(config, party, job, history)
    promised = _promised(local)
    rounds = released_rounds(models, party.sender.address, num_rows=len(local.data.train[0]))
    membership, canaries = _membership(local, rounds, asked), None
    trials = _trials(local, rounds, asked) if asked.num_canaries else None
    num_trainings = trials.num_trainings(asked.num_canaries) if trials is not None else 0
    found = membership(Ticker(say, "shadow models", asked.num_shadows * len(rounds)))
    if trials is not None:
        canaries = trials.audit(
            asked.num_canaries,
            delta=DELTA if promised is None else promised.settings.delta,
            confidence=asked.confidence,
            claimed=None if promised is None else promised.epsilon,
            step=Ticker(say, "trainings with canaries", num_trainings),
        )
    ticker = Ticker(say, "pictures from gradients", CapturedUpdate.num_steps())
    return LeakageReport(
        version=__version__,
        job=job,
        name=local.spec.name,
        node=config.name,
        task=local.spec.task.use,
        num_parameters=models.layout.num_parameters,
        private=promised is not None,
        asked=asked,
        membership=found,
        canaries=canaries,
        inversion=CapturedUpdate(noise=_noise(local) or SHOWN_NOISE, seed=asked.seed).invert(ticker),
    )


def _membership(
    local: LocalJob, rounds: list[ReleasedRound], asked: Asked
) -> Callable[[Callable[[], None]], MembershipFindings]:
    """What is to be done, once it is known that it can be.

    Raises:
        ConfigurationError: too many shadow models for this memory, or the task tells no row's loss.
    """
    num_bytes = 4 * asked.num_shadows * local.layout.num_parameters
    if num_bytes > MEMORY_MAX:
        most = MEMORY_MAX // (4 * local.layout.num_parameters)
        raise ConfigurationError(
            f"--shadows: {asked.num_shadows} updates of {local.layout.num_parameters:,} parameters take "
            f"{num_bytes / 2**30:.1f} GiB, above {MEMORY_MAX / 2**30:.0f}; take {most // 2 * 2} at most"
        )
    rows = _all_rows(local.data)
    require_own_losses(local.task, local.module, rows, use=local.spec.task.use)
    is_member_N = np.arange(len(rows[0])) < len(local.data.train[0])
    federation = ShadowFederation(
        training=_training(local),
        rows=rows,
        member_SN=deal_halves(asked.num_shadows, len(rows[0]), asked.seed),
        regional_merging=local.spec.regional_merging,
        global_merging=local.spec.global_merging,
        seed=asked.seed,
    )
    return lambda step: infer_membership(federation, rounds, is_member_N, confidence=asked.confidence, step=step)


def _trials(local: LocalJob, rounds: list[ReleasedRound], asked: Asked) -> CanaryTrials:
    """Of as many rounds as the noise is for; without privacy, as ran."""
    ran, promised = sum(one.num_regional for one in rounds), _promised(local)
    return CanaryTrials(
        training=_training(local),
        base_P=rounds[0].base_P,
        rows=local.data.train,
        num_rounds=ran if promised is None else promised.horizon.num_rounds,
        seed=asked.seed,
    )


def _training(local: LocalJob) -> LocalTraining:
    return LocalTraining(task=local.task, module=local.module, settings=local.spec.training, noise=_noise(local))


def _noise(local: LocalJob) -> RowNoise | None:
    promised = _promised(local)
    if promised is None:
        return None
    return RowNoise(mechanism=promised.mechanism, max_grad_norm=promised.settings.max_grad_norm)


def _promised(local: LocalJob) -> Calibration | None:
    """What the job promises to each row of this node.

    Raises:
        ConfigurationError: it promises something to whole nodes instead.
    """
    budget = None if local.privacy is None else local.privacy.budget
    if isinstance(budget, NodeCalibration):
        raise ConfigurationError(
            "the job promises privacy to whole nodes, by noise that only a sum of nodes has, and one node alone cannot "
            'repeat its training; audit a job with [privacy] unit = "row", or one without privacy'
        )
    return budget


def _all_rows(data: NodeData) -> Split:
    """Members first, then rows that no training saw."""
    parts = (data.train, data.validation, data.test)
    return torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts])
