"""One regional round ready to be derived: real stores, keys and sealed updates; no chain is asked.

Shapes: P flat parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from eth_utils.address import to_checksum_address

from aggregator.derivation import Derivation, RegionalMerge
from aggregator.merging import regional_merger
from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Board, Jobs, Jurisdictions, Nodes
from domicile.chain.deployment import Deployment
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC
from domicile.chain.events import JobCreated, UpdateCommitted
from domicile.chain.sender import Sender
from domicile.crypto.context import PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.crypto.sealing import SealingWriter
from domicile.history import JobHistory, RegionalKey
from domicile.learning.model import Figures, ModelLayout, model_chunks, model_digest
from domicile.learning.settings import MergingSettings, TrainingSettings
from domicile.learning.update import Update, UpdateMetadata, encode_update
from domicile.models import JobModels, open_job_models
from domicile.party import Party
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.round import Committee, JobParameters
from domicile.spec import JobSpec, ModelReference, TaskReference
from domicile.storage.store import open_store
from domicile.types import Address, Digest, JobId, ShardIndex

KEY: RegionalKey = (ShardIndex(0), 0, 1)
JOB = JobId(1)
NOWHERE = "http://127.0.0.1:1"
"""An endpoint that nothing here asks."""


class RegionalGround:
    """A committee member and what the nodes of its shard committed."""

    def __init__(
        self, folder: Path, num_parameters: int, merging: MergingSettings | None = None, **spec_keys: Any
    ) -> None:
        """`spec_keys`: further keys of the job's specification."""
        self._folder = folder
        self.layout = ModelLayout(entries=(("w", (num_parameters,)),))
        self.party = _party(folder)
        initial_P = torch.zeros(num_parameters)
        raw = b"".join(bytes(chunk) for chunk in model_chunks(self.layout, initial_P))
        spec = JobSpec(
            name="ground",
            seed=0,
            task=TaskReference(use="tabular", digest="0" * 64),
            initial_model=ModelReference(
                payload=self.party.border.put_bytes(raw).hex(), model=model_digest(self.layout, initial_P).hex()
            ),
            training=TrainingSettings(steps=1),
            regional_merging=merging or MergingSettings(),
            global_merging=merging or MergingSettings(),
            **spec_keys,
        )
        self.models: JobModels = open_job_models(self.party, JOB, JobHistory(created=_created()), spec, self.layout)

    def commit(
        self, number: int, delta_P: torch.Tensor, num_examples: int = 10, figures: Figures | None = None
    ) -> Address:
        """A node seals an update and commits it; nodes are merged in the order of their numbers."""
        node = Address(to_checksum_address(f"0x{number + 1:040x}"))
        figures = figures or Figures(loss_sum=1.0, correct=1, count=2)
        metadata = UpdateMetadata(
            num_examples=num_examples, num_steps=1, training_loss=0.1, validation=figures, test=figures
        )
        encoded = encode_update(self.layout, Update(delta_P=delta_P, metadata=metadata))
        card = KeyCard.of(self.party.hpke, address=self.party.sender.address, software="test")
        assert self.party.region is not None
        with self.party.region.writer() as writer:
            sealing = SealingWriter(
                writer, [card], self.models.context(PayloadKind.UPDATE, *KEY, node), encoded.num_bytes
            )
            for chunk in encoded.chunks():
                sealing.write(chunk)
            sealing.close()
            digest = writer.commit()
        shard, global_round, regional_round = KEY
        self.models.history.apply(
            UpdateCommitted(
                **origin(),
                shard=shard,
                node=node,
                global_round=global_round,
                regional_round=regional_round,
                digest=digest,
            )
        )
        return node

    def block_of(self, position: int) -> Path:
        """The file of the root block of one committed update."""
        digest = self.models.history.commits_of(KEY)[position].digest.hex()
        return self._folder / "region" / "blocks" / digest[:2] / digest

    def derive(self) -> RegionalMerge:
        """What the committee member makes of the round."""
        assert self.party.region is not None
        derivation = Derivation(
            models=self.models,
            region=self.party.region,
            key=KEY,
            first_round=KEY[2],
            ineligible=frozenset(),
            min_nodes=2,
            num_rivals=0,
            buffer_P=torch.empty(self.layout.num_parameters),
            merger=regional_merger(self.models, self._folder),
        )
        return derivation.run()


def _party(folder: Path) -> Party:
    deployment = Deployment(
        chain_id=1,
        first_block=0,
        **{
            field: Address(to_checksum_address(f"0x{number:040x}"))
            for number, field in enumerate(
                ("access_manager", "node_registry", "training_jobs", "privacy_ledger", "unmasking_board"), start=1000
            )
        },
        abis={},
        codes={},
    )
    chain = Chain(NOWHERE)
    return Party(
        name="member",
        chain=chain,
        deployment=deployment,
        jurisdictions=Jurisdictions(chain, deployment),
        nodes=Nodes(chain, deployment),
        jobs=Jobs(chain, deployment),
        board=Board(chain, deployment),
        sender=Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC)),
        hpke=HpkeKey.from_seed(b"a committee member of the tests!"),
        border=open_store(f"dir:{folder / 'border'}"),
        region=open_store(f"dir:{folder / 'region'}"),
        poll_s=1.0,
        max_parameters=1 << 30,
        safeguards=Safeguard.NONE,
    )


def origin() -> dict[str, Any]:
    return {"block": 1, "log_index": 0, "transaction": "0x" + "0" * 64, "job": JOB}


def _created() -> JobCreated:
    nobody = Address("0x" + "0" * 40)
    parameters = JobParameters(
        spec=Digest(bytes(32)),
        join_window_s=1,
        collect_window_s=1,
        global_rounds=1,
        min_regional_rounds=1,
        max_regional_rounds=1,
        patience=1,
        min_delta_micros=0,
        max_retries=0,
        min_nodes=2,
        min_contributors=3,
        min_shards=1,
        sensitivity=Sensitivity.SPECIAL,
        max_tier=Tier.CONDITIONAL,
        safeguards=Safeguard(0),
        denied=(),
    )
    return JobCreated(
        **origin(), owner=nobody, parameters=parameters, global_committee=Committee(members=(nobody,), quorum=1)
    )
