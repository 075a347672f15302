"""`captiongen feedback`: what an operator sees, takes along and deletes."""

import hashlib
import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.data.feedback import FeedbackFolder, FeedbackRecord, ReportedModel
from captiongen.errors import UsageError

IDS = ("a" * 32, "b" * 32)


@pytest.fixture
def kept(tmp_path: Path) -> FeedbackFolder:
    """An old report with a picture, and one of today without."""
    folder = FeedbackFolder(tmp_path / "feedback")
    for index, (record_id, picture) in enumerate(zip(IDS, (b"jpeg", None), strict=True)):
        record = FeedbackRecord(
            id=record_id,
            received=datetime.now(UTC) - timedelta(days=100 * (1 - index)),
            caption="a red ball",
            correction="ein grüner Ball" if picture else None,
            reason="colour" if picture else None,
            upload_sha256="a" * 64,
            picture_sha256=hashlib.sha256(picture).hexdigest() if picture else None,
            model=ReportedModel(name="captiongen", version="7", weights_sha256="f" * 64, bento="source"),
        )
        folder.add(record, picture)
    return folder


def feedback(*arguments: str, folder: Path) -> str:
    arguments = ("feedback", *arguments, "--folder", str(folder))
    return CliRunner().invoke(app, arguments, catch_exceptions=False).output


def test_list_shows_each_record_and_the_room_it_takes(kept: FeedbackFolder):
    """The oldest first, with what was said, what is better, and whether there is a picture."""
    shown = feedback("list", folder=kept.root)
    assert shown.index(IDS[0]) < shown.index(IDS[1])
    assert "captiongen 7, colour, with picture" in shown
    assert "better: ein grüner Ball" in shown
    assert "no reason, no picture" in shown
    assert "2 records" in shown


def test_delete_takes_what_is_named(kept: FeedbackFolder):
    """The record that a person names is gone, with its picture; the other stays."""
    assert "deleted 1; 1 left" in feedback("delete", IDS[0], folder=kept.root)
    assert [record.id for record in kept.records()] == [IDS[1]]
    assert list(kept.root.glob("*.jpg")) == []


@pytest.mark.parametrize(("days", "left"), [("101", 2), ("99", 1), ("0", 0)])
def test_purge_takes_what_is_older(kept: FeedbackFolder, days: str, left: int):
    """Records that came longer ago than so many days go, 0 days are all of them."""
    assert f"deleted {2 - left} received before" in feedback("purge", "--older-than", days, folder=kept.root)
    assert len(list(kept.records())) == left


def test_export_copies_and_deletes_nothing(kept: FeedbackFolder, tmp_path: Path):
    """One JSON line a record, pictures beside it, for the operator's eyes only."""
    out = tmp_path / "exported"
    assert "exported 2 records" in feedback("export", str(out), folder=kept.root)
    first, second = map(json.loads, (out / "feedback.jsonl").read_text(encoding="utf-8").splitlines())
    assert (first["id"], first["correction"], first["image"]) == (IDS[0], "ein grüner Ball", f"images/{IDS[0]}.jpg")
    assert (out / first["image"]).read_bytes() == b"jpeg"
    assert second["image"] is None
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert len(list(kept.records())) == 2
    with pytest.raises(UsageError, match="nothing is overwritten"):
        feedback("export", str(out), folder=kept.root)


def test_a_folder_that_is_not_there_is_said_in_words(tmp_path: Path):
    """A misspelt folder is an error that says how feedback is turned on, and nothing is made."""
    with pytest.raises(UsageError, match="captiongen serve --feedback"):
        feedback("list", folder=tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []
