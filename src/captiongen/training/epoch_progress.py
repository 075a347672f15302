"""How an epoch goes: a bar with loss, speeds and remaining time, and the same numbers for the tracker."""

import sys
import time
from collections.abc import Iterable, Iterator

from tqdm import tqdm

from captiongen.data.batches import Batch
from captiongen.ports import Tracker
from captiongen.training.processes import hides_bars
from captiongen.training.snapshot import EpochRecord


class EpochProgress:
    """Loss and speeds of an epoch so far, of all processes together; the first of them shows a bar.

    Args:
        batches: of the epoch.
        num_batches: how many they are.
        name: of the epoch, on the bar.
        tracker: receives `train_loss`, `images_per_second` and `tokens_per_second` with every batch.
    """

    def __init__(self, batches: Iterable[Batch], *, num_batches: int, name: str, tracker: Tracker) -> None:
        self._bar = tqdm(batches, total=num_batches, desc=name, unit="batch", disable=hides_bars())
        self._tracker = tracker
        self._started, self._loss_sum, self._num_images, self._num_tokens = time.monotonic(), 0.0, 0, 0.0

    def __iter__(self) -> Iterator[Batch]:
        """Yields the batches, each as the bar moves on; the bar closes with them, or with an error."""
        with self._bar:
            yield from self._bar

    def add(self, loss: float, *, num_images: int, num_tokens: float, step: int) -> None:
        """Takes note of a batch.

        Args:
            loss: mean over the batch.
            num_images: in the batch.
            num_tokens: of captions that it taught; 0 where it taught no given ones.
            step: of the whole training.
        """
        self._loss_sum += loss * num_images
        self._num_images += num_images
        self._num_tokens += num_tokens
        speeds = self.speeds()
        shown = {name.replace("_per_second", "/s"): f"{speed:.0f}" for name, speed in speeds.items()}
        self._bar.set_postfix({"loss": f"{self.loss:.3f}", **shown})
        self._tracker.log_metrics({"train_loss": loss, **speeds}, step=step)

    @property
    def loss(self) -> float:
        """Mean over the images so far."""
        return self._loss_sum / self._num_images

    def speeds(self) -> dict[str, float]:
        """Images, and tokens where there were any, per second."""
        seconds = time.monotonic() - self._started
        counts = {"images_per_second": self._num_images, "tokens_per_second": self._num_tokens}
        return {name: count / seconds for name, count in counts.items() if count}


def tell_epoch(record: EpochRecord, number: int, num_epochs: int, seconds: float) -> None:
    """One line per epoch, in logs too, where there is no progress bar."""
    cider = "" if record.dev_cider is None else f", dev CIDEr {record.dev_cider:.1f}"
    explained = "" if record.dev_r2 is None else f", dev R2 {record.dev_r2:.3f}"
    left = (num_epochs - number) * seconds / 60
    tqdm.write(
        f"{record.phase} {number}/{num_epochs}: loss {record.train_loss:.3f}{cider}{explained}, "
        f"{seconds:.0f} s, about {left:.0f} min left",
        sys.stderr,
    )
