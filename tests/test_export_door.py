"""Nothing but the export door moves a model from a region to the border store."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch

from aggregator.export import ExportDoor
from domicile.chain.events import ModelExported
from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.errors import PeerError
from domicile.learning.model import ModelFile, ModelLayout
from domicile.outbox import Delivered, Outbox
from domicile.protocol.round import ShardPhase
from domicile.storage.store import open_store
from domicile.types import Address, Digest, JobId, JurisdictionCode, ShardIndex

ROOT = Path(__file__).resolve().parent.parent
WRITERS = {
    "domicile/registration.py": "public key cards",
    "scripts/ordering.py": "public specification and initial model",
    "aggregator/dispatch.py": "global models that were lost, again",
    "aggregator/export.py": "the door",
    "aggregator/worldwide.py": "global models, by the global committee",
}
PUTTING = {"writer", "put_bytes", "keep"}


def writes_to_border(tree: ast.AST) -> bool:
    """Whether code calls a method of ``border`` that puts, or ``deliver(..., border)``."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        target = call.func
        if isinstance(target, ast.Attribute) and target.attr in PUTTING and ends_in_border(target.value):
            return True
        if isinstance(target, ast.Attribute) and target.attr == "deliver" and any(map(ends_in_border, call.args)):
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
CARD = KeyCard.of(KEY, address=ADDRESS, software="x")
FILE = ModelFile(layout=ModelLayout(entries=(("w", (3,)),)))
VALUES_P = torch.ones(3)


def sealed(door: ExportDoor, kind: PayloadKind = PayloadKind.EXPORT) -> Digest:
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
    return door.seal(JobId(1), ShardIndex(0), file=FILE, values_P=VALUES_P, recipients=[CARD], context=context).digest


def test_the_door_opens_only_for_the_accepted_bytes_of_a_mature_model(tmp_path: Path) -> None:
    border, outbox = open_store(f"dir:{tmp_path / 'border'}"), Outbox(tmp_path / "journal.sqlite")
    right = FILE.digest(VALUES_P)

    def door(phase: ShardPhase, model: Digest = right) -> ExportDoor:
        return ExportDoor(jobs=Ledger(phase, model), border=border, outbox=outbox)  # type: ignore[arg-type]

    def carry(through: ExportDoor, payload: Digest) -> Delivered:
        return through.carry(JobId(1), ShardIndex(0), model=right, payload=payload)

    open_door = door(ShardPhase.MATURE)
    payload = sealed(open_door)
    assert not border.has(payload)
    for phase in set(ShardPhase) - {ShardPhase.MATURE}:
        for act in (sealed, lambda shut: carry(shut, payload)):
            with pytest.raises(PeerError, match="nothing may leave"):
                act(door(phase))
    for act in (sealed, lambda shut: carry(shut, payload)):
        with pytest.raises(PeerError, match="not the bytes"):
            act(door(ShardPhase.MATURE, Digest(bytes(32))))
    with pytest.raises(ValueError, match="context"):
        sealed(open_door, PayloadKind.GLOBAL_MODEL)
    assert not list((tmp_path / "border" / "pins").iterdir())
    assert carry(open_door, payload) is Delivered.PUT
    assert carry(open_door, payload) is Delivered.FOUND
    assert border.keep(payload)


def test_the_door_lets_through_again_only_what_the_chain_holds_as_reported(tmp_path: Path) -> None:
    border, outbox = open_store(f"dir:{tmp_path / 'border'}"), Outbox(tmp_path / "journal.sqlite")
    right = FILE.digest(VALUES_P)

    def door(phase: ShardPhase, model: Digest = right) -> ExportDoor:
        return ExportDoor(jobs=Ledger(phase, model), border=border, outbox=outbox)  # type: ignore[arg-type]

    payload = sealed(door(ShardPhase.MATURE))
    line = ModelExported(
        block=1,
        log_index=0,
        transaction="0x" + "0" * 64,
        job=JobId(1),
        shard=ShardIndex(0),
        global_round=0,
        jurisdiction=JurisdictionCode("EU"),
        contributors=3,
        exporter=ADDRESS,
        model=right,
        payload=payload,
    )
    for phase in set(ShardPhase) - {ShardPhase.REPORTED}:
        with pytest.raises(PeerError, match="nothing may leave"):
            door(phase).restore(line)
    with pytest.raises(PeerError, match="not the bytes"):
        door(ShardPhase.REPORTED, Digest(bytes(32))).restore(line)
    assert not border.has(payload)
    assert door(ShardPhase.REPORTED).restore(line) is Delivered.PUT
    assert door(ShardPhase.REPORTED).restore(line) is Delivered.FOUND
