"""What lies in each store of a finished job, held against what the chain says should lie there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from domicile.exchange import fetch_spec
from domicile.storage.directory import DirectoryBlocks
from domicile.storage.unixfs import parse
from domicile.types import Digest
from scripts.sandbox.run import Outcome

BORDER = "border"
Payloads = dict[Digest, str]
"""Roots, and what each is."""


def payloads_on_chain(outcome: Outcome) -> dict[str, Payloads]:
    """Store by store, the payloads that the record places there."""
    history, owner = outcome.observer.history, outcome.owner
    shards = [event.parameters.jurisdiction for event in history.shards]
    said: dict[str, Payloads] = {BORDER: {}, **{shard: {} for shard in shards}}
    spec = history.created.parameters.spec
    said[BORDER][spec] = "specification"
    said[BORDER][fetch_spec(owner.border, spec).initial_model.payload_digest] = "initial model"
    for name, address in outcome.ground.addresses.items():
        said[BORDER][owner.nodes.key_card_of(address)] = f"key card of {name}"
    for exports in history.exports.values():
        said[BORDER] |= {event.payload: f"export of {event.jurisdiction}" for event in exports.values()}
    for number, model in history.global_models.items():
        said[BORDER][model.payload] = f"global model {number}"
    for (shard, *_), commits in history.commits.items():
        said[shards[shard]] |= {event.digest: "update" for event in commits}
    for (shard, *_), accepted in history.regional_models.items():
        said[shards[shard]][accepted.payload] = "regional model"
    return said


def breaches(stores: Mapping[str, Path], said: Mapping[str, Payloads]) -> list[str]:
    """Payloads and blocks that lie where the chain does not place them, or not where it does; one line for each."""
    found: list[str] = []
    holders: dict[str, set[str]] = defaultdict(set)
    for place, folder in stores.items():
        blocks = {path.name for path in (folder / "blocks").glob("*/*")}
        roots = {path.name for path in (folder / "pins").iterdir()}
        expected = {digest.hex() for digest in said.get(place, {})}
        explained = _reachable(folder, said.get(place, {}))
        found += [f"{place}: payload {root} is not the chain's" for root in sorted(roots - expected)]
        found += [f"{place}: the chain's payload {root} is not there" for root in sorted(expected - roots)]
        found += [f"{place}: block {block} belongs to no payload of the chain" for block in sorted(blocks - explained)]
        for block in blocks:
            holders[block].add(place)
    found += [
        f"block {block} lies in {' and '.join(sorted(places))}" for block, places in holders.items() if len(places) > 1
    ]
    return found


def data_blocks(folder: Path, roots: Iterable[Digest]) -> list[Digest]:
    """The blocks of these payloads that carry data."""
    blocks = DirectoryBlocks(folder)
    reachable = (Digest(bytes.fromhex(name)) for name in sorted(_reachable(folder, roots)))
    return [digest for digest in reachable if len(parse(blocks.get(digest)).data)]


def _reachable(folder: Path, roots: Iterable[Digest]) -> set[str]:
    blocks, waiting, reached = DirectoryBlocks(folder), list(roots), set()
    while waiting:
        digest = waiting.pop()
        if blocks.has(digest) and digest.hex() not in reached:
            reached.add(digest.hex())
            waiting.extend(link.digest for link in parse(blocks.get(digest)).links)
    return reached
