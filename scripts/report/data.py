"""The report as data, and its schema. ``python -m scripts.report.data`` renews ``docs/report-schema.json``."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.report.schema import Report

SCHEMA_FILE = Path(__file__).resolve().parents[2] / "docs" / "report-schema.json"


def write_json(report: Report, path: Path) -> None:
    """Writes the report as JSON, whole or not at all."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(report.model_dump_json(by_alias=True, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def schema_text() -> str:
    """JSON Schema of the report."""
    return json.dumps(Report.model_json_schema(by_alias=True, mode="serialization"), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")
