"""Waiting until a server that we started answers."""

import time
from typing import Protocol
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

_PAUSE_SECONDS = 0.2
_ANSWER_SECONDS = 5.0


class Running(Protocol):
    """A process that was started, such as a `subprocess.Popen`."""

    def poll(self) -> int | None:
        """Returns its exit code, None while it runs."""


def is_ready_in_time(process: Running, url: str, *, seconds: float) -> bool:
    """Waits until `url` answers with success; gives up when the process ends, or after so many seconds.

    Args:
        process: the server.
        url: of its readiness check, on this machine.
        seconds: how long it may take.
    """
    opener = build_opener(ProxyHandler({}))  # a proxy for the world has no way to this machine's loopback
    give_up = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < give_up:
        try:
            opener.open(url, timeout=_ANSWER_SECONDS).close()
        except (URLError, OSError):  # nobody listens yet, or it says that it is not ready
            time.sleep(_PAUSE_SECONDS)
        else:
            return True
    return False
