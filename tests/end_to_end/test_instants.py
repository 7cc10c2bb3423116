"""SIGKILL at every instant at which a daemon holds something that must not be made, sent or lost twice."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from domicile.protocol.round import JobPhase
from tests.end_to_end.instants import INSTANTS, DyingProcesses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

DOOM = {
    "a": ["before training", "update sealed, not journaled", "update stored, not committed"],
    "b": ["during training", "update journaled, not stored", "commit sent"],
    "c": ["after training", "update stored, not pinned", "commit seen"],
    "agg-1": [
        "before proposing",
        "proposal sealed, not journaled",
        "proposal stored, not voted for",
        "vote sent",
        "before export",
        "export sealed, not journaled",
        "export journaled, not carried",
        "export carried, not pinned",
        "export carried, not in the ledger",
        "report sent",
    ],
    "agg-2": ["before confirming"],
    "global-1": [
        "while merging globally",
        "global model sealed, not journaled",
        "global model stored, not voted for",
        "global vote sent",
    ],
}


def logged(ground, name: str) -> list[dict[str, object]]:
    lines = (ground.party_folder(name) / "log.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


def payloads(store: Path) -> set[str]:
    """Digests of all blocks of a store whose payloads have one block each, and of all that is pinned."""
    pins = {file.name for file in (store / "pins").iterdir()}
    return pins | {file.name for file in (store / "blocks").glob("*/*")}


def models(outcome) -> list[bytes]:
    return [event.model for event in outcome.observer.history.global_models.values()]


def test_every_instant_of_the_table_has_its_victim() -> None:
    assert sorted(instant for instants in DOOM.values() for instant in instants) == sorted(INSTANTS)


@pytest.mark.chaos
def test_a_job_whose_daemons_are_killed_at_every_instant_ends_with_the_same_bits_and_nothing_twice(
    arena, small_network
):
    processes = DyingProcesses()
    network = small_network(
        nodes=("a", "b", "c"), committee=("agg-1", "agg-2"), quorum=2, global_rounds=2, window_s=100
    )
    field = arena(network, processes)
    calm = field.run(lambda _: None)
    for name, instants in DOOM.items():
        processes.doom(name, instants)
    killed = field.run(lambda _: processes.revive())

    history, job = killed.observer.history, killed.job
    assert not any(processes.ahead(name) for name in DOOM)
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert killed.lineage.verified, killed.lineage.problems
    assert models(killed) == models(calm)
    assert len(models(killed)) == 2

    nodes = {field.ground.addresses[name]: name for name in "abc"}
    for key, accepted in history.regional_models.items():
        assert sorted(nodes[event.node] for event in history.commits_of(key)) == ["a", "b", "c"]
        assert history.regional_tally(key, accepted.payload).proposal.excluded == ()
    for address, name in nodes.items():
        sealed = Counter(
            (line["global_round"], line["regional_round"])
            for line in logged(field.ground, name)
            if line["event"] == "sealed" and line["job"] == job
        )
        assert all(number == 1 for number in sealed.values())
        committed = {key[1:] for key in history.commits if address in {one.node for one in history.commits_of(key)}}
        assert sealed.keys() <= committed
        assert not list((field.ground.party_folder(name) / "journal.sqlite-outbox").iterdir())

    exports = Counter(
        (line["shard"], line["global_round"])
        for name in ("agg-1", "agg-2")
        for line in logged(field.ground, name)
        if line["event"] == "sealed_model" and line["kind"] == "export" and line["job"] == job
    )
    assert all(number == 1 for number in exports.values())
    assert {(shard, number) for number, lines in history.exports.items() for shard in lines} == {(0, 0), (0, 1)}
    assert_nothing_unknown_lies_in_the_stores(field.ground, [calm, killed])


def assert_nothing_unknown_lies_in_the_stores(ground, outcomes) -> None:
    """Each payload in the border store has its line on chain, and so has each in the region's."""
    border = {outcomes[0].owner.nodes.key_card_of(address) for address in ground.addresses.values()}
    region: set[bytes] = set()
    for outcome in outcomes:
        history = outcome.observer.history
        border |= {history.created.parameters.spec, outcome.models.spec.initial_model.payload_digest}
        border |= {event.payload for lines in history.exports.values() for event in lines.values()}
        border |= {event.payload for event in history.global_models.values()}
        region |= {event.digest for events in history.commits.values() for event in events}
        region |= {event.payload for event in history.regional_models.values()}
    assert payloads(ground.folder / "stores" / "border") <= {digest.hex() for digest in border}
    assert payloads(ground.folder / "stores" / "EU") <= {digest.hex() for digest in region}
