"""The feedback folder: records whole or not at all, bounds, deletion, and several writers."""

import errno
import hashlib
import multiprocessing
import os
import signal
import stat
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from captiongen.data import feedback
from captiongen.data.feedback import FeedbackFolder, FeedbackRecord, ReportedModel
from captiongen.errors import DataError, FeedbackFull, UsageError

MODEL = ReportedModel(name="captiongen", version="7", weights_sha256="f" * 64, bento="source")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def record(number: int, *, picture: bytes | None = None, received: datetime = NOW) -> FeedbackRecord:
    return FeedbackRecord(
        id=f"{number:032x}",
        received=received,
        caption="a red ball",
        correction="a blue box",
        reason="colour",
        upload_sha256="a" * 64,
        picture_sha256=None if picture is None else hashlib.sha256(picture).hexdigest(),
        model=MODEL,
    )


@pytest.fixture
def folder(tmp_path: Path) -> FeedbackFolder:
    return FeedbackFolder(tmp_path / "state" / "feedback")


def names(folder: FeedbackFolder) -> set[str]:
    return {path.name for path in folder.root.iterdir()} - {".lock"}


def test_what_was_kept_is_read_back(folder: FeedbackFolder):
    """Records come back as they were, the oldest first, with their pictures; others have none."""
    later, earlier = record(1, picture=b"jpeg"), record(2, received=NOW - timedelta(days=1))
    assert folder.add(later, b"jpeg")
    assert folder.add(earlier, None)
    assert list(folder.records()) == [earlier, later]
    assert folder.record(later.id) == later
    assert (folder.picture(later), folder.picture(earlier)) == (b"jpeg", None)


def test_an_empty_or_absent_folder_has_no_records(folder: FeedbackFolder):
    """Reading makes nothing."""
    assert list(folder.records()) == []
    assert folder.usage() == feedback.Usage(num_records=0, num_bytes=0)
    assert not folder.root.exists()


def test_the_folder_is_its_owner_s_alone(folder: FeedbackFolder):
    """What people wrote and sent is not for every user of the machine."""
    folder.add(record(1), None)
    assert stat.S_IMODE(folder.root.stat().st_mode) == 0o700


def test_the_same_record_is_kept_once(folder: FeedbackFolder):
    """A second record of an id changes nothing and is told so."""
    assert folder.add(record(1), None)
    assert not folder.add(record(1, picture=b"other"), b"other")
    assert names(folder) == {f"{record(1).id}.json"}


def test_a_full_folder_refuses_and_keeps_what_it_has(tmp_path: Path):
    """At the bound of records, or of bytes, nothing more is taken, and the message says how to make room."""
    few = FeedbackFolder(tmp_path / "few", max_records=1)
    small = FeedbackFolder(tmp_path / "small", max_bytes=2000)
    few.add(record(1), None)
    small.add(record(1), None)
    with pytest.raises(FeedbackFull, match="captiongen feedback purge"):
        few.add(record(2), None)
    with pytest.raises(FeedbackFull, match="MB"):
        small.add(record(2, picture=bytes(2000)), bytes(2000))
    assert small.add(record(3), None)
    assert (len(names(few)), len(names(small))) == (1, 2)


@pytest.mark.parametrize("name", ["../x", "", "A" * 32, "0" * 31, "/etc/passwd", "0" * 32 + "\n"])
def test_an_id_is_never_a_path(folder: FeedbackFolder, name: str):
    """What is no id of a record is unknown, whatever file it may lead to."""
    (folder.root.parent).mkdir(parents=True)
    (folder.root.parent / "x.json").write_text("{}")
    for use in (folder.record, folder.delete):
        with pytest.raises(UsageError, match="captiongen feedback list"):
            use(name)
    assert (folder.root.parent / "x.json").exists()


def test_deleting_takes_the_picture_along(folder: FeedbackFolder):
    """Of a deleted record nothing stays; where one of several ids is unknown, none is deleted."""
    for number in (1, 2):
        folder.add(record(number, picture=b"jpeg"), b"jpeg")
    with pytest.raises(UsageError):
        folder.delete(record(1).id, record(3).id)
    assert len(list(folder.records())) == 2
    folder.delete(record(1).id, record(1).id)
    assert names(folder) == {f"{record(2).id}.json", f"{record(2).id}.jpg"}


def test_purging_takes_what_is_older(folder: FeedbackFolder):
    """Records received before the moment go with their pictures, others stay; the number is told."""
    for number in range(4):
        folder.add(record(number, picture=b"p", received=NOW - timedelta(days=number)), b"p")
    assert folder.purge(before=NOW - timedelta(days=1)) == 2
    assert [kept.received for kept in folder.records()] == [NOW - timedelta(days=1), NOW]
    assert len(names(folder)) == 4


