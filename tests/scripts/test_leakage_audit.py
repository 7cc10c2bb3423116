"""What an audit of leakage refuses before it trains anything."""

from __future__ import annotations

import pytest

from domicile.errors import ConfigurationError
from scripts.leakage.audit import Asked, audit_leakage
from tests.scripts.doctor_ground import Clinic, join_with_privacy_of_nodes

ASKED = Asked(num_shadows=4, num_canaries=0, confidence=0.95, seed=0)


def test_a_job_that_promises_privacy_to_whole_nodes_is_refused_in_one_line(clinic: Clinic) -> None:
    job = join_with_privacy_of_nodes(clinic.folder)
    with pytest.raises(ConfigurationError) as refused:
        audit_leakage(clinic.config, job, ASKED, lambda _: None)
    told = str(refused.value)
    assert told.startswith("the job promises privacy to whole nodes, by noise that only a sum of nodes has")
    assert told.endswith('audit a job with [privacy] unit = "row", or one without privacy')
    assert "\n" not in told
