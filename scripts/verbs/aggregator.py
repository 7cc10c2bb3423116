"""``domicile aggregator``: a committee member, from its keys to its daemon."""

from __future__ import annotations

from pathlib import Path

from scripts.verbs.party import Words, party_group


def _serve(config: Path) -> int:
    from aggregator.daemon import main

    return main(config)


group = party_group(Words(role="aggregator", folder="member", num_blanks="two"), "A committee member.", _serve)
