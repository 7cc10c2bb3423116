"""docs/jobs.md explains SPEC completely, and its example is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from domicile.types import Address
from scripts.order.examination import CHECKS
from scripts.order.file import OrderFile, committees_of, load_order_file

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "jobs.md"
NAMES = {f"0x{index:040d}": name for index, name in enumerate(("eu-1", "us-1", "global-1"), 1)}


@pytest.fixture
def text() -> str:
    return DOCUMENT.read_text(encoding="utf-8")


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    """The settings that a field is made of, be it one or a table of several."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def _keys(model: type[BaseModel]) -> Iterator[str]:
    for name, field in model.model_fields.items():
        yield field.alias or name
        for inner in _models(field.annotation):
            yield from _keys(inner)


def test_every_key_of_an_order_is_explained(text: str) -> None:
    explained = {part for words in re.findall(r"`([\w.]+)`", text) for part in words.split(".")}
    assert set(_keys(OrderFile)) - explained == set()


def test_every_check_of_an_order_is_explained(text: str) -> None:
    rows = re.findall(r"^\| (\w[\w ]*) \|", text.partition("## What `create` checks")[2], flags=re.MULTILINE)
    assert [row for row in rows if row != "check"] == [name for name, _ in CHECKS]


def test_the_example_is_an_order(text: str, tmp_path: Path) -> None:
    [example] = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    path = tmp_path / "job.toml"
    path.write_text(example, encoding="utf-8")
    order = load_order_file(path)
    committees = committees_of(path, order, NAMES)
    assert committees["committees.EU"].quorum == 2
    assert committees["global_committee"].members == (Address(f"0x{3:040d}"),)
