"""What is read of the stores beside the roots: the contents that need no key."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from domicile.chain import events as ev
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.learning.settings import MergingSettings, TrainingSettings
from domicile.lineage.payloads import PayloadReader
from domicile.lineage.record import Record, read_record
from domicile.lineage.replay import Replayed, replay
from domicile.lineage.verdict import Findings
from domicile.spec import JobSpec, ModelReference, TaskReference
from domicile.storage.store import open_store
from domicile.types import Address, Digest, JobId

INITIAL = b"the initial model"


class Archive:
    """Stores that hold some of what a finished job's record names, once the record is told so."""

    def __init__(self, folder, record: Record) -> None:
        self.folder = folder
        self.border = open_store(f"dir:{folder}")
        self.record = record

    def tell(self, kind: type[ev.Event], number: int, **said: object) -> None:
        """Alters the event of a kind with this number."""
        index = [i for i, event in enumerate(self.record.events) if isinstance(event, kind)][number]
        event = replace(self.record.events[index], **said)
        self.record = replace(
            self.record, events=(*self.record.events[:index], event, *self.record.events[index + 1 :])
        )

    def put_spec(self, *, model: bytes = INITIAL) -> None:
        spec = JobSpec(
            name="small",
            seed=1,
            task=TaskReference(use="tabular", digest="0" * 64),
            initial_model=ModelReference(
                payload=self.border.put_bytes(INITIAL).hex(), model=hashlib.sha256(model).hexdigest()
            ),
            training=TrainingSettings(steps=1),
            regional_merging=MergingSettings(),
            global_merging=MergingSettings(),
        )
        self.put_document(spec.to_bytes())

    def put_document(self, document: bytes) -> None:
        """Stores what the job's creation names as its specification."""
        created = next(event for event in self.record.events if isinstance(event, ev.JobCreated))
        spec = self.border.put_bytes(document)
        self.tell(ev.JobCreated, 0, parameters=replace(created.parameters, spec=spec))

    def put_card(self, number: int, document: bytes) -> None:
        """Stores what the registration with this number names as the key card."""
        self.tell(ev.NodeRegistered, number, key_card=self.border.put_bytes(document))

    def spoil(self, digest: Digest) -> None:
        (self.folder / "blocks" / digest.hex()[:2] / digest.hex()).write_bytes(b"something else")

    def read(self) -> tuple[Findings, PayloadReader]:
        """What is found in this store, for models that were made as the untouched record says."""
        findings = Findings()
        reader = PayloadReader({"border": self.border}, findings)
        reader.read_all(self.record, self._replayed())
        return findings, reader

    def _replayed(self) -> Replayed:
        findings = Findings()
        replayed = replay(self.record, findings)
        assert findings.problems == []
        return replayed


def card_of(address: Address) -> bytes:
    key = HpkeKey.from_seed(bytes(32))
    return KeyCard.of(key, address=address, software="domicile/0").to_bytes()


@pytest.fixture(scope="module")
def whole(stage) -> Record:
    return read_record(stage.chain, stage.deployment, JobId(1))


@pytest.fixture
def archive(tmp_path, whole) -> Archive:
    """Holds the specification and the initial model."""
    archive = Archive(tmp_path / "border", whole)
    archive.put_spec()
    return archive


def problems(archive: Archive) -> list[str]:
    """All but that the last global model, which no test here stores, is in no store."""
    told = archive.read()[0].problems
    gone = [problem for problem in told if "global round 2: GlobalVote" in problem and "is in no store" in problem]
    assert len(gone) == 1
    return [problem for problem in told if problem not in gone]


def commit_of(archive: Archive, node: Address, global_round: int) -> Digest:
    """The first update of a node in a global round."""
    commits = (event for event in archive.record.events if isinstance(event, ev.UpdateCommitted))
    return next(event.digest for event in commits if (event.node, event.global_round) == (node, global_round))


def test_contents_that_hold_are_counted(archive, stage):
    archive.put_card(0, card_of(stage.address("e1")))
    assert problems(archive) == []
    _, reader = archive.read()
    assert reader.num_checked == 3
    assert reader.num_gone > 30


def test_a_specification_that_is_in_no_store_is_a_problem(tmp_path, whole):
    (problem,) = problems(Archive(tmp_path / "empty", whole))
    assert "the specification" in problem
    assert "is in no store" in problem


def test_a_specification_that_is_none_is_a_problem(archive):
    archive.put_document(b"{}")
    (problem,) = problems(archive)
    assert "the specification" in problem


def test_an_initial_model_of_other_bytes_than_the_specification_names_is_a_problem(archive):
    archive.put_spec(model=b"another model")
    assert problems(archive) == ["the initial model: its bytes are not those that the specification names"]


@pytest.mark.parametrize("document", [card_of(Address("0x" + "0" * 40)), b"no card at all"])
def test_a_key_card_that_is_not_the_accounts_own_is_a_problem(archive, stage, document):
    archive.put_card(0, document)
    (problem,) = problems(archive)
    assert f"NodeRegistered of {stage.address('e1')}: its key card" in problem


def test_the_key_card_of_a_stranger_to_the_job_proves_nothing(archive):
    archive.put_card(-1, b"no card at all")
    assert problems(archive) == []


def test_a_spoilt_update_that_went_into_a_model_is_a_problem(archive, stage):
    archive.spoil(commit_of(archive, stage.address("e4"), 0))
    (problem,) = problems(archive)
    assert f"UpdateCommitted of {stage.address('e4')}: its sealed update" in problem


def test_a_spoilt_update_that_was_left_out_is_only_remarked(archive, stage):
    archive.spoil(commit_of(archive, stage.address("e4"), 1))
    assert problems(archive) == []
    (remark,) = archive.read()[0].remarks
    assert f"UpdateCommitted of {stage.address('e4')}: its sealed update" in remark


def test_a_spoilt_answer_to_survivors_is_only_remarked_since_others_may_be_enough(tmp_path, stage):
    archive = Archive(tmp_path / "border", read_record(stage.chain, stage.deployment, JobId(5)))
    for number, document in enumerate((b"an answer", b"another")):
        archive.tell(ev.Unmasked, number, digest=archive.border.put_bytes(document))
    archive.spoil(archive.border.put_bytes(b"another"))
    findings, reader = archive.read()
    assert reader.num_checked == 1
    (remark,) = findings.remarks
    assert f"Unmasked of {stage.address('e2')}: its sealed answer" in remark
