"""anvil's chain from its kept state."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from domicile.chain.client import Chain
from domicile.chain.devnet import Devnet
from domicile.chain.kept_state import keep_one_genesis


def test_a_chain_that_comes_back_keeps_its_own_genesis_block(tmp_path: Path) -> None:
    state = tmp_path / "chain.json"
    with Devnet(block_time_s=0.2, state=state) as devnet:
        genesis = Chain(devnet.rpc_url).hash_of(0)
        for _ in range(2):
            devnet.stop()
            time.sleep(1.1)  # Else the new life's genesis block is the same, to the second.
            devnet.start()
            assert Chain(devnet.rpc_url).hash_of(0) == genesis
    assert len(geneses(state)) == 2, "anvil adds none of its own any more: the mend is of no use"
    keep_one_genesis(state)
    (kept,) = geneses(state)
    with Devnet(state=state) as devnet:
        assert Chain(devnet.rpc_url).timestamp_of(0) == int(kept["header"]["timestamp"], 16)


def geneses(state: Path) -> list[dict[str, dict[str, str]]]:
    return [one for one in json.loads(state.read_text())["blocks"] if int(one["header"]["number"], 16) == 0]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"blocks": 1}', '{"blocks": [{"header": {"number": null}}]}'])
def test_what_is_no_state_is_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = tmp_path / "chain.json"
    path.write_text(content)
    keep_one_genesis(path)
    assert path.read_text() == content
    keep_one_genesis(tmp_path / "nowhere.json")
