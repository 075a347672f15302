"""A stage ends with the DVC that runs it, a server with the command that opened its page."""

import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import partial

_PR_SET_PDEATHSIG = 1  # prctl(2)


def end_with_dvc() -> None:
    """Has the kernel end this process when its DVC ends, however that comes about.

    A DVC that is killed outright would otherwise leave a trainer behind, whose work nobody records and whose lock turns
    the next run away. Only under DVC: a command that a person starts from a shell may outlive the shell. Linux only;
    elsewhere the lock is what keeps two trainers apart.
    """
    if "DVC_STAGE" not in os.environ or sys.platform != "linux":
        return
    sigterm_with_parent()()


def sigterm_with_parent() -> Callable[[], object]:
    """Returns what a process calls to be sent SIGTERM when its parent ends: as `preexec_fn`, made before the fork.

    It does nothing where the system is not Linux.
    """
    if sys.platform != "linux":
        return lambda: None
    return partial(ctypes.CDLL(None).prctl, _PR_SET_PDEATHSIG, signal.SIGTERM)
