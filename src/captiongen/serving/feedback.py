"""`POST /feedback`: a person says that a caption is wrong, and what would be right.

Off unless `CAPTIONGEN_FEEDBACK` names a folder, because what it keeps may be about people: two sentences, the reason,
the sha256 of the file and, only with consent, a copy of the picture without its metadata.
"""

import asyncio
import hashlib
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import anyio
from bentoml.exceptions import BentoMLException
from pydantic import BaseModel
from starlette.requests import Request

from captiongen.data.feedback import FeedbackFolder, FeedbackRecord, ReportedModel
from captiongen.errors import FeedbackBusy, FeedbackFull
from captiongen.serving.limits import (
    DEADLINE_SECONDS,
    MAX_REPORTS_WAITING,
    AlreadyReported,
    BadReport,
    DeadlineExceeded,
    NoRoom,
    Overloaded,
)
from captiongen.serving.receipts import GivenCaption, Receipts
from captiongen.serving.report_form import Report, read_report
from captiongen.serving.uploads import kept_copy

#: The folder that feedback is kept in, an absolute path; feedback is off where it is not set.
FEEDBACK_FOLDER = "CAPTIONGEN_FEEDBACK"

_log = logging.getLogger("bentoml.captiongen")  # BentoML shows what is below its own name


class FeedbackAnswer(BaseModel):
    """The body of a successful `POST /feedback`; who names the `id` can have the record deleted."""

    id: str


def feedback_folder() -> FeedbackFolder | None:
    """Returns the folder that the environment names, made and writable; None where feedback is off.

    Raises:
        BentoMLException: it is a relative path, or cannot be made or written.
    """
    named = os.environ.get(FEEDBACK_FOLDER, "")
    if not named:
        return None
    if not Path(named).is_absolute():
        raise BentoMLException(f"Expected an absolute path in {FEEDBACK_FOLDER}, found {named!r}.")
    folder = FeedbackFolder(Path(named))
    try:
        folder.secret()
    except (OSError, NotImplementedError, FeedbackBusy) as error:  # the second: a file system without locks
        raise BentoMLException(
            f"Expected a folder in {FEEDBACK_FOLDER} that this user can write and lock, found {named}: {error}. "
            "Let this user write it, name another, or leave the variable out: then no feedback is taken."
        ) from error
    return folder


class FeedbackDesk:
    """Gives receipts for captions, and takes reports of them, one at a time.

    Args:
        folder: where reports are kept.
        model: who captions.
        observe: is told the reason of each report that was kept, `none` where the person chose none.
    """

    def __init__(
        self, folder: FeedbackFolder, model: ReportedModel, *, observe: Callable[[str], None] = lambda _: None
    ) -> None:
        self._folder = folder
        self._receipts = Receipts(folder.secret(), model)
        self._observe = observe
        # Apart from the captions' own: however many report, they keep one core busy at most.
        self._turn = anyio.CapacityLimiter(1)
        self._num_waiting = 0

    def receipt(self, caption: str, upload_sha256: str) -> str:
        """Returns the receipt that goes out with a caption of a file."""
        return self._receipts.give(caption, upload_sha256)

    async def take(self, request: Request) -> FeedbackAnswer:
        """Keeps the report in a request; when this returns it is on the disk.

        Raises:
            Refused: the report is not as it should be, or cannot be kept now.
        """
        report = await read_report(request)
        given = self._receipts.read(report.receipt)
        if self._num_waiting >= MAX_REPORTS_WAITING:
            raise Overloaded(f"{self._num_waiting} reports are waiting to be kept. Try again in a second.")
        self._num_waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                await anyio.to_thread.run_sync(self._keep, report, given, limiter=self._turn)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"Not confirmed within {DEADLINE_SECONDS:.0f} s. Send it again: if it was kept after all, you are told."
            ) from error
        finally:
            self._num_waiting -= 1
        self._observe(report.reason or "none")
        return FeedbackAnswer(id=given.id)

    def _keep(self, report: Report, given: GivenCaption) -> None:
        picture = None if report.picture is None else _checked_copy(report.picture, given)
        record = FeedbackRecord(
            id=given.id,
            received=datetime.now(UTC),
            caption=given.caption,
            correction=report.correction,
            reason=report.reason,
            upload_sha256=given.upload_sha256,
            picture_sha256=None if picture is None else hashlib.sha256(picture).hexdigest(),
            model=given.model,
        )
        try:
            is_new = self._folder.add(record, picture)
        except FeedbackBusy:
            raise Overloaded("Other reports are being kept. Try again in a second.") from None
        except FeedbackFull as error:
            _log.warning("A report was refused: %s", error)
            raise NoRoom(
                "This service keeps as many reports as it may, so yours was not kept; captions are given as before. "
                "Who runs it makes room with `captiongen feedback export` and `captiongen feedback purge`."
            ) from error
        except OSError as error:
            _log.warning("A report could not be kept: %s", error)
            raise NoRoom(
                "Your report could not be written to the disk, so it was not kept; captions are given as before. Try "
                "again later, or tell who runs the service: its log says why."
            ) from error
        if not is_new:
            raise AlreadyReported(f"This caption has been reported already, as {given.id}. Nothing was changed.")


def _checked_copy(picture: bytes, given: GivenCaption) -> bytes:
    if hashlib.sha256(picture).hexdigest() != given.upload_sha256:
        raise BadReport(
            "Expected the file that was captioned, found another. Send the same bytes, or caption this picture first."
        )
    return kept_copy(picture)
