"""Runs a command so that nothing of it outlives its caller.

DVC that is killed leaves the stage's process running, and the next run would start a second writer. So a small
supervisor (this module, run as a script) leads a session of its own: it starts the command, and ends everything in its
process group when the command ends, when it is told to stop, or when the caller dies in whatever way, `kill -9`
included: it then reads the end of a pipe that only the caller holds open.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import psutil

_GRACE_SECONDS = 5.0


def run_group(
    command: Sequence[str], *, cwd: Path, log: Callable[[str], None], environment: Mapping[str, str] | None = None
) -> int:
    """Runs `command`, passing each line of its output (stdout and stderr, without line end) to `log`.

    An exception in the caller, a signal turned into one included, ends the whole group before it travels on.

    Args:
        command: program and arguments.
        cwd: folder to run in.
        log: receives each line as it comes.
        environment: variables to set beside those of this process.

    Returns:
        The command's exit code; 128 + N when signal N ended it.
    """
    with open_group(command, cwd=cwd, output=subprocess.PIPE, environment=environment) as process:
        for line in process.stdout or ():
            log(line.rstrip("\n"))
        return process.wait()


@contextmanager
def open_group(
    command: Sequence[str], *, cwd: Path, output: int | IO[str], environment: Mapping[str, str] | None = None
) -> "Iterator[subprocess.Popen[str]]":
    """Runs `command` at most as long as the block runs, and at most as long as this process.

    Args:
        command: program and arguments.
        cwd: folder to run in.
        output: where stdout and stderr go, as `subprocess.Popen` takes it.
        environment: variables to set beside those of this process.

    Yields:
        The supervisor, which ends when the command does, with its exit code.
    """
    read_end, write_end = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "captiongen.adapters.process_group", str(read_end), *command],
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            pass_fds=(read_end,),
        )
    except BaseException:
        os.close(write_end)
        raise
    finally:
        os.close(read_end)
    try:
        yield process
    finally:
        os.close(write_end)
        process.wait()


def _supervise(read_end: int, command: Sequence[str]) -> int:
    """Leads the group; returns the command's exit code after everything else in the group is gone."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    child = subprocess.Popen(command)

    def stop_when_the_caller_goes() -> None:
        os.read(read_end, 1)  # nobody ever writes: this returns at the end of the pipe
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_when_the_caller_goes, daemon=True).start()
    try:
        code = child.wait()
        return code if code >= 0 else 128 - code
    finally:
        _end_others()


def _end_others() -> None:
    """SIGTERM first, so that a trainer can leave in order; SIGKILL for whoever still runs after the grace time.

    A server's workers may lead groups of their own: their server tells them to leave, and SIGKILL finds them too.
    """
    import psutil

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    others, descendants = _others_in_group(), psutil.Process().children(recursive=True)
    for process in others:
        with suppress(psutil.NoSuchProcess):  # gone since it was listed; the rest must end all the same
            process.terminate()
    _, stubborn = psutil.wait_procs(others, timeout=_GRACE_SECONDS)
    for process in {*stubborn, *_others_in_group(), *descendants}:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _others_in_group() -> "list[psutil.Process]":
    import psutil

    own, group = os.getpid(), os.getpgid(0)
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != own and os.getpgid(process.pid) == group:
                found.append(process)
        except (psutil.Error, ProcessLookupError):  # gone since it was listed
            continue
    return found


if __name__ == "__main__":
    sys.exit(_supervise(int(sys.argv[1]), sys.argv[2:]))
