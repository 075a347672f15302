"""Files and folders that matter are written whole or not at all.

What is being written lies beside its target as `.NAME.RANDOM.part`, a folder that a new one is replacing as
`.NAME.RANDOM.old`. Writers hold a lock on both, which dies with them: so whoever writes the same target next can tell
what a killed process left, which goes (or, if it is all there is of the target, comes back), from a live one's.
"""

import errno
import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Writes `data` so that a reader, or a crash at any moment, sees the old file or the new one, never a part."""
    content = data.encode("utf-8") if isinstance(data, str) else data
    if path.is_fifo() or path.is_char_device():  # such as /dev/null: a rename would replace the device itself
        path.write_bytes(content)
        return
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yields an empty file beside `path` that takes its place when the block succeeds, and vanishes when it fails.

    A reader, or a crash at any moment, sees the old file or the new one. What killed processes left is removed first.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    with _named_target(path), _claimed(path, "part", is_folder=False) as temporary:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    sync_folder(path.parent)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder beside `path` that takes its place when the block succeeds, and vanishes when it fails.

    An existing `path` is replaced. What killed processes left is removed first, and a folder that one of them had
    moved aside is put back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clear_leftovers(path)
    with _named_target(path), _claimed(path, "part", is_folder=True) as temporary:
        temporary.chmod(0o755)
        yield temporary
        for entry in (*temporary.rglob("*"), temporary):
            _sync(entry)
        if path.exists():
            _exchange(temporary, path)
        else:
            temporary.replace(path)
    sync_folder(path.parent)


def clear_leftovers(path: Path) -> None:
    """Removes what killed writers of `path` left beside it; live writers' parts stay.

    Where `path` is missing because its writer was killed while it exchanged folders, the old one is put back.
    """
    name = re.compile(rf"\.{re.escape(path.name)}\.[^.]+\.(part|old)")
    leftovers = []
    if path.parent.is_dir():
        with os.scandir(path.parent) as entries:  # not `iterdir`, which costs ten times as much where files are many
            leftovers = [Path(entry.path) for entry in entries if name.fullmatch(entry.name)]
    for leftover in leftovers:
        with suppress(FileNotFoundError, PermissionError), _opened(leftover) as descriptor:
            if _lock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB):
                _discard(leftover, path)


def sha256_of_file(path: Path) -> str:
    """Returns the sha256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync_folder(folder: Path) -> None:
    """Makes a rename in `folder` survive a power cut."""
    with _opened(folder) as descriptor:
        os.fsync(descriptor)


def _exchange(new: Path, path: Path) -> None:
    """Puts `new` in the place of `path`. POSIX cannot swap two folders in one step: the old one steps aside first."""
    with _claimed(path, "old", is_folder=True) as aside:
        path.replace(aside / path.name)
        new.replace(path)


@contextmanager
def _claimed(path: Path, kind: Literal["part", "old"], *, is_folder: bool) -> Iterator[Path]:
    """Yields a new file or folder beside `path`, locked, and discards what is left of it."""
    claimed, descriptor = _claim(path, kind, is_folder=is_folder)
    try:
        yield claimed
    finally:
        try:
            _discard(claimed, path)
        finally:
            os.close(descriptor)


def _claim(path: Path, kind: Literal["part", "old"], *, is_folder: bool) -> tuple[Path, int]:
    while True:
        prefix, suffix = f".{path.name}.", f".{kind}"
        if is_folder:
            claimed = Path(tempfile.mkdtemp(dir=path.parent, prefix=prefix, suffix=suffix))
            descriptor = os.open(claimed, os.O_RDONLY)
        else:
            descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=prefix, suffix=suffix)
            claimed = Path(name)
        _lock(descriptor, fcntl.LOCK_EX)
        # Between its making and its locking another process may have taken it for a dead one's, and removed it.
        if claimed.exists():
            return claimed, descriptor
        os.close(descriptor)


def _discard(leftover: Path, path: Path) -> None:
    """Removes what a writer of `path` has left; the old folder goes back to its place when no new one stands there."""
    kept = leftover / path.name
    if leftover.suffix == ".old" and kept.exists() and not path.exists():
        kept.replace(path)
    if leftover.is_dir():
        shutil.rmtree(leftover, ignore_errors=True)
    else:
        leftover.unlink(missing_ok=True)


def _lock(descriptor: int, how: int) -> bool:
    """Returns whether the lock was had; it is held until the descriptor is closed. Some file systems have none."""
    try:
        fcntl.flock(descriptor, how)
    except OSError:
        return False
    return True


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def _named_target(path: Path) -> Iterator[None]:
    """Gives an error for want of room the name of what was to be written, which the system leaves out."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM and error.filename is None:
            error.filename = str(path)
        raise


def _sync(path: Path) -> None:
    if path.is_file():
        path.chmod(0o644)  # some writers make their files private; data and models are meant to be read by the team
    if path.is_file() or path.is_dir():
        with _opened(path) as descriptor:
            os.fsync(descriptor)
