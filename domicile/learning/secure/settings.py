"""What a job says about secure aggregation."""

from __future__ import annotations

from pydantic import Field

from domicile.learning.settings import Aggregation, MergingSettings
from domicile.settings import Settings


class SecureSettings(Settings):
    """`max_examples`: training rows from which on a node counts no more in a mean weighted by samples. Weights are
    whole numbers up to it, so that the sum of the weighted updates has a bound.
    """

    max_examples: int = Field(ge=1, le=1 << 20)


def require_bounded(
    aggregation: Aggregation, secure: SecureSettings | None, regional: MergingSettings, max_update_norm: float | None
) -> None:
    """Whether a job bounds all that goes into a secure sum, and says nothing that has no meaning in it.

    Raises:
        ValueError: names key, cause and mend.
    """
    if aggregation != "secure":
        if secure is not None:
            raise ValueError(
                f'secure: aggregation is "{aggregation}"; remove the table or write aggregation = "secure"'
            )
        return
    if max_update_norm is None:
        raise ValueError(
            'max_update_norm: missing; aggregation = "secure" adds updates of bounded norm, to which each node clips '
            "its own: add this key"
        )
    by_samples = regional.weighting == "samples"
    if by_samples and secure is None:
        raise ValueError(
            "secure.max_examples: missing; weights by samples are hidden in the sum too and need a bound: add the "
            'table [secure] with max_examples, or set merging.regional.weighting = "uniform"'
        )
    if secure is not None and not by_samples:
        raise ValueError(
            "secure: max_examples has no meaning where all nodes weigh the same; remove this table, or set "
            'merging.regional.weighting = "samples"'
        )
