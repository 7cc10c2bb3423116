"""What the journals of a sandbox's nodes tell together; no other command can read them all."""

from __future__ import annotations

from domicile.types import JobId
from node.journal import NodeJournal
from scripts.sandbox.bring_up import Ground
from scripts.sandbox.plan import Plan
from scripts.view import GlobalFigure


def held_out_figure(plan: Plan, ground: Ground, job: JobId, global_round: int) -> GlobalFigure | None:
    """How a round's global model did on the rows of all nodes that measured it; `None` if none did."""
    loss_sum, rows, hits, rows_hit = 0.0, 0, 0.0, 0
    for node in plan.network.nodes:
        journal = NodeJournal(ground.party_folder(node.name) / "journal.sqlite")
        for one in journal.evaluations(job):
            if one.global_round != global_round or not one.num_test:
                continue
            loss_sum += one.metrics["loss"] * one.num_test
            rows += one.num_test
            if "accuracy" in one.metrics:
                hits += one.metrics["accuracy"] * one.num_test
                rows_hit += one.num_test
        journal.close()
    if not rows:
        return None
    accuracy = hits / rows_hit if rows_hit else None
    return GlobalFigure(global_round=global_round, loss=loss_sum / rows, accuracy=accuracy)
