"""The models of one job, wherever they lie: public, in a region store or in the border store.

Shapes: P flat parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.errors import BlockCorrupt, BlockMissing, PeerError, SealError, SealFault
from domicile.exchange import CardDirectory, fetch_initial_model, fetch_layout, get_model, verify_model
from domicile.history import JobHistory, RegionalKey
from domicile.learning.memory import require_fits
from domicile.learning.model import ModelFile, ModelLayout
from domicile.party import Party
from domicile.spec import JobSpec
from domicile.storage.store import Store
from domicile.types import Address, Digest, JobId, ShardIndex


@dataclass(frozen=True, kw_only=True)
class JobModels:
    """Finds, opens and checks the models of one job for one party."""

    party: Party
    job: JobId
    history: JobHistory
    spec: JobSpec
    layout: ModelLayout
    cards: CardDirectory

    @property
    def min_contributors(self) -> int:
        return self.history.created.parameters.min_contributors

    def context(
        self,
        kind: PayloadKind,
        shard: ShardIndex | None,
        global_round: int,
        regional_round: int,
        sender: Address,
    ) -> PayloadContext:
        """What a payload of this job is bound to."""
        return PayloadContext(
            chain_id=self.party.deployment.chain_id,
            contract=self.party.deployment.training_jobs,
            job=self.job,
            shard=shard,
            kind=kind,
            global_round=global_round,
            regional_round=regional_round,
            sender=sender,
        )

    def start_of(self, region: Store, key: RegionalKey, first_round: int, out_P: torch.Tensor) -> ModelFile:
        """The model from which a regional round starts.

        Raises:
            PeerError: it does not hold; StoreFault: it cannot be fetched.
        """
        shard, global_round, regional_round = key
        if regional_round == first_round:
            return self.global_model(global_round - 1, out_P)
        return self.regional_model(region, (shard, global_round, regional_round - 1), out_P)

    def regional_model(self, region: Store, key: RegionalKey, out_P: torch.Tensor) -> ModelFile:
        """The accepted model of a regional round."""
        accepted = self.history.regional_models[key]
        sealer = self.history.regional_tally(key, accepted.payload).voters[0]
        context = self.context(PayloadKind.REGIONAL_MODEL, *key, sealer)
        return self._get(region, accepted.payload, context, out_P, expected=accepted.model)

    def global_model(self, global_round: int, out_P: torch.Tensor) -> ModelFile:
        """The accepted model of a global round; the initial model for -1."""
        if global_round < 0:
            return fetch_initial_model(self.party.border, self.spec, self.layout, out_P)
        accepted = self.history.global_models[global_round]
        sealer = self.history.global_tally(global_round).voters[0]
        context = self.context(PayloadKind.GLOBAL_MODEL, None, global_round, 0, sealer)
        return self._get(self.party.border, accepted.payload, context, out_P, expected=accepted.model)

    def verify(self, store: Store, payload: Digest, context: PayloadContext, *, expected: Digest) -> None:
        """Whether a proposal's payload opens to the model that it names.

        Raises:
            PeerError: it does not; StoreFault: it cannot be fetched.
        """
        with self._own_card():
            verify_model(store, payload, key=self.party.hpke, context=context, layout=self.layout, expected=expected)

    def _get(
        self, store: Store, payload: Digest, context: PayloadContext, out_P: torch.Tensor, *, expected: Digest
    ) -> ModelFile:
        with self._own_card():
            return get_model(
                store,
                payload,
                key=self.party.hpke,
                context=context,
                layout=self.layout,
                out_P=out_P,
                expected=expected,
            )

    @contextmanager
    def _own_card(self) -> Iterator[None]:
        """Names the cause where a payload is sealed to all but this party, and the cause is its own key card."""
        try:
            yield
        except SealError as exc:
            own = self.party.sender.address
            if exc.reason is not SealFault.NOT_A_RECIPIENT:
                raise
            try:
                if self.cards.card(own).hpke_public == self.party.hpke.public_bytes:
                    raise
                found = "is of another key"
            except (BlockMissing, BlockCorrupt) as missing:
                found = f"cannot be had ({missing})"
            raise PeerError(
                f"nobody can seal to this party, since the key card that {own} has on chain {found}; restart the "
                "daemon, which registers the card of its key, and find out who changed it"
            ) from exc


def open_job_models(
    party: Party, job: JobId, history: JobHistory, spec: JobSpec, layout: ModelLayout | None = None
) -> JobModels:
    """Gives a party access to a job's models; nothing of a model's size is allocated.

    A committee runs none of the task's code: the initial model's header tells it the layout. `layout` is what the
    task's code makes of the job's options, where it is run.

    Raises:
        PeerError: the initial model has no proper header, is too large for this party, or is none of the task's.
        StoreFault: it cannot be fetched.
    """
    found = fetch_layout(party.border, spec)
    require_fits(found, party.max_parameters)
    if layout not in (None, found):
        raise PeerError("the job's initial model is none of its task's with these options; ask the job's owner")
    return JobModels(
        party=party,
        job=job,
        history=history,
        spec=spec,
        layout=found,
        cards=CardDirectory(party.nodes, party.border),
    )
