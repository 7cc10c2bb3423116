"""The record of a real job with its payloads: what is in it, and what makes it fail, by name."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.chain.codec import signature
from domicile.errors import ChainFault, LineageError
from domicile.exchange import fetch_spec
from domicile.lineage import verify_lineage
from domicile.storage.store import open_store
from domicile.types import Digest, JobId

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

EVENTS = {
    "0x" + keccak(text=signature(entry)).hex(): entry["name"]
    for artifact in load_artifacts().values()
    for entry in artifact.abi
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
        of_kind = [log for log in logs if EVENTS[log["topics"][0]] == event]
        return iter([log for log in logs if log is not of_kind[number]])

    return doctor


def altering(event: str):
    """Flips a bit in the last word of the last log of one event."""

    def doctor(logs):
        logs = list(logs)
        last = [log for log in logs if EVENTS[log["topics"][0]] == event][-1]
        data = bytearray.fromhex(last["data"][2:])
        data[-1] ^= 1
        last["data"] = "0x" + data.hex()
        return iter(logs)

    return doctor


def shows(verify: Any, doctor: Any) -> bool:
    """Whether a doctored record is found out: it does not hold, or cannot even be read."""
    try:
        return not verify(doctor).verified
    except ChainFault as exc:
        return "cannot be read" in str(exc)


@contextmanager
def flipped(store: Path, digest: Digest) -> Iterator[None]:
    """One bit of a stored payload is another one for a while."""
    block = store / "blocks" / digest.hex()[:2] / digest.hex()
    content = block.read_bytes()
    middle = len(content) // 2
    block.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
    yield
    block.write_bytes(content)


def test_any_missing_or_altered_event_and_any_flipped_byte_is_found_and_named(arena, small_network):
    field = arena(small_network(nodes=("a", "b", "c"), global_rounds=2))
    outcome = field.run(lambda _: None)
    ground = outcome.ground
    stores = {place: open_store(ground.store(place)) for place in ("border", "EU")}

    def verify(doctor=iter):
        return verify_lineage(DoctoredChain(ground.rpc_url, doctor), ground.deployment, JobId(1), stores)

    found = verify()
    assert found.verified, found.problems
    assert found.remarks == ()
    assert found.payloads_gone == 0
    assert found.payloads_checked >= 2 + 5 + 6 + 2 + 2 + 2
    assert [len(model.from_regions[0].rounds[0].included) for model in found.models] == [3, 3]

    logs = list(ground.chain.logs(tuple(ground.deployment.event_sources().values()), 0, found.block))
    told = {EVENTS[log["topics"][0]] for log in logs} - {"AuthorityUpdated"}
    assert len(told) >= 16
    for event in told - {"JobCreated"}:
        # The last attester never signed anything, so that its appointment had no effect.
        for number in {0} if event == "AttesterAdded" else {0, -1}:
            hidden = verify(hiding(event, number))
            assert not hidden.verified, f"{event} {number} was not missed"
            assert hidden.problems[0]
    with pytest.raises(LineageError, match="creation is missing"):
        verify(hiding("JobCreated", 0))
    for event in told:
        assert shows(verify, altering(event)), event

    history = outcome.observer.history
    spec = history.created.parameters.spec
    commit = next(iter(history.commits.values()))[0]
    regional = next(iter(history.regional_models.values()))
    payloads = {
        "the specification": ("border", spec),
        "the initial model": ("border", fetch_spec(stores["border"], spec).initial_model.payload_digest),
        f"NodeRegistered of {commit.node}: its key card": (
            "border",
            field.party("a").nodes.key_card_of(commit.node),
        ),
        f"global round 1, shard EU, regional round 1: UpdateCommitted of {commit.node}: its sealed update": (
            "EU",
            commit.digest,
        ),
        "global round 1, shard EU, regional round 1: RegionalVote of": ("EU", regional.payload),
        "global round 1, shard EU: ModelExported of": ("border", history.exports[0][0].payload),
        "global round 2: GlobalVote of": ("border", history.global_models[1].payload),
    }
    for place, (store, digest) in payloads.items():
        with flipped(ground.folder / "stores" / store, digest):
            broken = verify()
        (problem,) = broken.problems
        assert not broken.verified
        assert place in problem
        assert digest.hex() in problem
        assert f"store '{store}'" in problem
    assert verify().verified
