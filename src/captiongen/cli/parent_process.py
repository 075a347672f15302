"""A stage ends with the DVC that runs it, a server with the command that opened its page."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_dvc() -> None:
    """Has this process sent SIGTERM when its DVC ends, however that comes about.

    A DVC that is killed outright would otherwise leave a trainer behind, whose work nobody records and whose lock turns
    the next run away. Only under DVC: a command that a person starts from a shell may outlive the shell.
    """
    if "DVC_STAGE" not in os.environ:
        return
    Thread(target=_terminate_after, args=(_dvc(),), name="end-with-dvc", daemon=True).start()


def sigterm_with_parent() -> Callable[[], object]:
    """Returns what a process calls to be sent SIGTERM when its parent ends: as `preexec_fn`, made before the fork.

    It does nothing where the system is not Linux.
    """
    if sys.platform != "linux":
        return lambda: None
    return partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)


def _dvc() -> "psutil.Process | None":
    """The nearest ancestor that DVC did not start.

    Not simply the parent: between the two there may be the shell that DVC gives the command to, and the program by
    which a virtual environment starts Python. Whether a shell stays or becomes its command depends on the shell.
    """
    import psutil

    for process in psutil.Process().parents():
        try:
            if "DVC_STAGE" not in process.environ():
                return process
        except psutil.AccessDenied:  # another user's, so not one that this DVC started
            return process
        except psutil.NoSuchProcess:
            return None
    return None


def _terminate_after(process: "psutil.Process | None") -> None:
    if process is not None:
        process.wait()
    os.kill(os.getpid(), signal.SIGTERM)
