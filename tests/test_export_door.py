"""Nothing but the export door moves a model from a region to the border store."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from aggregator.export import ExportDoor
from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.errors import PeerError
from domicile.learning.model import ModelFile, ModelLayout
from domicile.protocol.round import ShardPhase
from domicile.storage.store import BlockStore, open_store
from domicile.types import Address, Digest, JobId, ShardIndex

ROOT = Path(__file__).resolve().parent.parent
WRITERS = {
    "domicile/registration.py": "public key cards",
    "scripts/ordering.py": "public specification and initial model",
    "aggregator/export.py": "the door",
    "aggregator/worldwide.py": "global models, by the global committee",
}
PUTTING = {"writer", "put_bytes"}


def writes_to_border(tree: ast.AST) -> bool:
    """Whether code calls ``border.writer``, ``border.put_bytes`` or ``put_model(...border, ...)``."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        target = call.func
        if isinstance(target, ast.Attribute) and target.attr in PUTTING and ends_in_border(target.value):
            return True
        if isinstance(target, ast.Name) and target.id == "put_model" and ends_in_border(call.args[0]):
            return True
    return False


def ends_in_border(node: ast.expr) -> bool:
    return ast.unparse(node).split(".")[-1].strip("_") == "border"


def test_only_the_named_places_write_to_the_border_store() -> None:
    found = {
        str(path.relative_to(ROOT))
        for package in ("domicile", "node", "aggregator", "scripts")
        for path in (ROOT / package).rglob("*.py")
        if writes_to_border(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set(WRITERS)


def test_only_the_door_exports() -> None:
    kinds = [
        str(path.relative_to(ROOT))
        for package in ("domicile", "node", "aggregator", "scripts")
        for path in (ROOT / package).rglob("*.py")
        if "PayloadKind.EXPORT" in path.read_text(encoding="utf-8")
    ]
    assert sorted(kinds) == ["aggregator/export.py", "aggregator/regional.py", "aggregator/worldwide.py"]


class Ledger:
    """The two views of the contract that the door asks."""

    def __init__(self, phase: ShardPhase, model: Digest) -> None:
        self.phase = phase
        self._model = model

    def shard_state(self, job: JobId, shard: ShardIndex) -> Ledger:
        return self

    def regional_model_of(self, job: JobId, shard: ShardIndex) -> Digest:
        return self._model


KEY = HpkeKey.from_seed(b"\1" * 32)
ADDRESS = Address("0x" + "1" * 40)
CARD = KeyCard(address=ADDRESS, hpke_public=KEY.public_bytes, software="x")
FILE = ModelFile(layout=ModelLayout(entries=(("w", (3,)),)))
VALUES_P = torch.ones(3)


def through(border: BlockStore, ledger: Ledger, kind: PayloadKind = PayloadKind.EXPORT) -> Digest:
    context = PayloadContext(
        chain_id=1,
        contract=ADDRESS,
        job=JobId(1),
        shard=ShardIndex(0),
        kind=kind,
        global_round=0,
        regional_round=0,
        sender=ADDRESS,
    )
    door = ExportDoor(jobs=ledger, border=border)  # type: ignore[arg-type]
    job, shard = JobId(1), ShardIndex(0)
    return door.export(job, shard, file=FILE, values_P=VALUES_P, recipients=[CARD], context=context).digest


def test_the_door_opens_only_for_the_accepted_bytes_of_a_mature_model(tmp_path: Path) -> None:
    border = open_store(f"dir:{tmp_path / 'border'}")
    right = FILE.digest(VALUES_P)
    for phase in set(ShardPhase) - {ShardPhase.MATURE}:
        with pytest.raises(PeerError, match="nothing may leave"):
            through(border, Ledger(phase, right))
    with pytest.raises(PeerError, match="not the bytes"):
        through(border, Ledger(ShardPhase.MATURE, Digest(bytes(32))))
    with pytest.raises(ValueError, match="context"):
        through(border, Ledger(ShardPhase.MATURE, right), PayloadKind.GLOBAL_MODEL)
    assert not list((tmp_path / "border" / "pins").iterdir())
    assert border.has(through(border, Ledger(ShardPhase.MATURE, right)))
