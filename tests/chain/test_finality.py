"""Who is told to wait for confirmations."""

from __future__ import annotations

import pytest

from domicile.chain.finality import reads_unconfirmed


@pytest.mark.parametrize(
    ("chain_id", "confirmations", "told"),
    [(1, 0, True), (1, 1, False), (100, 0, True), (31337, 0, False), (1337, 0, False), (31337, 3, False)],
)
def test_the_head_of_a_chain_that_others_produce_is_not_final(chain_id: int, confirmations: int, told: bool) -> None:
    assert reads_unconfirmed(chain_id, confirmations) is told
