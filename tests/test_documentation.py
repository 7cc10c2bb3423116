"""Every path and every command that the documents name exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("deploy/*.md"), *ROOT.glob("benchmarks/**/*.md")]
)
MADE_BY_A_RUN = ("out/", "build/", ".venv", "my-network", "report.json", "model.safetensors")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_linked_files_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8"))
    missing = [link for link in links if not link.startswith("http") and not (document.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_named_paths_exist(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    top = {path.name for path in ROOT.iterdir()}
    named = [name for name in re.findall(r"`([\w./-]+)`", text) if "/" in name and name.split("/")[0] in top]
    missing = [name for name in named if not any(part in name for part in MADE_BY_A_RUN) and not (ROOT / name).exists()]
    assert missing == []
