"""Who is examined: a party's configuration, and the doors that the checks look through, each opened when first needed.

Nothing here writes: stores are opened without being made, and nothing is ever sent to the chain.
"""

from __future__ import annotations

import io
import shutil
import time
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from aggregator.config import AggregatorConfig
from domicile.chain.account import Signer, address_in
from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs, Nodes
from domicile.chain.deployment import Deployment
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.history import Histories, JobHistory
from domicile.party import KeySettings, read_password
from domicile.protocol.eligibility import Requirement, Standing
from domicile.protocol.round import FINAL_PHASES, JobParameters, JobPhase, JobState
from domicile.registration import own_card
from domicile.settings import load_settings
from domicile.spec import JobSpec
from domicile.storage.store import BlockStore, Opening, open_blocks, root_of
from domicile.types import Address, Digest, JobId, ShardIndex
from node.config import NodeConfig
from scripts.doctor.masking import secrets_of_url
from scripts.order.span import longest_s
from scripts.party_file import blanks_in

Config = NodeConfig | AggregatorConfig


@dataclass(frozen=True, kw_only=True)
class OwnJob:
    """A job that is not over and that lists this party. `requirements`: what the gate asks there, by place."""

    job: JobId
    history: JobHistory
    state: JobState
    shards: tuple[ShardIndex, ...]
    requirements: dict[str, Requirement]

    @property
    def latest_end_s(self) -> int:
        """The chain's time when it ends if each round takes the most regional rounds and nothing is tried again."""
        ordered = self.history.created.parameters
        return self.state.deadline_s + longest_s(ordered, ordered.global_rounds - self.state.global_round)


def free_bytes(folder: Path) -> int:
    """Free space where a folder is, or will be made."""
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    return shutil.disk_usage(existing).free


@dataclass(kw_only=True)
class Case:
    """One party and what its operator asks for. `file`: where its configuration lies, of which fields may still be
    empty. `free_bytes` and `clock` are the machine's, unless told.
    """

    file: Path
    config: Config
    rounds: int = 10
    disk_rounds: int = 10
    password_file: Path | None = None
    free_bytes: Callable[[Path], int] = field(default=free_bytes)
    clock: Callable[[], float] = field(default=time.time)

    @property
    def role(self) -> str:
        return "node" if isinstance(self.config, NodeConfig) else "aggregator"

    @cached_property
    def blanks(self) -> list[str]:
        """Fields that are still to be filled in."""
        return blanks_in(self.file)

    @property
    def url_secrets(self) -> list[str]:
        """Passwords and tokens in the configuration's URLs."""
        stores = self.config.stores
        urls = [one for one in (self.config.chain.rpc_url, stores.border, stores.region or "") if "://" in one]
        return [secret for url in urls for secret in secrets_of_url(url)]

    @property
    def keys(self) -> KeySettings:
        if self.password_file is None:
            return self.config.keys
        return self.config.keys.model_copy(update={"password_file": self.password_file})

    @cached_property
    def password(self) -> str:
        return read_password(self.keys)

    @cached_property
    def signer(self) -> Signer:
        return Signer.load(self.keys.account, self.password)

    @cached_property
    def address(self) -> Address:
        """By the key file, so that no password is needed."""
        return address_in(self.keys.account)

    @cached_property
    def hpke(self) -> HpkeKey:
        return HpkeKey.load(self.keys.hpke, self.password)

    @property
    def card(self) -> KeyCard:
        return own_card(self.address, self.hpke)

    @property
    def card_digest(self) -> Digest:
        return root_of(io.BytesIO(self.card.to_bytes()))

    @cached_property
    def deployment(self) -> Deployment:
        return Deployment.load(self.config.chain.deployment)

    @cached_property
    def chain(self) -> Chain:
        return Chain(self.config.chain.rpc_url, confirmations=self.config.chain.confirmations)

    @cached_property
    def nodes(self) -> Nodes:
        return Nodes(self.chain, self.deployment)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.chain, self.deployment)

    @cached_property
    def registered_card(self) -> Digest:
        """Of this account on the chain; zeros where there is none."""
        return self.nodes.key_card_of(self.address)

    @cached_property
    def standing(self) -> Standing:
        return self.nodes.standing_of(self.address)

    @cached_property
    def border(self) -> BlockStore:
        return BlockStore(open_blocks(self.config.stores.border, Opening.LOOK))

    @cached_property
    def own_jobs(self) -> list[OwnJob]:
        """Jobs that are not over and in which this party is a member or sits on a committee."""
        found = (self._own_job(job, history) for job, history in self.histories.jobs.items())
        return [one for one in found if one is not None]

    @cached_property
    def joinable_jobs(self) -> list[tuple[JobId, JobParameters]]:
        """Jobs that take members still, and that a node's daemon would join as its operator chose."""
        chosen = self.config.jobs.join if isinstance(self.config, NodeConfig) else ()
        return [
            (job, history.created.parameters)
            for job, history in self.histories.jobs.items()
            if history.job_phases[-1].phase is JobPhase.JOINING
            and self.address not in history.members
            and (chosen == "all" or job in chosen)
        ]

    @cached_property
    def histories(self) -> Histories:
        """The record of all jobs."""
        histories = Histories(self.chain, self.deployment)
        histories.update()
        return histories

    def spec(self, own: OwnJob) -> JobSpec:
        """The job's document, from the border store."""
        # Here, since it needs torch, and `node status` with all other verbs that read a configuration does not.
        from domicile.exchange import fetch_spec

        return fetch_spec(self.border, own.history.created.parameters.spec)

    def _own_job(self, job: JobId, history: JobHistory) -> OwnJob | None:
        if isinstance(self.config, NodeConfig):
            member_of = history.members.get(self.address)
            shards = tuple(shard for shard in (member_of,) if shard is not None)
            merges = False
        else:
            shards = tuple(s.shard for s in history.shards if self.address in s.parameters.committee.members)
            merges = self.address in history.created.global_committee.members
        if not shards and not merges:
            return None
        state = self.jobs.snapshot(job)[0]
        if state.phase in FINAL_PHASES:
            return None
        asked = {f"shard {shard}": self.jobs.requirement_of(job, shard) for shard in shards}
        if merges:
            asked["the global committee"] = self.jobs.global_requirement_of(job)
        return OwnJob(job=job, history=history, state=state, shards=shards, requirements=asked)


def load_config(path: Path, *, half_filled: bool = False) -> Config:
    """A node's or an aggregator's configuration; only a node has data and tasks. `half_filled`: as `load_settings` has
    it.

    Raises:
        ConfigurationError: the file is wrong.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        table = {}  # Loading it says what is wrong.
    if table.keys() & {"data", "tasks"}:
        return load_settings(path, NodeConfig, half_filled=half_filled)
    return load_settings(path, AggregatorConfig, half_filled=half_filled)
