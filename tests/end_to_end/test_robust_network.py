"""A robust job with a node that shouts, as real processes.

Shapes: P flat parameters.
"""

from __future__ import annotations

import pytest
import torch

from domicile.learning.model import ROWS_MAX
from domicile.protocol.round import JobPhase
from tests.end_to_end.bad_node import BadNode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SHOUT = 1e6
ROBUST = """
[robust]
rule = "median"
num_hostile = 1
"""


def test_a_node_that_shouts_steers_no_robust_job_and_its_committee_agrees_on_every_byte(arena, small_network):
    field = arena(
        small_network(
            global_rounds=3,
            window_s=20,
            committee=("agg-1", "agg-2"),
            quorum=2,
            aggregation="robust",
            extra_job=ROBUST,
        )
    )
    bad = []

    def shout(models, key):
        return bad[0].sealed(
            models, key, delta_P=torch.full((models.layout.num_parameters,), SHOUT), num_examples=ROWS_MAX
        )

    def misbehave(view) -> None:
        if "d" in view.shards[0].members and not bad:
            field.processes.kill("d")
            bad.append(BadNode(field.party("d")))
        if bad:
            bad[0].commit_once(view, shout)

    outcome = field.run(misbehave)
    history = outcome.observer.history
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert len(bad[0].done) == 3
    # Both members voted for the same bytes, and the update was one of those that they were made of.
    for key, accepted in history.regional_models.items():
        tally = history.regional_tally(key, accepted.payload)
        assert len(tally.voters) == 2
        assert tally.proposal.excluded == ()
    last = outcome.lineage.models[-1].from_regions[0].rounds[-1]
    assert "d" in {outcome.ground.names[node] for node, _ in last.included}
    final_P = torch.empty(outcome.models.layout.num_parameters)
    outcome.models.global_model(2, final_P)
    assert float(final_P.abs().max()) < 10, "a mean would be a quarter of a million"
    # The sum of two features decides the target, so that a model that learned it weighs both.
    assert (final_P[:2] > 0.1).all()
