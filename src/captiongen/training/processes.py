"""One training in several processes: each takes its share of every batch, and the weights move as they would in one.

The processes are the default group of `torch.distributed`, which the command line joins. Without a group there is one
process, and everything here is what one process alone would do.

A batch is the batch of all processes together. What a loss is the mean over (tokens, images) is counted over all of
them, so that the gradient is that of the whole batch and not a mean of means.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


def num_processes() -> int:
    """How many processes train together."""
    return distributed.get_world_size() if _is_joined() else 1


def rank() -> int:
    """This process among them, from 0."""
    return distributed.get_rank() if _is_joined() else 0


def is_first() -> bool:
    """Whether this is the process that writes and tells; the others compute."""
    return rank() == 0


def hides_bars() -> bool | None:
    """What tqdm wants to know as `disable`: only the first process shows bars, and only to a terminal."""
    return None if is_first() else True


def mean_over_processes(value: float) -> float:
    """The mean of a number over all processes. Every process must call it, in the same order."""
    if num_processes() == 1:
        return value
    total = torch.tensor(value, dtype=torch.float64)
    distributed.all_reduce(total)
    return float(total) / num_processes()


def gather(value: T) -> list[T]:
    """What every process has, by rank; it is pickled, between processes of one training. Every process must call it."""
    if num_processes() == 1:
        return [value]
    gathered: list[Any] = [None] * num_processes()
    distributed.all_gather_object(gathered, value)
    return gathered


@contextmanager
def first_before_others() -> Iterator[None]:
    """Lets the first process through the block, and then the others, who find what it wrote."""
    if num_processes() > 1 and not is_first():
        distributed.barrier()
    yield
    if num_processes() > 1 and is_first():
        distributed.barrier()


def share_gradients(module: nn.Module, *, has_unused_parameters: bool) -> nn.Module:
    """Returns the module such that its gradients become, in `backward`, the mean over all processes.

    The loss that it returns must be the process's sum divided by the mean over processes of the counts.

    Args:
        module: returns a loss.
        has_unused_parameters: whether there are any that no loss reaches; looking for them costs a little at each step.
    """
    if num_processes() == 1:
        return module
    return DistributedDataParallel(module, find_unused_parameters=has_unused_parameters)


def without_sharing(module: nn.Module) -> AbstractContextManager[None]:
    """The context of a forward and backward pass whose gradients stay in this process, to be added to."""
    return module.no_sync() if isinstance(module, DistributedDataParallel) else nullcontext()


def share_batch_statistics(module: nn.Module, device: torch.device) -> str | None:
    """Has batch normalisation see the whole batch where torch can (on GPUs); returns what to tell where it cannot."""
    if num_processes() == 1:
        return None
    # A norm that keeps the statistics it has learned stays in evaluation mode, and sees no batch.
    norms = [part for part in module.train().modules() if isinstance(part, nn.modules.batchnorm._BatchNorm)]
    if not any(norm.training for norm in norms):
        return None
    if device.type != "cuda":
        return (
            f"warning: this encoder normalises over the batch, and on a {device.type} each of the {num_processes()} "
            "processes sees its own share only. The result is another than that of one process."
        )
    from timm.layers import convert_sync_batchnorm

    convert_sync_batchnorm(module)
    return None


def _is_joined() -> bool:
    return distributed.is_available() and distributed.is_initialized()
