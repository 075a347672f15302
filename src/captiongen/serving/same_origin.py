"""A page that only its own script may call, and that no other page may show inside itself.

Any page that a browser has open can send requests to this machine, one of another port of it included, and can lay a
frame with our page under its own buttons (clickjacking). The browser says in `Origin` whose script asks; programs that
are no browser send none.
"""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from captiongen.serving.limits import ForeignPage


class SameOrigin:
    """ASGI middleware: answers 403 to other pages' scripts, and has browsers show the page in no frame.

    Args:
        app: the web application with the page; who asks under a name that is not its own has been refused before.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        headers = Headers(scope=scope) if scope["type"] in ("http", "websocket") else Headers()
        foreign = [one for one in headers.getlist("origin") if one.partition("://")[2] != headers.get("host")]

        async def send_unframed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = "frame-ancestors 'none'"
            await send(message)

        if not foreign:
            await self._app(scope, receive, send_unframed)
        elif scope["type"] == "http":
            refusal = ForeignPage(f"Expected a call of this page's own script, found one from {foreign[0]!r}.")
            await refusal.response()(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})
