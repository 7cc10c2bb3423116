"""A job of ten global rounds under more than fifty SIGKILLs, held against the same job in peace."""

from __future__ import annotations

import os
import secrets
from collections import Counter
from pathlib import Path

import pytest

from domicile.protocol.round import JobPhase
from tests.chaos.network import GLOBAL_ROUNDS
from tests.chaos.record import Record, assert_nothing_happened_twice
from tests.chaos.run import run
from tests.chaos.schedule import STRIKES, draw_strikes
from tests.chaos.storm import Storm

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(900)]

SEED_VARIABLE = "DOMICILE_CHAOS_SEED"


def test_a_job_under_more_than_fifty_kills_ends_with_the_same_models_bit_by_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or secrets.randbelow(1 << 32))
    with capsys.disabled():
        print(f"\nchaos: {SEED_VARIABLE}={seed}")
    peace = run(tmp_path / "peace", lambda network: Storm(network, [], round_s=1.0))
    assert peace.phase is JobPhase.COMPLETE
    round_s = peace.seconds / GLOBAL_ROUNDS
    storm = run(tmp_path / "storm", lambda network: Storm(network, draw_strikes(seed), round_s))
    with capsys.disabled():
        print(f"chaos: {_summary(storm)}; {peace.seconds:.0f} s without kills")
    assert storm.kills == Counter(STRIKES)
    assert sum(storm.kills.values()) >= 50
    assert storm.phase is JobPhase.COMPLETE
    assert storm.lineage.verified, storm.lineage.problems
    assert storm.models == peace.models
    assert len(storm.models) == GLOBAL_ROUNDS
    assert storm.participants == peace.participants
    assert storm.excluded == 0
    for record in (peace, storm):
        assert_nothing_happened_twice(record, GLOBAL_ROUNDS)


def _summary(record: Record) -> str:
    kills = ", ".join(f"{number} {role}" for role, number in record.kills.items())
    return f"{sum(record.kills.values())} kills ({kills}) in {record.seconds:.0f} s"
