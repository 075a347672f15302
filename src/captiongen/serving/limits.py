"""What the service refuses, with which status and in which words; every limit of it stands here.

Refused
|-- BadUpload          400  no multipart form, no file in the field `image`, an empty or damaged picture
|-- BadCall            400  a call of the page's functions that the page would not make
|-- BadReport          400  a report without a receipt of ours, or with a field that says what it may not
|-- FeedbackOff        404  the service takes no feedback
|-- AlreadyReported    409  a second report of the same caption
|-- TooLarge           413  body over MAX_BODY_BYTES, or picture over 25 megapixels
|-- UnsupportedImage   415  none of the picture formats we decode (SVG, EPS, PDF, HTML ...)
|-- UnknownHost        421  a request for a host whose name the service does not go by
|-- Overloaded         503  more requests are waiting than can be answered in time; says when to come back
|-- DeadlineExceeded   504  no caption within DEADLINE_SECONDS
'-- NoRoom             507  a report that the feedback folder or its disk has no room for
"""

import os
from collections.abc import Mapping
from http import HTTPStatus

from bentoml.exceptions import BentoMLException
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

#: Of a whole request, form framing included.
MAX_BODY_BYTES = 10 * 1024 * 1024
#: From the moment a picture has been read until its caption is there, decoding and waiting for a batch included.
DEADLINE_SECONDS = 20.0
#: Requests between upload and answer; the next one is told to come back.
MAX_WAITING = 64
#: Pictures decoded at the same time. With 25 megapixels one takes 200 MB while it is, and 480 MB with transparency;
#: more at once would be no faster than the cores are many.
MAX_DECODING = min(2, os.cpu_count() or 1)

#: Reports between form and disk; they are kept one at a time.
MAX_REPORTS_WAITING = 16
#: Of a better caption that a person writes, after normalising.
MAX_CORRECTION_CHARACTERS = 300
#: Longer side of a reported picture's kept copy, which is no larger than a training needs.
MAX_KEPT_PX = 1024
#: How long a caption can be reported.
RECEIPT_SECONDS = 24 * 3600


class Refused(BentoMLException):
    """A request that is not granted; `error_code` is its HTTP status."""

    error_code = HTTPStatus.BAD_REQUEST
    headers: Mapping[str, str] = {}

    def response(self) -> JSONResponse:
        """The answer: one JSON object whose `error` says what to do."""
        return JSONResponse({"error": self.message}, status_code=self.error_code, headers=dict(self.headers))


class BadUpload(Refused):
    """No picture where one was expected, or a damaged one."""


class BadCall(Refused):
    """A call of a function that the page does not have, or with arguments of another form."""


class BadReport(Refused):
    """A report that is not of a caption we gave, or has a field that says what it may not."""


class FeedbackOff(Refused):
    """The service takes no feedback."""

    error_code = HTTPStatus.NOT_FOUND


class AlreadyReported(Refused):
    """The caption has been reported before."""

    error_code = HTTPStatus.CONFLICT


class TooLarge(Refused):
    """More bytes or pixels than the service takes."""

    error_code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class UnsupportedImage(Refused):
    """A kind of file that the service does not open."""

    error_code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class UnknownHost(Refused):
    """A request for a host of another name; see `hosts`."""

    error_code = HTTPStatus.MISDIRECTED_REQUEST


class ForeignPage(Refused):
    """A call by the script of another page; see `same_origin`."""

    error_code = HTTPStatus.FORBIDDEN


class Overloaded(Refused):
    """Too many requests are waiting."""

    error_code = HTTPStatus.SERVICE_UNAVAILABLE
    headers = {"Retry-After": "1"}  # noqa: RUF012 - a constant mapping, declared as such in the base class


class DeadlineExceeded(Refused):
    """The caption did not come in time."""

    error_code = HTTPStatus.GATEWAY_TIMEOUT


class NoRoom(Refused):
    """A report that cannot be kept, because the folder is full or the disk does not take it."""

    error_code = HTTPStatus.INSUFFICIENT_STORAGE


class BodyLimit:
    """ASGI middleware: answers 413 to a request body over the limit without keeping it.

    A body that announces its length is refused before a byte of it is read; one that does not (chunked) is cut off as
    soon as it has grown too long. A Content-Type that is no ASCII gets 400: nothing behind this door can read it.

    Args:
        app: what to protect.
        max_bytes: of a request body.
    """

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if not all(kind.isascii() for kind in headers.getlist("content-type")):
            refusal = BadUpload("Expected a Content-Type in ASCII, found other bytes. Send multipart/form-data.")
            await refusal.response()(scope, receive, send)
            return
        announced = headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            await self._refuse(scope, receive, send)
            return
        num_bytes = 0
        is_started = False

        async def counted_receive() -> Message:
            nonlocal num_bytes
            message = await receive()
            num_bytes += len(message.get("body", b""))
            if num_bytes > self._max_bytes:
                raise self._error()
            return message

        async def guarded_send(message: Message) -> None:
            nonlocal is_started
            # What the application makes of the error above is its own business; the client gets the 413.
            if is_started or num_bytes <= self._max_bytes:
                is_started = True
                await send(message)

        try:
            await self._app(scope, counted_receive, guarded_send)
        except Exception:
            if num_bytes <= self._max_bytes:
                raise
        if num_bytes > self._max_bytes and not is_started:
            await self._refuse(scope, receive, send)

    def _error(self) -> TooLarge:
        return TooLarge(
            f"The request is over {self._max_bytes / 1024**2:.0f} MB. Send a smaller copy of the picture; "
            "the model looks at a few hundred pixels only."
        )

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._error().response()
        response.headers["Connection"] = "close"  # the rest of the body is not read
        await response(scope, receive, send)
