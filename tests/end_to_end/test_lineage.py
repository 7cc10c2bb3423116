"""The record of a real job: what is in it, and what makes it fail, by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from eth_utils.crypto import keccak

from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.chain.codec import signature
from domicile.errors import LineageError
from domicile.lineage import verify_lineage
from domicile.storage.store import open_store
from domicile.types import JobId

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EVENTS = {
    entry["name"]: "0x" + keccak(text=signature(entry)).hex()
    for entry in load_artifacts()["TrainingJobs"].abi
    if entry["type"] == "event"
}


class DoctoredChain(Chain):
    """An endpoint that hides or alters logs."""

    def __init__(self, rpc_url: str, doctor: Any) -> None:
        super().__init__(rpc_url)
        self._doctor = doctor

    def logs(self, addresses: Any, first: int, last: int) -> Iterator[dict[str, Any]]:
        return self._doctor(super().logs(addresses, first, last))


def hiding(event: str, number: int):
    """Hides the log with this number (from the end, if negative) among those of one event."""

    def doctor(logs):
        logs = list(logs)
        of_kind = [log for log in logs if log["topics"][0] == EVENTS[event]]
        return iter([log for log in logs if log is not of_kind[number]])

    return doctor


def altering(event: str):
    """Flips a bit in the last word of the last log of one event."""

    def doctor(logs):
        logs = list(logs)
        last = [log for log in logs if log["topics"][0] == EVENTS[event]][-1]
        data = bytearray.fromhex(last["data"][2:])
        data[-1] ^= 1
        last["data"] = "0x" + data.hex()
        return iter(logs)

    return doctor


def test_any_missing_or_altered_event_and_any_flipped_byte_is_found_and_named(arena, small_network):
    field = arena(small_network(nodes=("a", "b", "c"), global_rounds=2))
    outcome = field.run(lambda _: None)
    ground = outcome.ground
    stores = {place: open_store(ground.store(place)) for place in ("border", "EU")}

    def verify(doctor=iter):
        return verify_lineage(DoctoredChain(ground.rpc_url, doctor), ground.deployment, JobId(1), stores)

    found = verify()
    assert found.verified, found.problems
    assert found.payloads_gone == 0
    assert found.payloads_checked >= 1 + 6 + 2 + 2 + 2
    assert [len(model.from_regions[0].rounds[0].included) for model in found.models] == [3, 3]

    for event in EVENTS:
        if event in {"JobCreated", "MemberLeft"}:
            continue
        for number in (0, -1):
            hidden = verify(hiding(event, number))
            assert not hidden.verified, f"{event} {number} was not missed"
            assert hidden.problems[0]
    with pytest.raises(LineageError, match="creation is missing"):
        verify(hiding("JobCreated", 0))
    for event in ("UpdateCommitted", "RegionalModelAccepted", "ModelExported", "GlobalModelAccepted"):
        assert not verify(altering(event)).verified, event

    commit = next(iter(outcome.observer.history.commits.values()))[0]
    block = max(
        (ground.folder / "stores" / "EU" / "blocks").glob(f"*/{commit.digest.hex()}"),
        key=lambda path: path.stat().st_size,
    )
    content = bytearray(block.read_bytes())
    content[len(content) // 2] ^= 1
    block.write_bytes(content)
    broken = verify()
    assert not broken.verified
    assert len(broken.problems) == 1
    assert commit.digest.hex() in broken.problems[0]
    assert "store 'EU'" in broken.problems[0]
    assert "commit of" in broken.problems[0]
