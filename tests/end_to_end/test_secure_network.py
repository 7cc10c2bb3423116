"""Whole jobs under secure aggregation: what the committee learns is the sum, whoever falls silent, dies or lies."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from domicile.protocol.round import JobPhase
from scripts.sandbox.run import Outcome
from tests.end_to_end.conftest import SmallNetwork

BOUND = 4.0
"""Above the norm of every update here, so that nothing is clipped and a plain job merges the same."""

MAX_EXAMPLES = 100


@dataclass(kw_only=True)
class SecureNetwork(SmallNetwork):
    """Its job asks for secure aggregation."""

    aggregation: str = "secure"
    bounds: str = f"max_update_norm = {BOUND}\nsecure = {{ max_examples = {MAX_EXAMPLES} }}"


def final_model_of(outcome: Outcome) -> torch.Tensor:
    values_P = torch.empty(outcome.models.layout.num_parameters)
    newest = outcome.history.newest_global_round
    assert newest is not None
    outcome.models.global_model(newest, values_P)
    return values_P


def test_a_secure_job_completes_and_every_member_answers(arena) -> None:
    field = arena(SecureNetwork(global_rounds=2))
    outcome = field.run(lambda view: None)
    assert outcome.state.phase is JobPhase.COMPLETE
    history = outcome.history
    for global_round in (0, 1):
        key = (0, global_round, 0)
        assert len(history.survivors[key].nodes) == 4
        assert len(history.unmaskings_of(key)) >= 3
