"""A whole job in two regions: it completes, and nothing but what the ledger names has left either of them."""

from __future__ import annotations

import shutil

import pytest

from domicile.protocol.round import JobPhase
from domicile.types import Digest
from tests.end_to_end.boundary import BORDER, breaches, data_blocks, payloads_on_chain

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def copy_block(source, target, digest: Digest):
    """Carries one block from store to store by hand."""
    name = digest.hex()
    return shutil.copy(source / "blocks" / name[:2] / name, target / "blocks" / name[:2] / name)


def test_a_job_completes_and_nothing_but_what_the_chain_names_lies_in_any_store(arena, small_network):
    outcome = arena(small_network(us_nodes=("u", "v", "w"), global_rounds=2)).run(lambda _: None)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    contributors = [
        sorted(len(region.rounds[-1].included) for region in model.from_regions) for model in outcome.lineage.models
    ]
    assert contributors == [[3, 4], [3, 4]]

    stores = {folder.name: folder for folder in (outcome.ground.folder / "stores").iterdir()}
    said = payloads_on_chain(outcome)
    assert sorted(stores) == sorted(said) == ["EU", "US", BORDER]
    kinds = {place: sorted(payloads.values()) for place, payloads in said.items()}
    assert [kinds["EU"].count(kind) for kind in ("update", "regional model")] == [8, 2]
    assert [kinds["US"].count(kind) for kind in ("update", "regional model")] == [6, 2]
    assert [kinds[BORDER].count(kind) for kind in ("export of EU", "export of US")] == [2, 2]
    assert len(kinds[BORDER]) == 2 + len(outcome.ground.addresses) + 4 + 2
    assert breaches(stores, said) == []

    for source, target in (("EU", BORDER), ("US", BORDER), ("EU", "US"), ("US", "EU")):
        for kind in ("update", "regional model"):
            root = next(digest for digest, found in said[source].items() if found == kind)
            block = data_blocks(stores[source], [root])[0]
            carried = copy_block(stores[source], stores[target], block)
            assert breaches(stores, said) == [
                f"{target}: block {block.hex()} belongs to no payload of the chain",
                f"block {block.hex()} lies in {' and '.join(sorted((source, target)))}",
            ]
            carried.unlink()
    sealed_anew = stores[BORDER] / "pins" / ("ab" * 32)
    sealed_anew.touch()
    assert breaches(stores, said) == [f"{BORDER}: payload {'ab' * 32} is not the chain's"]
    sealed_anew.unlink()
    export = next(iter(outcome.observer.history.exports[0].values()))
    (stores[BORDER] / "pins" / export.payload.hex()).unlink()
    assert breaches(stores, said) == [f"{BORDER}: the chain's payload {export.payload.hex()} is not there"]
