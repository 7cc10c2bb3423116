"""How long a job may take."""

from __future__ import annotations

from domicile.protocol.round import JobParameters


def longest_s(parameters: JobParameters, num_global_rounds: int) -> int:
    """Of so many global rounds, if each takes the most regional rounds and nothing is tried again: a window to collect
    and one to agree, each regional round; one to export and one to merge, each global round.
    """
    return num_global_rounds * (2 * parameters.max_regional_rounds + 2) * parameters.collect_window_s


def latest_end_s(parameters: JobParameters, created_s: int) -> int:
    """On the chain's clock, for a job that is created then."""
    return created_s + parameters.join_window_s + longest_s(parameters, parameters.global_rounds)
