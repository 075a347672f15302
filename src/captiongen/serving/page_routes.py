"""Which of Gradio's routes the page has: those that its own script calls.

Gradio brings many more, for programs and for other kinds of pages. Some fetch a URL for whoever asks, run ffmpeg, or
write to the disk; a route that the page does not need is not there.
"""

import re

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_API = "/gradio_api/"
_NEEDED = re.compile(
    r"upload|upload_progress|queue/(join|data)|heartbeat/[^/]+|cancel|reset|info|app_id|startup-events|theme\.css"
    r"|file=/.*"  # a file, whose folder Gradio checks; never a URL, which it would fetch
)
_CLOSED = ("/monitoring", "/login", "/logout")


class PageRoutes:
    """ASGI middleware: answers 404 to every route of Gradio's that the page does not use.

    Args:
        app: the web application with the page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] == "http" and not _is_open(scope["path"]):
            await JSONResponse({"error": "The page has no such route."}, status_code=404)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_open(path: str) -> bool:
    """Whether the page needs a path; `path` is already percent-decoded."""
    if path.startswith(_API):
        return _NEEDED.fullmatch(path.removeprefix(_API).rstrip("/")) is not None
    return not path.startswith(_CLOSED)
