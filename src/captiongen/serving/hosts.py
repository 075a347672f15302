"""Under which names the service answers: those of this machine, and those that whoever runs it has listed.

A web page of another host can have its own name point to 127.0.0.1 (DNS rebinding). To the browser that page and the
service are then one site, and only the name in the Host header tells them apart.
"""

import os

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from captiongen.serving.limits import UnknownHost

#: Names, separated by commas, under which the service answers beside this machine's own; `*` for every name.
ALLOWED_HOSTS = "CAPTIONGEN_ALLOWED_HOSTS"
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_PROBES = ("/healthz", "/livez", "/readyz")  # asked by address, from where nobody knows a name; they tell nothing


class KnownHosts:
    """ASGI middleware: answers 421 to a request for a host of another name.

    Args:
        app: what to protect.
        allowed: the value of `CAPTIONGEN_ALLOWED_HOSTS`; None: as the environment says.
    """

    def __init__(self, app: ASGIApp, allowed: str | None = None) -> None:
        self._app = app
        listed = os.environ.get(ALLOWED_HOSTS, "") if allowed is None else allowed
        self._names = {name.strip().lower() for name in listed.split(",") if name.strip()} | set(_LOCAL)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in _PROBES or "*" in self._names:
            await self._app(scope, receive, send)
            return
        # A program of HTTP/1.0 may name no host; a browser always does.
        hosts = Headers(scope=scope).getlist("host")
        if all(_without_port(host) in self._names for host in hosts):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _refusal(hosts).response()(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})


def _without_port(host: str) -> str:
    name, colon, port = host.lower().rpartition(":")
    return name if colon and port.isdecimal() and not name.endswith(":") else host.lower()


def _refusal(hosts: list[str]) -> UnknownHost:
    return UnknownHost(
        f"Expected a request for {', '.join(_LOCAL)} or a host named in {ALLOWED_HOSTS}, found {', '.join(hosts)!r}. "
        f"Who runs the service adds it: {ALLOWED_HOSTS}=captions.example.org (several with commas, * for all)."
    )
