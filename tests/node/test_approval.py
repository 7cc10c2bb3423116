"""A node runs only the code that its operator approved under the name by which a job calls it."""

from __future__ import annotations

from pathlib import Path

import pytest

from domicile.learning.task import TaskNotApproved
from domicile.spec import TaskReference
from node.config import ApprovedTask
from node.work import approved_folder

OLD, NEW = "1" * 64, "2" * 64
APPROVED = (
    ApprovedTask(use="mine.py:Mine", digest=OLD, folder=Path("old")),
    ApprovedTask(use="mine.py:Mine", digest=NEW, folder=Path("new")),
    ApprovedTask(use="tabular", digest=OLD),
)


def test_a_digest_that_nobody_approved_is_refused_with_the_ones_that_are() -> None:
    with pytest.raises(TaskNotApproved, match=rf"'mine\.py:Mine'.*not approved here \(approved: {OLD}, {NEW}\); read"):
        approved_folder(TaskReference(use="mine.py:Mine", digest="3" * 64), APPROVED)


def test_nothing_is_approved_where_nothing_is_listed() -> None:
    with pytest.raises(TaskNotApproved, match=r"approved: none.*add the digest to the node's configuration"):
        approved_folder(TaskReference(use="tabular", digest=OLD), ())


@pytest.mark.parametrize("use", ["mine.py:Yours", "images"])
def test_a_digest_that_was_approved_under_another_name_is_refused(use: str) -> None:
    with pytest.raises(TaskNotApproved, match="approved: none"):
        approved_folder(TaskReference(use=use, digest=OLD), APPROVED)


@pytest.mark.parametrize(("digest", "folder"), [(OLD, "old"), (NEW, "new")])
def test_of_two_approved_versions_the_one_that_the_job_names_is_found(digest: str, folder: str) -> None:
    assert approved_folder(TaskReference(use="mine.py:Mine", digest=digest), APPROVED) == Path(folder)
