"""The task file that the document shows runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

from domicile.learning.settings import DataSettings, TrainingSettings
from domicile.learning.task import find_task, task_digest
from domicile.learning.training import evaluate, train

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "tasks.md"


def test_the_documented_task_file_trains(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert code
    (tmp_path / "parity.py").write_text(code[1], encoding="utf-8")
    digest = task_digest("parity.py:Parity", folder=tmp_path)
    task = find_task("parity.py:Parity", {}, folder=tmp_path, expected=digest)
    data = task.load(tmp_path, None, DataSettings(), 1)
    module = task.build_model()
    before = evaluate(task, module, data.train).metrics["loss"]
    train(task, module, data.train, TrainingSettings(steps=200, learning_rate=0.3), seed=1)
    assert evaluate(task, module, data.train).metrics["loss"] < before
