"""Code that trains: found by file or entry point, run only if it is the code that was approved."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domicile.errors import ConfigurationError
from domicile.learning.task import GROUP, TaskNotApproved, find_task, task_digest

SOURCE = """
class Mine:
    def __init__(self, options):
        self.options = dict(options)
"""
NEVER = "0" * 64
"""Digest of no code."""


@contextmanager
def installed(
    folder: Path, *, distribution: str = "throwaway", version: str = "1.0", source: str = SOURCE
) -> Iterator[str]:
    """A distribution that offers the task ``mine``, as an installer leaves it on Python's path; its module's name."""
    module = f"{distribution}_task"
    site = folder / f"{distribution}-{version}-{len(source)}"
    metadata = site / f"{distribution}-{version}.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text(f"[{GROUP}]\nmine = {module}:Mine\n")
    (site / f"{module}.py").write_text(source)
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()
    try:
        yield module
    finally:
        sys.path.remove(str(site))
        sys.modules.pop(module, None)


def write(folder: Path, source: str = SOURCE) -> str:
    """A task's file; its digest."""
    (folder / "mine.py").write_text(source)
    return task_digest("mine.py:Mine", folder=folder)


def test_a_file_with_another_digest_is_not_run(tmp_path: Path) -> None:
    write(tmp_path, "raise SystemExit")
    with pytest.raises(TaskNotApproved, match=r"mine\.py:Mine.*the job names 0000.*install the version"):
        find_task("mine.py:Mine", {}, folder=tmp_path, expected=NEVER)


def test_a_file_that_changes_after_its_approval_is_not_run(tmp_path: Path) -> None:
    approved = write(tmp_path)
    assert find_task("mine.py:Mine", {"a": 1}, folder=tmp_path, expected=approved).options == {"a": 1}
    write(tmp_path, SOURCE + "\nraise SystemExit\n")
    with pytest.raises(TaskNotApproved):
        find_task("mine.py:Mine", {}, folder=tmp_path, expected=approved)


def test_installed_code_with_another_digest_is_not_imported(tmp_path: Path) -> None:
    with installed(tmp_path, source="raise SystemExit") as module:
        with pytest.raises(TaskNotApproved, match=r"'mine'.*the job names 0000"):
            find_task("mine", {}, expected=NEVER)
        assert module not in sys.modules


def test_an_entry_point_with_the_digest_that_the_job_names_is_run(tmp_path: Path) -> None:
    with installed(tmp_path) as module:
        task = find_task("mine", {"a": 1}, expected=task_digest("mine"))
        assert task.options == {"a": 1}
        assert type(task) is sys.modules[module].Mine


def test_the_digest_of_installed_code_covers_its_source_and_its_version(tmp_path: Path) -> None:
    digests = []
    for changed in ({}, {"version": "1.1"}, {"source": SOURCE + "# another\n"}):
        with installed(tmp_path, **changed):
            digests.append(task_digest("mine"))
    assert len(set(digests)) == 3


def test_two_packages_that_offer_one_name_are_refused(tmp_path: Path) -> None:
    told = r"task 'mine': several packages offer it; use "
    with (
        installed(tmp_path),
        installed(tmp_path, distribution="another"),
        pytest.raises(ConfigurationError, match=told),
    ):
        task_digest("mine")


@pytest.mark.parametrize(
    ("use", "told"),
    [
        ("nowhere", "no task has this name; use tabular, images"),
        ("none.py:Mine", r"none\.py cannot be read; correct the path"),
        ("mine.py:Yours", "'Yours' is not defined there; correct the name"),
    ],
)
def test_a_task_that_is_not_there_is_named(tmp_path: Path, use: str, told: str) -> None:
    write(tmp_path)
    with pytest.raises(ConfigurationError, match=told):
        find_task(use, {}, folder=tmp_path)


@pytest.mark.parametrize("failure", ["KeyError('width')", "ValueError('no such option')", "1 / 0"])
def test_options_that_a_task_of_somebody_refuses_in_its_own_way_are_the_jobs_matter(
    tmp_path: Path, failure: str
) -> None:
    statement = failure if "/" in failure else f"raise {failure}"
    write(tmp_path, SOURCE.replace("self.options = dict(options)", statement))
    with pytest.raises(
        ConfigurationError, match=r"mine\.py:Mine' refuses the job's options \(\w+: .*correct task\.opt"
    ):
        find_task("mine.py:Mine", {}, folder=tmp_path)
