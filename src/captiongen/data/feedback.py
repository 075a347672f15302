"""Feedback: captions that people reported to the service, kept until an operator deletes them.

A record is a file `ID.json` and, where the person agreed to it, their picture beside it as `ID.jpg`. The picture is
written first, and a record is there once its JSON is: a process that is killed leaves no half record, and the picture
that it may leave goes with the next write. Writers of all processes take turns; readers need not wait.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, get_args

from filelock import FileLock, Timeout
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from captiongen.errors import DataError, FeedbackBusy, FeedbackFull, UsageError
from captiongen.files import sync_folder, write_atomically

#: What may be wrong with a caption, in the words of whoever reports it.
Reason = Literal["object", "colour", "count", "action", "place", "language", "offensive", "other"]
REASONS: tuple[Reason, ...] = get_args(Reason)

MAX_RECORDS = 5_000
MAX_FOLDER_BYTES = 1024**3
#: Longest wait for the other processes that write, seconds.
LOCK_SECONDS = 10.0

_ID = re.compile("[0-9a-f]{32}")
_LEFT_HALF_WRITTEN = re.compile(rf"\.{_ID.pattern}\.(json|jpg)\.[^.]+\.part")  # as `write_atomically` names them
_SHA256 = "^[0-9a-f]{64}$"
_LOCK, _SECRET = ".lock", ".secret"


class ReportedModel(BaseModel):
    """The model that wrote a reported caption, as the service itself knows it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    version: str
    weights_sha256: str
    bento: str


