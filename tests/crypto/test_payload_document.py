"""The sizes and offsets in the document are those of the code."""

from __future__ import annotations

from pathlib import Path

from domicile.crypto.context import CONTEXT_BYTES
from domicile.crypto.sealing import (
    CHUNK_BYTES,
    ENTRY_BYTES,
    FIXED_HEADER,
    INFO_LABEL,
    MAGIC,
    MAX_RECIPIENTS,
    WRAPPED_KEY_BYTES,
)
from domicile.errors import SealFault
from domicile.learning.update import METADATA_BYTES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "payload-format.md").read_text(encoding="utf-8")


def test_the_document_names_the_sizes_of_the_code() -> None:
    assert f"| {FIXED_HEADER.size} | {ENTRY_BYTES} · n |" in TEXT
    assert f"then {WRAPPED_KEY_BYTES} bytes" in TEXT
    assert f"chunk size, {CHUNK_BYTES}" in TEXT
    assert f"1 to {MAX_RECIPIENTS}" in TEXT
    assert f"The context ({CONTEXT_BYTES} bytes)" in TEXT
    assert f"{METADATA_BYTES} bytes of JSON" in TEXT
    assert MAGIC.decode() in TEXT
    assert INFO_LABEL.decode() in TEXT


def test_every_reason_is_documented() -> None:
    assert [fault.value for fault in SealFault if f"| {fault.value} |" not in TEXT] == []
