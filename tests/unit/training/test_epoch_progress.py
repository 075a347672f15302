"""What an epoch tells while it runs."""

import pytest
import torch

from captiongen.data.batches import Batch
from captiongen.ports import NullTracker
from captiongen.training.epoch_progress import EpochProgress

TOKENS = torch.tensor([[[1, 7, 2, 0], [1, 7, 8, 2]]] * 2)
BATCH = Batch([0, 1], torch.zeros(2, 3, 8, 8), TOKENS, is_features=False, is_mirrored=[False, False])


class RecordingTracker(NullTracker):
    def __init__(self):
        self.metrics = []

    def log_metrics(self, metrics, *, step):
        self.metrics.append((step, dict(metrics)))


def test_loss_is_a_mean_over_images_and_speeds_count_images_and_tokens():
    """A batch counts by its images; tokens per image are those that are predicted, without begin and padding."""
    tracker = RecordingTracker()
    progress = EpochProgress([BATCH, BATCH], num_batches=2, name="epoch", tracker=tracker)
    for step, batch in enumerate(progress):
        progress.add([1.0, 4.0][step], num_images=[2, 1][step], num_tokens=[10, 5][step], step=step)
        assert batch.num_tokens == 10
    assert progress.loss == pytest.approx(2.0)
    assert [(step, metrics["train_loss"]) for step, metrics in tracker.metrics] == [(0, 1.0), (1, 4.0)]
    for _, metrics in tracker.metrics:
        assert metrics["tokens_per_second"] == pytest.approx(5 * metrics["images_per_second"])


def test_a_phase_without_given_captions_tells_no_token_speed():
    """Where nothing is learned from given tokens there is no curve of them."""
    tracker = RecordingTracker()
    progress = EpochProgress([BATCH], num_batches=1, name="epoch", tracker=tracker)
    for _ in progress:
        progress.add(-0.3, num_images=2, num_tokens=0, step=0)
    assert set(tracker.metrics[0][1]) == {"train_loss", "images_per_second"}
