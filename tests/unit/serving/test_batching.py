"""The batcher: who is answered together, and what one caller's trouble means to the others."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence

import pytest

from captiongen.serving.batching import Batcher


class Doubler:
    """A slow function that keeps what it was given; it waits for `go` each time."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.go = threading.Semaphore(0)

    def __call__(self, items: Sequence[int], _is_wanted: Callable[[], bool]) -> list[int]:
        self.batches.append(list(items))
        assert self.go.acquire(timeout=10)
        if 13 in items:
            raise ValueError("13")
        return [2 * item for item in items]


async def until(condition: object) -> None:
    while not condition():  # type: ignore[operator]
        await asyncio.sleep(0.001)


def test_what_waits_while_the_function_runs_goes_together() -> None:
    """The first item starts at once and alone; those that come meanwhile form one batch, in their order."""

    async def run() -> None:
        function = Doubler()
        batcher = Batcher(function, max_batch=8)
        tasks = [asyncio.create_task(batcher(0))]
        await until(lambda: function.batches)
        tasks += [asyncio.create_task(batcher(item)) for item in (1, 2, 3)]
        await asyncio.sleep(0)
        function.go.release(2)
        assert await asyncio.gather(*tasks) == [0, 2, 4, 6]
        assert function.batches == [[0], [1, 2, 3]]

    asyncio.run(run())


def test_batches_keep_their_limit() -> None:
    """More waiting items than a batch holds take several, and each size is observed."""

    async def run() -> None:
        function, sizes = Doubler(), []
        function.go.release(3)
        batcher = Batcher(function, max_batch=2, observe=sizes.append)
        assert await asyncio.gather(*(batcher(item) for item in range(5))) == [0, 2, 4, 6, 8]
        assert sizes == [2, 2, 1]

    asyncio.run(run())


def test_caller_that_left_is_not_computed() -> None:
    """A request whose deadline has passed while it waited costs no computation; the others are answered."""

    async def run() -> None:
        function = Doubler()
        batcher = Batcher(function, max_batch=8)
        first = asyncio.create_task(batcher(0))
        await until(lambda: function.batches)
        gone, stays = asyncio.create_task(batcher(1)), asyncio.create_task(batcher(2))
        await asyncio.sleep(0)
        gone.cancel()
        function.go.release(2)
        assert await asyncio.gather(first, stays) == [0, 4]
        assert function.batches == [[0], [2]]

    asyncio.run(run())


def test_work_that_nobody_waits_for_ends_early() -> None:
    """A stuck batch learns that its last caller has gone, not before; those that come after it are answered."""

    async def run() -> None:
        ended = threading.Event()

        def stuck(items: Sequence[int], is_wanted: Callable[[], bool]) -> list[int]:
            while 0 in items and is_wanted():
                time.sleep(0.001)
            ended.set()
            return list(items)

        batcher = Batcher(stuck, max_batch=8)
        tasks = [asyncio.create_task(batcher(0)) for _ in range(2)]
        await asyncio.sleep(0.05)
        tasks[0].cancel()
        await asyncio.sleep(0.05)
        assert not ended.is_set()
        tasks[1].cancel()
        assert await asyncio.to_thread(ended.wait, 1.0)
        assert await batcher(7) == 7

    asyncio.run(run())


def test_error_reaches_every_caller_of_its_batch_and_no_other() -> None:
    """A batch that fails raises in its callers, and the next one runs."""

    async def run() -> None:
        function = Doubler()
        function.go.release(2)
        batcher = Batcher(function, max_batch=2)
        answers = await asyncio.gather(*(batcher(item) for item in (13, 1, 2)), return_exceptions=True)
        assert [type(answer) for answer in answers] == [ValueError, ValueError, int]

    asyncio.run(run())


def test_function_that_loses_an_answer_is_an_error() -> None:
    """A list of another length than its items is refused rather than given to the wrong callers."""

    async def run() -> None:
        with pytest.raises(ValueError, match="zip"):
            await Batcher(lambda items, _: [], max_batch=2)(1)

    asyncio.run(run())