def test_a_disk_that_is_full_leaves_no_half_record(folder: FeedbackFolder, monkeypatch: pytest.MonkeyPatch):
    """Whichever write fails, there is no record, and the next one finds its place."""
    write = feedback.write_atomically
    for failing in (".jpg", ".json"):

        def write_until_full(path: Path, data: bytes | str, failing: str = failing) -> None:
            if path.suffix == failing:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))
            write(path, data)

        monkeypatch.setattr(feedback, "write_atomically", write_until_full)
        with pytest.raises(OSError, match="No space"):
            folder.add(record(1, picture=b"jpeg"), b"jpeg")
        assert list(folder.records()) == []
        monkeypatch.undo()
    assert folder.add(record(2), None)
    assert names(folder) == {f"{record(2).id}.json"}


def test_damage_is_named(folder: FeedbackFolder):
    """A file that is no record, a record of another name and a changed picture are errors that name the file."""
    kept = record(1, picture=b"jpeg")
    folder.add(kept, b"jpeg")
    (folder.root / f"{kept.id}.jpg").write_bytes(b"other")
    with pytest.raises(DataError, match=r"0001\.jpg is not the picture"):
        folder.picture(kept)
    (folder.root / f"{kept.id}.jpg").unlink()
    with pytest.raises(DataError, match=r"0001\.jpg of a feedback record, found none"):
        folder.picture(kept)
    moved = (folder.root / f"{record(1).id}.json").rename(folder.root / f"{record(2).id}.json")
    with pytest.raises(DataError, match=f"found {record(1).id}"):
        list(folder.records())
    moved.write_text('{"format_version": 2}')
    with pytest.raises(DataError, match="format version 1: format_version"):
        list(folder.records())


def test_the_secret_is_made_once(folder: FeedbackFolder, tmp_path: Path):
    """All who open a folder read the same 32 bytes; another folder has others; it is no record."""
    secret = folder.secret()
    assert len(secret) == 32
    assert FeedbackFolder(folder.root).secret() == secret
    assert FeedbackFolder(tmp_path / "other").secret() != secret
    assert list(folder.records()) == []


def _write_many(root: Path, first: int, count: int, max_records: int) -> None:
    folder = FeedbackFolder(root, max_records=max_records)
    for number in range(first, first + count):
        try:
            folder.add(record(number, picture=b"jpeg"), b"jpeg")
        except FeedbackFull:
            return


def test_several_processes_keep_the_bound_together(folder: FeedbackFolder):
    """However many write at once, there are as many records as allowed, each whole."""
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write_many, args=(folder.root, 100 * number, 20, 30)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    assert folder.usage().num_records == 30
    assert [folder.picture(kept) for kept in folder.records()] == [b"jpeg"] * 30


def _write_until_killed(root: Path, first: int, told: int) -> None:
    folder, picture = FeedbackFolder(root), os.urandom(200_000)
    for number in range(first, first + 100_000):
        folder.add(record(number, picture=picture), picture)
        os.write(told, f"{number}\n".encode())


def test_a_killed_writer_loses_nothing_that_it_told_of(folder: FeedbackFolder):
    """SIGKILL at any moment: what was acknowledged is there and whole, and no part of another record stays."""
    context = multiprocessing.get_context("fork")
    acknowledged: set[str] = set()
    for turn in range(12):
        read_end, write_end = os.pipe()
        writer = context.Process(target=_write_until_killed, args=(folder.root, 1_000_000 * turn, write_end))
        writer.start()
        os.close(write_end)
        with os.fdopen(read_end) as told:
            acknowledged.add(_id(told.readline()))
            time.sleep(0.003 * turn)  # a write takes about ten times as long
            os.kill(writer.pid or 0, signal.SIGKILL)
            acknowledged |= {_id(line) for line in told}
        writer.join()
        kept = list(folder.records())
        assert acknowledged <= {one.id for one in kept}
        assert all(folder.picture(one) for one in kept)
    last = record(0xFFFF)
    folder.add(last, None)
    ids = {one.id for one in folder.records()}
    assert names(folder) == {f"{one}.json" for one in ids} | {f"{one}.jpg" for one in ids - {last.id}}


def _id(line: str) -> str:
    return f"{int(line):032x}"


def test_files_that_are_not_its_own_are_left_alone(tmp_path: Path):
    """Who names a folder of photographs by mistake loses none of them."""
    names = ("holiday.jpg", "notes.part", ".notes.json.part", "readme.txt")
    for name in names:
        (tmp_path / name).write_bytes(b"mine")
    folder = FeedbackFolder(tmp_path)
    folder.add(record(1), None)
    assert folder.purge(before=NOW + timedelta(days=1)) == 1
    assert all((tmp_path / name).read_bytes() == b"mine" for name in names)
