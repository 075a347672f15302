"""Zip archives of pictures: written the same from the same files, and checked before they are trusted."""

import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from captiongen.errors import DownloadError
from captiongen.files import atomic_file

# The first time that zip can hold: archives must not differ by the day they were made.
_TIME = (1980, 1, 1, 0, 0, 0)


@contextmanager
def stored_archive(path: Path) -> Iterator[Callable[[str, bytes], None]]:
    """Yields a function that adds a member (name, bytes) to the archive that appears at `path` when the block succeeds.

    Members are stored, not compressed (pictures are already), without times: the same members give the same bytes.
    """
    with atomic_file(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        yield lambda name, data: archive.writestr(zipfile.ZipInfo(name, _TIME), data)


def check_archive(path: Path) -> None:
    """Reads a zip archive through and compares every member with its CRC.

    Raises:
        DownloadError: it is no zip archive, is cut off, or a member is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DownloadError(f"{path.name} is no intact zip archive ({error}).") from error
    if damaged is not None:
        raise DownloadError(f"{path.name}: the member {damaged} does not match its CRC.")


def list_members(path: Path) -> dict[str, tuple[int, int]]:
    """Returns name -> (size in bytes, CRC) of an archive's files, from its directory alone.

    Raises:
        DownloadError: it is no zip archive.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename: (info.file_size, info.CRC) for info in archive.infolist() if not info.is_dir()}
    except (OSError, zipfile.BadZipFile) as error:
        raise DownloadError(f"{path.name} is no intact zip archive ({error}).") from error


def holds(path: Path, files: Mapping[str, Path]) -> bool:
    """Tells whether an archive holds exactly these files (member name -> file), by size and CRC of their content.

    An archive that is missing or damaged holds nothing.
    """
    try:
        members = list_members(path)
    except DownloadError:
        return False
    return members.keys() == files.keys() and all(
        members[name] == (file.stat().st_size, zlib.crc32(file.read_bytes())) for name, file in files.items()
    )
