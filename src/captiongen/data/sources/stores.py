"""Where the pictures of a source lie: in a folder or in a zip archive, read by relative name, and never outside it."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import Protocol

from captiongen.errors import SourceError

#: Larger files are refused unread: no photograph is this large, and a zip member may announce any size.
MAX_FILE_BYTES = 256 * 1024 * 1024
# What macOS adds to archives and folders.
_CLUTTER = ("__MACOSX", ".DS_Store")


class Store(Protocol):
    """Files by relative name, with forward slashes."""

    def names(self) -> list[str]:
        """Returns all safe names, sorted."""

    def __contains__(self, name: object) -> bool:
        """Tells whether a file of this name can be read."""

    def read(self, name: str) -> bytes:
        """Returns a file's bytes; raises SourceError when it is missing, unsafe, unreadable or too large."""


def why_unsafe(name: str) -> str | None:
    """Says why a file name must not be followed, or returns None for an ordinary relative name."""
    if not name:
        return "the file name is empty"
    if any(character < " " or character == "\x7f" for character in name):
        return "the file name holds control characters"
    if "\\" in name:
        return "the file name holds a backslash; write folders with /"
    path = PurePosixPath(name)
    if path.is_absolute() or ":" in path.parts[0]:
        return "the file name is absolute; it must be relative to the images folder"
    if ".." in path.parts:
        return "the file name leads out of the images folder (..)"
    return None


def open_store(path: Path) -> Store:
    """Opens a folder, or a zip archive when `path` is a file.

    Raises:
        SourceError: there is neither, or the archive is damaged.
    """
    if path.is_dir():
        return FolderStore(path)
    if path.is_file():
        return ZipStore(path)
    raise SourceError(f"Expected a folder or zip archive at {path}, found nothing. Fetch the data set again.")


class FolderStore:
    """Files of a folder. Symbolic links are followed: DVC may keep the real files in its cache."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> list[str]:
        """Returns all names under the folder, sorted."""
        paths = (path for path in self._folder.rglob("*") if path.is_file())
        return sorted(name for path in paths if _is_content(name := path.relative_to(self._folder).as_posix()))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and why_unsafe(name) is None and (self._folder / name).is_file()

    def read(self, name: str) -> bytes:
        """Returns a file's bytes.

        Raises:
            SourceError: the file is missing, unsafe, unreadable or too large.
        """
        _refuse_unsafe(name)
        path = self._folder / name
        try:
            if path.stat().st_size > MAX_FILE_BYTES:
                raise _too_large(str(path))
            return path.read_bytes()
        except OSError as error:
            raise SourceError(f"{path} cannot be read: {error.strerror}.") from error


class ZipStore:
    """Members of a zip archive that is opened once; reading takes no unpacked copy and is safe from several threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile) as error:
            raise SourceError(f"{path} is no readable zip archive ({error}). Fetch it again.") from error
        self._members = {info.filename: info for info in self._archive.infolist() if not info.is_dir()}

    def names(self) -> list[str]:
        """Returns all member names, sorted."""
        return sorted(filter(_is_content, self._members))

    def __contains__(self, name: object) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        """Returns a member's bytes.

        Raises:
            SourceError: the member is missing, unsafe, damaged or too large.
        """
        _refuse_unsafe(name)
        try:
            with self._archive.open(self._members[name]) as file:
                data = file.read(MAX_FILE_BYTES + 1)
        except KeyError:
            raise SourceError(f"{self._path} has no member {name}.") from None
        # Damage shows as any of these; RuntimeError means an encrypted member.
        except (OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise SourceError(f"{name} in {self._path} cannot be read: {error}.") from error
        if len(data) > MAX_FILE_BYTES:
            raise _too_large(f"{name} in {self._path}")
        return data


class UnseenStore:
    """Pictures that are taken to be there, whatever their names, because nobody is going to look at them."""

    def names(self) -> list[str]:
        """Returns none: nobody knows them."""
        return []

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and why_unsafe(name) is None

    def read(self, name: str) -> bytes:
        """Has nothing to read.

        Raises:
            SourceError: always.
        """
        raise SourceError(f"Expected pictures to read {name!r} from, found that none were given. Name them (--images).")


class PathFinder:
    """Finds pictures that lie in sub-folders (`train2014/`) which an annotation file does not name."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._by_last_part: dict[str, list[str]] = {}
        for name in store.names():
            self._by_last_part.setdefault(PurePosixPath(name).name, []).append(name)

    def find(self, file_name: str) -> str:
        """Returns the picture's name in the store; `file_name` itself where there is none, or more than one."""
        if file_name in self._store:
            return file_name
        candidates = self._by_last_part.get(file_name, [])
        return candidates[0] if len(candidates) == 1 else file_name


def _is_content(name: str) -> bool:
    parts = PurePosixPath(name).parts
    return not any(part in _CLUTTER or part.startswith("._") for part in parts)


def _refuse_unsafe(name: str) -> None:
    if reason := why_unsafe(name):
        raise SourceError(f"{name!r} is not read: {reason}.")


def _too_large(name: str) -> SourceError:
    return SourceError(f"{name} is larger than {MAX_FILE_BYTES // 1024**2} MiB; no picture should be.")
