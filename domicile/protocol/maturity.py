"""When a regional model may be exported."""

from __future__ import annotations

from domicile.protocol.round import NO_LOSS, JobParameters


def note_loss(best: int, stale_rounds: int, loss_micros: int, min_delta_micros: int) -> tuple[int, int]:
    """Best loss and rounds without improvement after one more regional round; nothing changes without a loss."""
    if loss_micros == NO_LOSS:
        return best, stale_rounds
    if best == NO_LOSS or loss_micros + min_delta_micros < best:
        return loss_micros, 0
    return best, stale_rounds + 1


def is_mature(rounds_done: int, stale_rounds: int, parameters: JobParameters) -> bool:
    """At the maximum of rounds, or after the minimum once the loss has not fallen for `patience` rounds."""
    if rounds_done >= parameters.max_regional_rounds:
        return True
    return rounds_done >= parameters.min_regional_rounds and stale_rounds >= parameters.patience
