"""Requests that arrive while the model is busy are answered together.

The batch grows with the load and by nothing else: an idle model starts at once with what there is, a busy one finds
whatever has gathered meanwhile. So nobody waits for a batch to fill, and there is nothing to tune but its limit.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    answer: "asyncio.Future[Result]"


class Batcher(Generic[Item, Result]):
    """Gathers single items for a function that is cheaper per item on many; one event loop's property.

    Args:
        function: one list in, one list of the same length out; runs in a thread, never twice at the same time. Its
            second argument tells whether anybody still waits for an item of the list; long work asks now and then.
        max_batch: the longest list it gets.
        observe: is told the size of each batch.
    """

    def __init__(
        self,
        function: Callable[[Sequence[Item], Callable[[], bool]], Sequence[Result]],
        *,
        max_batch: int,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._function = function
        self._max_batch = max_batch
        self._observe = observe
        self._waiting: deque[_Waiting[Item, Result]] = deque()
        self._worker: asyncio.Task[None] | None = None

    async def __call__(self, item: Item) -> Result:
        """Returns the function's result for one item, or raises what it raised.

        A caller that is cancelled before its batch starts (its deadline passed, its client left) costs nothing, and
        work that nobody waits for any more can end early.
        """
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, answer))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            batch = self._next_batch()
            if not batch:
                continue
            self._observe(len(batch))
            try:
                is_wanted = partial(_is_wanted, batch)
                results = await asyncio.to_thread(self._function, [one.item for one in batch], is_wanted)
                pairs = list(zip(batch, results, strict=True))
            except Exception as error:  # noqa: BLE001 - it is the callers' to handle
                for one in batch:
                    if not one.answer.done():
                        one.answer.set_exception(error)
            else:
                for one, result in pairs:
                    if not one.answer.done():
                        one.answer.set_result(result)

    def _next_batch(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        while self._waiting and len(batch) < self._max_batch:
            one = self._waiting.popleft()
            if not one.answer.done():  # a caller that has gone needs no answer
                batch.append(one)
        return batch


def _is_wanted(batch: Sequence[_Waiting[Item, Result]]) -> bool:
    return not all(one.answer.done() for one in batch)
