"""Files and folders are written whole or not at all."""

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from captiongen.files import atomic_file, atomic_folder, clear_leftovers, sha256_of_file, write_atomically

# Writes a folder, then stops for ever where the old one stands aside and the new one is not in its place yet.
_STOP_BETWEEN_RENAMES = """
import sys, time
from pathlib import Path
from captiongen.files import atomic_folder

def stop(self, target):
    if self.name.endswith(".part"):
        print("between", flush=True)
        time.sleep(600)
    return rename(self, target)

rename, Path.replace = Path.replace, stop
with atomic_folder(Path(sys.argv[1])) as part:
    (part / "weights").write_text("new")
"""
_STOP_WHILE_WRITING = """
import sys, time
from pathlib import Path
from captiongen.files import atomic_file

with atomic_file(Path(sys.argv[1])) as part:
    part.write_text("half of the n")
    print("writing", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def small_disk() -> Iterator[None]:
    """No file may grow beyond 1,000 bytes, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _stopped(script: str, path: Path) -> subprocess.Popen[str]:
    """A writer of `path` that has come to the point where the script waits."""
    writer = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    assert writer.stdout.readline()
    return writer


def _kill(writer: subprocess.Popen[str]) -> None:
    writer.send_signal(signal.SIGKILL)
    writer.communicate()


def test_a_written_file_holds_all_of_its_content(tmp_path):
    """Text is stored as UTF-8, folders are made, nothing else is left beside it."""
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "größer")
    write_atomically(path, "größer als zuvor")
    assert path.read_text(encoding="utf-8") == "größer als zuvor"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]
    assert sha256_of_file(path) == hashlib.sha256("größer als zuvor".encode()).hexdigest()


def test_a_failing_block_leaves_the_old_folder(tmp_path):
    """Whatever fails inside, the folder that stood there stands, and no part is left."""
    target = tmp_path / "model"
    with atomic_folder(target) as part:
        (part / "weights").write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic_folder(target) as part:
        (part / "weights").write_text("half of the n")
        raise OSError("disk full")
    assert (target / "weights").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path):
    """Files of the old folder do not survive in the new one."""
    target = tmp_path / "model"
    for name in ("one", "two"):
        with atomic_folder(target) as part:
            (part / name).write_text(name)
    assert [entry.name for entry in target.iterdir()] == ["two"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    """Parts of a folder that never came to be go when it is written next."""
    stale = tmp_path / ".model.abc.part"
    stale.mkdir()
    (stale / "weights").write_text("half")
    with atomic_folder(tmp_path / "model") as part:
        (part / "weights").write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_writer_killed_between_the_renames_loses_nothing(tmp_path: Path):
    """The folder that stood aside is back before the next one is written, and stays when that fails."""
    target = tmp_path / "model"
    with atomic_folder(target) as part:
        (part / "weights").write_text("old")
    _kill(_stopped(_STOP_BETWEEN_RENAMES, target))
    assert not target.exists()
    with pytest.raises(OSError, match="disk full"), atomic_folder(target):
        raise OSError("disk full")
    assert (target / "weights").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_rename_that_fails_puts_the_old_folder_back(tmp_path: Path):
    """When the new folder cannot take its place the old one stands there again."""
    target = tmp_path / "model"
    with atomic_folder(target) as part:
        (part / "weights").write_text("old")
    with pytest.raises(FileNotFoundError), atomic_folder(target) as part:
        part.rename(tmp_path / "elsewhere")  # nothing is left to be renamed
    assert (target / "weights").read_text() == "old"


@pytest.mark.parametrize("name", ["report.json", "[1] report.json"])
def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path, name: str):
    """A part of a file goes once its writer is dead; a live writer's part, and other files' parts, stay."""
    path = tmp_path / name
    writer = _stopped(_STOP_WHILE_WRITING, path)
    try:
        write_atomically(path, "of another")
        assert len(list(tmp_path.iterdir())) == 2
    finally:
        _kill(writer)
    write_atomically(tmp_path / "other.json", "x")
    assert len(list(tmp_path.iterdir())) == 3
    write_atomically(path, "new")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == sorted([name, "other.json"])
    assert path.read_text() == "new"


def test_leftovers_are_cleared_without_a_write(tmp_path: Path):
    """A folder that is only going to be read, or recorded, can be rid of them too."""
    _kill(_stopped(_STOP_WHILE_WRITING, tmp_path / "a.zip"))
    clear_leftovers(tmp_path / "a.zip")
    assert list(tmp_path.iterdir()) == []
    clear_leftovers(tmp_path / "no folder" / "a.zip")


def test_a_pipe_is_written_into_and_not_replaced(tmp_path: Path):
    """What is no file, such as /dev/null or a named pipe, stays what it is and receives the bytes."""
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_atomically(tmp_path / "pipe", "text")
    assert os.read(reader, 100) == b"text"
    os.close(reader)
    assert (tmp_path / "pipe").is_fifo()


def test_a_file_is_for_the_team_whatever_wrote_it(tmp_path: Path):
    """The part is private while it is written, the file is not."""
    with atomic_file(tmp_path / "a") as part:
        part.write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


@pytest.mark.usefixtures("small_disk")
def test_a_full_disk_leaves_the_old_file_and_is_named(tmp_path: Path):
    """The error names the file that was to be; the old one is intact, and no part fills the disk further."""
    path = tmp_path / "report.json"
    write_atomically(path, "old")
    with pytest.raises(OSError, match=r"report\.json") as found:
        write_atomically(path, "new" * 1000)
    assert (found.value.errno, found.value.filename) == (errno.EFBIG, str(path))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
