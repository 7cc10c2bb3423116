"""A model that was written before: told so, and no other file is written over."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from domicile.types import Digest, JobId
from tests.verbs.job_ground import Region
from tests.verbs.merged_round import make_model

CONTENT = b"a model's bytes"
DIGEST = hashlib.sha256(CONTENT)


@pytest.fixture
def merged(region: Region) -> Region:
    """A job with one global model."""
    region.orders()
    make_model(region, JobId(1), Digest(DIGEST.digest()))
    return region


def test_a_model_that_is_there_already_is_told_so_and_left_alone(merged: Region, tmp_path: Path) -> None:
    model = tmp_path / "model.safetensors"
    model.write_bytes(CONTENT)
    before = model.stat()
    told = merged.tells("export", 1, "--out", model)
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[:2] == [f"{DIGEST.hexdigest()}  {model}", "the file held this model already"]
    assert lines[2].startswith("participation: 6 of 6 expected updates merged")
    data = merged.does("export", 1, "--out", model).data
    assert [one["outcome"] for one in data.pop("participation")] == ["merged"]
    assert data == {
        "changed": False,
        "job": 1,
        "global_round": 0,
        "model": "0x" + DIGEST.hexdigest(),
        "file": str(model),
    }
    assert (model.stat().st_ino, model.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_is_no_regular_file_is_not_read_and_not_replaced(merged: Region, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    told = merged.does("export", 1, "--out", pipe)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert f"--out: {pipe} holds something else than the model of global round 1; name another file" in told.err
    assert pipe.is_fifo()