class FeedbackRecord(BaseModel):
    """One reported caption.

    Attributes:
        id: 32 hex digits; also the name of the record's files, and what the person was told.
        received: when the report came, UTC.
        caption: what the service said.
        correction: what the person would say instead, if they wrote it: untrusted text, one line without control
            characters.
        reason: what is wrong, if they chose one.
        upload_sha256: of the bytes that were captioned.
        picture_sha256: of `ID.jpg`, their picture without its metadata; None where they did not agree to its keeping.
        model: who wrote the caption.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    id: str = Field(pattern=f"^{_ID.pattern}$")
    received: AwareDatetime
    caption: str
    correction: str | None
    reason: Reason | None
    upload_sha256: str = Field(pattern=_SHA256)
    picture_sha256: str | None = Field(pattern=_SHA256)
    model: ReportedModel


@dataclass(frozen=True, slots=True)
class Usage:
    """What a feedback folder holds: records, and bytes of all its files."""

    num_records: int
    num_bytes: int


class FeedbackFolder:
    """The records in a folder.

    Args:
        root: the folder; it need not be there yet.
        max_records: it takes no more records than these.
        max_bytes: it takes no record that would make its files larger, taken together.
    """

    def __init__(self, root: Path, *, max_records: int = MAX_RECORDS, max_bytes: int = MAX_FOLDER_BYTES) -> None:
        self.root = root
        self._max_records = max_records
        self._max_bytes = max_bytes

    def records(self) -> Iterator[FeedbackRecord]:
        """Yields all records, the oldest first.

        Raises:
            DataError: a file is no record of this format.
        """
        found = [record for path in self.root.glob("*.json") if (record := _read(path)) is not None]
        yield from sorted(found, key=lambda record: (record.received, record.id))

    def record(self, record_id: str) -> FeedbackRecord:
        """Returns one record.

        Raises:
            UsageError: there is none of this id.
            DataError: its file is no record of this format.
        """
        record = _read(self._file(record_id))
        if record is None:
            raise _unknown(record_id, self.root)
        return record

    def picture(self, record: FeedbackRecord) -> bytes | None:
        """Returns the kept picture of a record, a JPEG file; None where there is none.

        Raises:
            DataError: the picture is missing or damaged.
        """
        if record.picture_sha256 is None:
            return None
        path = self._file(record.id, ".jpg")
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise DataError(f"Expected the picture {path} of a feedback record, found none. {_remedy(path)}") from None
        if hashlib.sha256(data).hexdigest() != record.picture_sha256:
            raise DataError(f"{path} is not the picture that its record was written with. {_remedy(path)}")
        return data

    def add(self, record: FeedbackRecord, picture: bytes | None) -> bool:
        """Keeps a record; when this returns it survives a crash.

        Args:
            record: its `picture_sha256` is that of `picture`.
            picture: a JPEG file.

        Returns:
            False, and changes nothing, where a record of this id is kept already.

        Raises:
            FeedbackFull: the folder holds as much as it may.
            FeedbackBusy: other processes have been writing for `LOCK_SECONDS`.
            OSError: the disk is full or may not be written.
        """
        content = record.model_dump_json(indent=2) + "\n"
        with self._lock():
            if self._file(record.id).exists():
                return False
            self._need_room(_usage(self._clear()), len(content.encode()) + len(picture or b""))
            if picture is not None:
                write_atomically(self._file(record.id, ".jpg"), picture)
            write_atomically(self._file(record.id), content)
        return True

    def delete(self, *record_ids: str) -> None:
        """Deletes records and their pictures; all of them or, where one is not there, none.

        Raises:
            UsageError: there is none of one of these ids.
        """
        with self._lock():
            for record_id in record_ids:
                if not self._file(record_id).is_file():
                    raise _unknown(record_id, self.root)
            self._remove(record_ids)

    def purge(self, *, before: datetime) -> int:
        """Deletes the records received before a moment (with its time zone); returns how many.

        Raises:
            DataError: as `records`.
        """
        with self._lock():
            old = [record.id for record in self.records() if record.received < before]
            self._remove(old)
        return len(old)

    def usage(self) -> Usage:
        """Counts what is there."""
        return _usage(self._sizes())

    def secret(self) -> bytes:
        """Returns 32 random bytes that all processes with this folder share; made, like the folder, on first use.

        Raises:
            OSError: the folder cannot be made or written.
        """
        path = self.root / _SECRET
        with self._lock():
            if not path.exists():
                write_atomically(path, secrets.token_bytes(32))
        return path.read_bytes()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        if not self.root.is_dir():
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)  # what people wrote and sent is not for everybody
            sync_folder(self.root.parent)
        lock = FileLock(self.root / _LOCK)
        try:
            lock.acquire(timeout=LOCK_SECONDS)
        except Timeout:
            raise FeedbackBusy(
                f"Other processes have been writing into {self.root} for {LOCK_SECONDS:.0f} s. Try again when they are "
                "done."
            ) from None
        try:
            yield
        finally:
            lock.release()

    def _file(self, record_id: str, suffix: Literal[".json", ".jpg"] = ".json") -> Path:
        if not _ID.fullmatch(record_id):  # no path, whatever it says
            raise _unknown(record_id, self.root)
        return self.root / f"{record_id}{suffix}"

    def _sizes(self) -> dict[str, int]:
        """Returns name -> bytes of each file: by `scandir`, since a full folder is counted for each report."""
        sizes = {}
        if self.root.is_dir():
            with os.scandir(self.root) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):  # what another process was writing has its final name now
                        sizes[entry.name] = entry.stat().st_size
        return sizes

    def _clear(self) -> dict[str, int]:
        """Removes pictures without a record, and what killed writers left; returns the sizes of what stays.

        With the lock in our hand nobody else writes.
        """
        sizes = self._sizes()
        for name in tuple(sizes):
            stem, _, suffix = name.partition(".")
            is_orphan = suffix == "jpg" and _ID.fullmatch(stem) and f"{stem}.json" not in sizes
            if is_orphan or _LEFT_HALF_WRITTEN.fullmatch(name):  # ours alone: nobody knows what else lies here
                (self.root / name).unlink()
                del sizes[name]
        return sizes

    def _remove(self, record_ids: Iterable[str]) -> None:
        for record_id in record_ids:
            self._file(record_id).unlink(missing_ok=True)
        self._clear()  # takes their pictures
        sync_folder(self.root)

    def _need_room(self, used: Usage, num_bytes: int) -> None:
        if used.num_records >= self._max_records or used.num_bytes + num_bytes > self._max_bytes:
            raise FeedbackFull(
                f"Expected at most {self._max_records:,} records and {self._max_bytes / 1024**2:,.0f} MB in "
                f"{self.root}, found {used.num_records:,} and {used.num_bytes / 1024**2:,.1f} MB: no more feedback is "
                "taken. Export what is needed with `captiongen feedback export`, then make room with `captiongen "
                "feedback purge`."
            )


def _usage(sizes: Mapping[str, int]) -> Usage:
    return Usage(num_records=sum(name.endswith(".json") for name in sizes), num_bytes=sum(sizes.values()))


def _read(path: Path) -> FeedbackRecord | None:
    """Returns the record in a file; None where the file is gone."""
    try:
        record = FeedbackRecord.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{path} is no feedback record of format version 1: {where}: {first['msg']}. {_remedy(path)}"
        ) from error
    if record.id != path.stem:
        raise DataError(f"Expected the record {path.stem} in {path}, found {record.id}. {_remedy(path)}")
    return record


def _remedy(path: Path) -> str:
    return f"Restore it, or delete {path.stem}.json and {path.stem}.jpg."


def _unknown(record_id: str, root: Path) -> UsageError:
    return UsageError(
        f"Expected the id of a feedback record in {root}, found {record_id!r}. `captiongen feedback list` shows them."
    )
