"""A task done by two real processes that train together."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import torch

Task = Callable[[int, Path], dict[str, object]]


def in_two_processes(task: Task, folder: Path) -> list[dict[str, object]]:
    """Calls `task` with the rank and the folder in each of two joined processes; returns what both saw, by rank."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["captiongen.training.processes"])
    children = [context.Process(target=_join, args=(task, rank, folder)) for rank in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    return [torch.load(folder / f"facts-{rank}") for rank in range(2)]


def _join(task: Task, rank: int, folder: Path) -> None:
    store = f"file://{folder / 'store'}"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    torch.save(task(rank, folder), folder / f"facts-{rank}")
    torch.distributed.destroy_process_group()
