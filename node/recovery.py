"""What a node makes of the record on chain where its own journal does not agree with it."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from domicile.errors import ConfigurationError
from domicile.history import JobHistory, RegionalKey
from domicile.log import log_event
from domicile.protocol.eligibility import Safeguard
from domicile.storage.store import Store
from domicile.types import Address, JobId
from node.journal import NodeJournal, SealedUpdate, Skipped

log = logging.getLogger(__name__)

REASON = "the journal is new, and this node is a member: it may have trained this round; sits it out"
SILENT = "the journal is new, and its node may have answered in this round; answers nothing in it"
COMMITTED = "the journal is new, and the chain says that this node committed in this round"


def recover(
    journal: NodeJournal, job: JobId, history: JobHistory, region: Store, node: Address, present: RegionalKey
) -> None:
    """Builds a lost journal anew: what the chain says that this node committed, and the present round given up unless
    it is among that.

    The membership comes last: killed before it, the node begins here again, and sits out a round more at worst.
    """
    for key in history.commits:
        _adopt(journal, job, history, region, node, key)
    _, global_round, regional_round = present
    sits_out = journal.update(job, global_round, regional_round) is None
    if sits_out:
        given_up = Skipped(act="train", global_round=global_round, regional_round=regional_round, reason=REASON)
        journal.record_skipped(job, given_up)
    if history.created.parameters.safeguards & Safeguard.SECURE_AGGREGATION:
        silent = Skipped(act="answer", global_round=global_round, regional_round=regional_round, reason=SILENT)
        journal.record_skipped(job, silent)
    journal.record_recovered(job, global_round, regional_round)
    where = {"job": job, "global_round": global_round, "regional_round": regional_round}
    log_event(log, "recovered", level=logging.WARNING, **where, reason=REASON if sits_out else COMMITTED)


def is_of_last_life(journal: NodeJournal, job: JobId, rounds: tuple[int, int]) -> bool:
    """Whether the journal was lost and this global and regional round was open by then: the last life may have trained
    and answered in it. A chain that is rolled back comes to such a round again; what was given before stays known.
    """
    recovered_in = journal.recovered_in(job)
    return recovered_in is not None and rounds <= recovered_in


def compare(
    journal: NodeJournal, job: JobId, history: JobHistory, region: Store, node: Address, keys: Iterable[RegionalKey]
) -> None:
    """Whether all that this account committed and answered was made here.

    Raises:
        ConfigurationError: it was not: somebody else acts with this node's key.
    """
    for key in keys:
        of_last_life = is_of_last_life(journal, job, key[1:])
        if of_last_life:
            # What the last life had sent may be mined only now.
            _adopt(journal, job, history, region, node, key)
        ours, answer = journal.update(job, key[1], key[2]), journal.answer(job, key[1], key[2])
        for event in history.commits_of(key):
            if event.node == node and (ours is None or ours.digest != event.digest):
                raise _not_ours(journal, job, key, f"{node} committed an update")
        for told in () if of_last_life else history.unmaskings_of(key):
            if told.node == node and (answer is None or answer.digest != told.digest):
                raise _not_ours(journal, job, key, f"{node} answered to the survivors")


def _not_ours(journal: NodeJournal, job: JobId, key: RegionalKey, what: str) -> ConfigurationError:
    return ConfigurationError(
        f"keys.account: {what} in job {job}, round {key[1]}.{key[2]}, that this node's journal does not know: either "
        f"the journal is an old copy, then move {journal.path} away and start again; or somebody else acts with its "
        "key, then end the other daemon first"
    )


def _adopt(
    journal: NodeJournal, job: JobId, history: JobHistory, region: Store, node: Address, key: RegionalKey
) -> None:
    """Takes an update that this node is known to have committed into the journal."""
    _, global_round, regional_round = key
    for event in history.commits_of(key):
        if event.node == node and journal.update(job, global_round, regional_round) is None:
            update = SealedUpdate(
                global_round=global_round,
                regional_round=regional_round,
                digest=event.digest,
                num_steps=0,
                sealed_bytes=region.size_of(event.digest) or 0,
            )
            journal.record_update(job, update)
