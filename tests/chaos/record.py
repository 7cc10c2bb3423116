"""What is on record of a job that ran: on chain, in journals and in logs."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from domicile.chain.events import Event, ModelExported, read_events
from domicile.history import Histories, JobHistory, RegionalKey
from domicile.lineage import Lineage, verify_lineage
from domicile.protocol.round import JobPhase
from domicile.types import Digest, JobId
from node.journal import NodeJournal
from scripts.sandbox.bring_up import Ground
from scripts.sandbox.plan import Plan
from scripts.sandbox.run import open_stores
from tests.chaos.network import NODES, REGIONAL_ROUNDS, SHARDS


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is left of a job that has ended. Accounts are shown by their names."""

    phase: JobPhase
    seconds: float
    kills: Counter[str]
    models: dict[int, str]
    """sha-256 of each global model, by global round."""

    participants: dict[RegionalKey, frozenset[str]]
    committed: dict[RegionalKey, list[tuple[str, Digest]]]
    excluded: int
    exports: Counter[tuple[int, int]]
    """Entries of the ledger by shard and global round."""

    journaled: dict[tuple[str, int, int], Digest]
    """The digest that a node's journal holds, by node, global and regional round."""

    sealed: Counter[tuple[str, int, int]]
    """How often a node's log tells of a sealed update, likewise."""

    lineage: Lineage


def assert_nothing_happened_twice(record: Record, global_rounds: int) -> None:
    """One commit a node and round, of what its journal holds and was sealed once; one export a shard and round."""
    assert len(record.committed) == len(SHARDS) * global_rounds * REGIONAL_ROUNDS
    for (_, *rounds), commits in record.committed.items():
        assert len(commits) == len({name for name, _ in commits})
        for name, digest in commits:
            assert record.journaled[name, rounds[0], rounds[1]] == digest
    assert len(record.journaled) == len(NODES) * global_rounds * REGIONAL_ROUNDS
    assert set(record.sealed.values()) == {1}
    assert record.exports == Counter(product(range(len(SHARDS)), range(global_rounds)))


def history_of(ground: Ground, job: JobId) -> JobHistory:
    """All that the chain tells of the job by now."""
    histories = Histories(ground.chain, ground.deployment)
    histories.update()
    return histories.jobs[job]


def record_of(plan: Plan, ground: Ground, job: JobId, kills: Counter[str], seconds: float) -> Record:
    """`seconds`: from the job's start to its end."""
    chain, deployment, names = ground.chain, ground.deployment, ground.names
    history = history_of(ground, job)
    told = list(read_events(chain, deployment, deployment.first_block, chain.block_number()))
    committed = {
        key: [(names[event.node], event.digest) for event in events] for key, events in history.commits.items()
    }
    return Record(
        phase=history.job_phases[-1].phase,
        seconds=seconds,
        kills=kills,
        models={number: event.model.hex() for number, event in history.global_models.items()},
        participants={key: frozenset(name for name, _ in pairs) for key, pairs in committed.items()},
        committed=committed,
        excluded=_num_excluded(history),
        exports=_exports(told),
        journaled=_journaled(ground, job),
        sealed=_sealed(ground),
        lineage=verify_lineage(chain, deployment, job, open_stores(plan, ground)),
    )


def _num_excluded(history: JobHistory) -> int:
    """Nodes and shards that were left out of an accepted model."""
    regional = sum(
        len(history.regional_tally(key, model.payload).proposal.excluded)
        for key, model in history.regional_models.items()
    )
    return regional + sum(len(history.global_tally(number).proposal.excluded) for number in history.global_models)


def _exports(told: Sequence[Event]) -> Counter[tuple[int, int]]:
    return Counter((event.shard, event.global_round) for event in told if isinstance(event, ModelExported))


def _journaled(ground: Ground, job: JobId) -> dict[tuple[str, int, int], Digest]:
    found: dict[tuple[str, int, int], Digest] = {}
    for name in NODES:
        journal = NodeJournal(ground.party_folder(name) / "journal.sqlite")
        found |= {(name, one.global_round, one.regional_round): one.digest for one in journal.updates(job)}
        journal.close()
    return found


def _sealed(ground: Ground) -> Counter[tuple[str, int, int]]:
    told: Counter[tuple[str, int, int]] = Counter()
    for name in NODES:
        for line in (ground.party_folder(name) / "log.jsonl").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # A kill may tear a line.
                entry = json.loads(line)
                if entry["event"] == "sealed":
                    told[name, entry["global_round"], entry["regional_round"]] += 1
    return told
