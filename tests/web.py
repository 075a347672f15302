"""Real HTTP servers on the loopback: one that only says how it is, and one of files that misbehaves on request."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class FileServer:
    """Serves `files` by path, and records the requests.

    Attributes:
        files: path -> content; other paths give 404.
        cut_after: for each coming response the number of body bytes after which the line is cut; None: not.
        statuses: for each coming request a status to answer instead, with `headers`; None: serve.
        headers: sent with a status of `statuses`.
        knows_ranges: whether Range is honoured.
        ranges: the Range header of each request ("" when it had none).
    """

    files: dict[str, bytes] = field(default_factory=dict)
    cut_after: list[int | None] = field(default_factory=list)
    statuses: list[int | None] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    knows_ranges: bool = True
    ranges: list[str] = field(default_factory=list)
    url: str = ""

    def respond(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers one GET."""
        wanted = handler.headers.get("Range", "")
        self.ranges.append(wanted)
        status = self.statuses.pop(0) if self.statuses else None
        content = self.files.get(handler.path)
        if status is not None or content is None:
            handler.send_response(status or 404)
            for name, value in self.headers.items():
                handler.send_header(name, value)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        first = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and self.knows_ranges else 0
        if first >= len(content) > 0:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if first else 200)
        if first:
            handler.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
        handler.send_header("Content-Length", str(len(content) - first))
        handler.end_headers()
        cut = self.cut_after.pop(0) if self.cut_after else None
        handler.wfile.write(content[first:] if cut is None else content[first : first + cut])
        handler.close_connection = True


@contextmanager
def serving() -> Iterator[FileServer]:
    """Runs a `FileServer` on a free port of 127.0.0.1."""
    files = FileServer()
    with _running(files.respond) as files.url:
        yield files


@contextmanager
def answering(status: Callable[[str], int]) -> Iterator[str]:
    """Runs a server that answers each GET with the status that its path has, and nothing else; yields its URL."""

    def respond(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status(handler.path))
        handler.end_headers()

    with _running(respond) as url:
        yield url


@contextmanager
def _running(respond: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            respond(self)

        def log_message(self, format: str, *arguments: object) -> None:
            """Keeps quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
