"""`captiongen train` in several processes: those that torchrun starts, or that the command starts where it is told to.

Under DVC the command is `captiongen train` and stays it: how many processes compute a result does not make it stale. So
their number is a variable, `CAPTIONGEN_NUM_PROCESSES`, and no param.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from captiongen.cli.parent_process import end_with_dvc, sigterm_with_parent
from captiongen.errors import CaptionGenError, TrainingError, UsageError

_VARIABLE = "CAPTIONGEN_NUM_PROCESSES"
# The first process may compute the features of a large data set while the others wait. A process that dies closes its
# connections, which the others notice at once; only one that hangs is found by this.
_PATIENCE = timedelta(days=1)
# Whoever started the processes ends all of them as soon as one has ended with an error or was killed. To end with an
# error takes a while: the run is closed first.
_UNTIL_KILLED_IS_NOTICED_SECONDS, _UNTIL_ENDED_SECONDS = 2.0, 30.0


def start_processes(*command: str) -> bool:
    """Runs a command of ours in as many processes as the environment asks for, and returns when all are done.

    Returns:
        False when there is nothing to start: one process was asked for, or this is one of them already.

    Raises:
        UsageError: the number is none.
        TrainingError: a process was killed. One that fails says why itself, and its exit code becomes ours.
    """
    num_processes = _num_processes_wanted()
    if num_processes == 1 or "WORLD_SIZE" in os.environ:
        return False
    end_with_dvc()
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # it repeats what was said
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // num_processes)))
    config = LaunchConfig(
        run_id="captiongen",
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=num_processes,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "captiongen", *command)
    except ChildFailedError as error:
        _, cause = error.get_first_failure()
        if cause.exitcode > 0:
            sys.exit(cause.exitcode)
        raise TrainingError(
            f"Training process {cause.local_rank} was ended by {signal.Signals(-cause.exitcode).name}. If the machine "
            f"ran out of memory, set a smaller {_VARIABLE}; called again, the training goes on from its last finished "
            "epoch."
        ) from error
    except SignalException as error:
        sys.exit(128 + error.sigval)
    return True


@contextmanager
def joined_processes() -> Iterator[None]:
    """Joins this process with the others that torchrun, or `start_processes`, started; alone it stays alone.

    The first process to fail says why. Those that fail with it, or because of it, are ended before they say anything.

    Raises:
        UsageError: there are fewer GPUs than processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    sigterm_with_parent()()
    from torch import cuda, distributed
    from torch.distributed.rendezvous import rendezvous

    store, rank, world_size = next(rendezvous("env://"))
    try:
        if cuda.is_available():
            _choose_gpu(int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"]))
        backend = "cpu:gloo,cuda:nccl" if cuda.is_available() else "gloo"
        distributed.init_process_group(backend, store=store, rank=rank, world_size=world_size, timeout=_PATIENCE)
        yield
    except Exception as error:
        if store.add("captiongen/num_failed", 1) > 1:
            time.sleep(_UNTIL_ENDED_SECONDS)
        elif not isinstance(error, CaptionGenError):  # perhaps only that the connection to a killed process is gone
            time.sleep(_UNTIL_KILLED_IS_NOTICED_SECONDS)
        raise
    distributed.destroy_process_group()


def _num_processes_wanted() -> int:
    text = os.environ.get(_VARIABLE, "1")
    if not text.isdecimal() or int(text) < 1:
        raise UsageError(f"{_VARIABLE}: expected a number of processes from 1, found {text!r}. Correct or unset it.")
    return int(text)


def _choose_gpu(local_rank: int, num_local: int) -> None:
    from torch import cuda

    if num_local > cuda.device_count():
        raise UsageError(
            f"Expected a GPU for each of {num_local} processes, found {cuda.device_count()}. Start fewer processes, or "
            "set CUDA_VISIBLE_DEVICES= to train on the CPU."
        )
    cuda.set_device(local_rank)
