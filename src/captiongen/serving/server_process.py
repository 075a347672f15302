"""A worker ends with the server that started it, however that comes about.

BentoML's server tells its workers to leave when it is told to. One that is killed outright cannot, and its worker would
go on answering on a port that the next server needs.
"""

import ctypes
import os
import signal
import sys

_SERVER_PID = "CAPTIONGEN_SERVER_PID"
_PR_SET_PDEATHSIG = 1  # prctl(2)


def name_server() -> None:
    """Leaves this process's id to the workers that it is about to start."""
    os.environ[_SERVER_PID] = str(os.getpid())


def end_with_server() -> None:
    """Has the kernel send this worker SIGTERM when its server ends: what is in flight is still answered.

    To be called in the worker's main thread: the kernel keeps the wish with the thread. Linux only. Does nothing in a
    process that no server started.
    """
    server = os.environ.get(_SERVER_PID)
    if server is None or sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if str(os.getppid()) != server:  # it ended before it could be watched
        os.kill(os.getpid(), signal.SIGTERM)
