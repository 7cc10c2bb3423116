"""A node audits a job that it took part in, by its own configuration and rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from domicile.privacy.accountant import Mechanism, epsilon_of
from domicile.protocol.round import JobPhase
from tests.end_to_end.test_private_network import DELTA, NOISE_MULTIPLIER, STEPS, PrivateNetwork
from tests.verbs.network_ground import Told, domicile


@dataclass(frozen=True)
class Auditor:
    config: Path
    page: Path

    def audits(self, number: int, *more: object) -> Told:
        return domicile(
            *("audit", "leakage", number, "--config", self.config, "--out", self.page),
            *("--shadows", 8, "--canaries", 20, "--json", *more),
        )


@pytest.mark.audit
@pytest.mark.timeout(170)
def test_a_member_measures_what_its_job_leaks_and_no_row_of_it_is_told(arena, tmp_path: Path) -> None:
    field = arena(PrivateNetwork(nodes=("a", "b", "c"), global_rounds=2, window_s=60))
    auditor = Auditor(field.ground.party_folder("a") / "node.toml", tmp_path / "leakage.html")
    outcome = field.run(lambda _: None)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE

    for number, more, cause in (
        (2, (), "job 2: no such job, there are jobs 1 to 1"),
        (1, ("--shadows", 5), "--shadows: 5 is odd, and each row goes into half of them; take 6"),
        (1, ("--confidence", "nan"), "nan is not finite"),
        (1, ("--out", tmp_path / "nowhere" / "page.html"), "there is no folder"),
    ):
        refused = auditor.audits(number, *more)
        assert (refused.code, refused.out) == (2, "")
        assert cause in refused.err
    assert not auditor.page.exists()

    told = auditor.audits(1)
    assert told.code == 0, told.err
    found = told.data
    # Of 40 rows, a fifth is held out to test, and a fifth of the rest to validate.
    assert (found["membership"]["num_members"], found["membership"]["num_outsiders"]) == (26, 14)
    assert [number for number, _ in found["membership"]["area_by_round"]] == [0, 1]
    mechanism = Mechanism(sample_rate=1.0, noise_multiplier=NOISE_MULTIPLIER)
    assert found["canaries"]["claimed"] == epsilon_of(mechanism, 4 * STEPS, DELTA)
    assert found["canaries"]["num_rounds"] == 4
    assert found["holds"]
    assert [one["setting"] for one in found["inversion"]["recovered"]] == ["plain", "private", "masked", "summed"]

    page = auditor.page.read_text(encoding="utf-8")
    values = (field.plan.folder / "a.csv").read_text(encoding="utf-8").replace("\n", ",").split(",")
    long = [value for value in values if len(value) > 6]
    assert len(long) > 70
    assert not [value for value in long if value in page or value in told.out]
