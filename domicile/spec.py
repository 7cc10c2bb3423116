"""The job specification: the public document whose digest `TrainingJobs` holds."""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationError, model_validator

from domicile.errors import BudgetMismatch, PeerError
from domicile.learning.robust.settings import RobustSettings, require_consistent
from domicile.learning.secure.settings import SecureSettings, require_bounded
from domicile.learning.settings import Aggregation, DataSettings, MergingSettings, TrainingSettings
from domicile.privacy.settings import AnyPrivacy, require_sums
from domicile.protocol.budget import NOTHING, Budget
from domicile.protocol.eligibility import Safeguard
from domicile.settings import Settings, describe
from domicile.types import Digest, digest

SPEC_BYTES_MAX = 1 << 20
"""No honest specification comes near; a hostile one must not fill a node's memory."""


class TaskReference(Settings):
    """Which code trains: found by name at the node, run only if the operator approved exactly this digest."""

    use: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    options: dict[str, JsonValue] = Field(default_factory=dict)


class ModelReference(Settings):
    """A plain model in the border store: `payload` is the digest of its IPFS root, `model` sha-256 of its bytes."""

    payload: str = Field(pattern="^[0-9a-f]{64}$")
    model: str = Field(pattern="^[0-9a-f]{64}$")

    @property
    def payload_digest(self) -> Digest:
        return digest(self.payload)

    @property
    def model_digest(self) -> Digest:
        return digest(self.model)


class JobSpec(Settings):
    """All that a job's participants must agree on and that the contract need not know.

    `max_update_norm` is the L2 norm above which an update is left out of a merge, or clipped to it where `robust` says
    so, or to which each node clips its own where `aggregation` is ``secure`` and nobody sees its norm; `None` sets no
    bound. `robust` is there exactly where `aggregation` is ``robust``.
    `privacy` is `None` where none is promised, of rows or of nodes.
    """

    version: Literal["1"] = "1"
    name: str = Field(max_length=80, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
    seed: int = Field(ge=0, lt=1 << 63)
    task: TaskReference
    initial_model: ModelReference
    data: DataSettings = DataSettings()
    training: TrainingSettings
    regional_merging: MergingSettings
    global_merging: MergingSettings
    aggregation: Aggregation = "plain"
    secure: SecureSettings | None = None
    robust: RobustSettings | None = None
    max_update_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    privacy: AnyPrivacy | None = None

    @model_validator(mode="after")
    def _check_aggregation(self) -> Self:
        require_consistent(self.aggregation, self.robust, self.regional_merging, self.global_merging)
        require_sums(self.privacy, self.aggregation, self.regional_merging, self.global_merging)
        require_bounded(self.aggregation, self.secure, self.regional_merging, self.max_update_norm)
        return self

    @property
    def is_secure(self) -> bool:
        """Whether nobody but its node ever sees an update."""
        return self.aggregation == "secure"

    @property
    def rejected_norm(self) -> float | None:
        """L2 norm above which an update is of no use at all; a robust merge looks at norms by itself."""
        return self.max_update_norm if self.robust is None else None

    @property
    def reserved(self) -> Budget:
        """What its job must reserve of each node's dataset."""
        return NOTHING if self.privacy is None else self.privacy.reserved

    def require_reserved(self, budget: Budget) -> None:
        """Whether a job reserves on chain what this promises: else the ledger would keep another promise than nodes do.

        Raises:
            BudgetMismatch: it does not.
        """
        if self.privacy is None and budget != NOTHING:
            raise BudgetMismatch(
                f"the job reserves {budget} of each dataset, and its specification has no privacy, so that nothing "
                "would keep it; ask the job's owner for another one"
            )
        if budget != self.reserved:
            raise BudgetMismatch(
                f"the job's specification promises {self.reserved}, and the job reserves {budget} of each dataset; ask "
                "the job's owner for another one"
            )

    def require_masked(self, safeguards: Safeguard) -> None:
        """Whether a job demands secure aggregation on chain exactly where this says so: else nobody would agree on
        survivors of what is masked, or nodes would send in the open what the chain says is masked.

        Raises:
            PeerError: the two differ.
        """
        demanded = bool(safeguards & Safeguard.SECURE_AGGREGATION)
        if self.is_secure != demanded:
            raise PeerError(
                f"the job's specification has aggregation = {self.aggregation!r}, and the job "
                f"{'demands' if demanded else 'does not demand'} the safeguard SECURE_AGGREGATION; ask the job's owner "
                "for another one"
            )

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces, UTF-8."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> JobSpec:
        """Parses a specification that somebody else published.

        Raises:
            PeerError: the bytes are not a specification of this version.
        """
        try:
            return cls.model_validate_json(raw)
        except ValidationError as exc:
            raise PeerError(f"the job's specification: {describe(exc, cls)}; ask the job's owner") from exc
