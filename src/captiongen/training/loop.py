"""The training loop: epochs of teacher-forced steps, chosen between by free-running captions.

Shapes: B images, K captions, T tokens, (C, G, G) feature map.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from captiongen.data.batches import Batch, TrainingSet, epoch_batches
from captiongen.errors import TrainingError
from captiongen.model.captioner import Captioner
from captiongen.params import TrainParams
from captiongen.ports import Tracker
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.training.objective import (
    build_optimiser,
    caption_loss,
    clip_gradients,
    set_learning_rate,
    warmup_cosine,
)
from captiongen.training.precision import autocast
from captiongen.training.snapshot import EpochRecord, Progress, TrainingState, load_newest_snapshot, save_snapshot

#: Scores a captioner by the captions it writes on its own: (captioner, epoch) -> dev CIDEr (x100).
Selector = Callable[[Captioner, int], float]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The outcome of a training: the captioner holds the best weights."""

    captioner: Captioner
    progress: Progress
    is_stopped_early: bool


class Trainer:
    """Trains one captioner on one training set.

    Args:
        captioner: changed in place.
        data: pictures, or features when the encoder is frozen.
        params: the section `train`.
        select: scores the captioner on the dev split.
        snapshots: where to leave what a killed run goes on from.
        tracker: receives losses and speeds.
        device: where to compute.

    Raises:
        TrainingError: the loss is no longer a number.
    """

    def __init__(
        self,
        captioner: Captioner,
        data: TrainingSet,
        params: TrainParams,
        *,
        select: Selector,
        snapshots: Path,
        tracker: Tracker,
        device: torch.device,
    ) -> None:
        self._data, self._params, self._select = data, params, select
        self._snapshots, self._tracker, self._device = snapshots, tracker, device
        self._captioner = captioner.to(device)
        captioner.encoder.requires_grad_(not data.is_features)
        optimiser = build_optimiser(captioner, params.optimisation, encoder_factor=params.encoder.learning_rate_factor)
        decay = params.optimisation.ema_decay
        average = AveragedModel(captioner, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None  # type: ignore[no-untyped-call]
        self._average = average
        self._state = TrainingState(captioner, average, optimiser)
        num_batches = math.ceil(len(data.image_ids) / params.optimisation.batch_size)
        self._steps_per_epoch = math.ceil(num_batches / params.optimisation.accumulation_steps)

    def fit(self) -> Fitted:
        """Trains until the last epoch, or until dev CIDEr has not risen for `selection.patience` looks."""
        resumed = load_newest_snapshot(self._snapshots, self._state)
        progress, best = resumed or (Progress(0, 0, -math.inf, 0, ()), {})
        is_stopped = False
        while progress.num_epochs_done < self._params.optimisation.num_epochs and not is_stopped:
            epoch = progress.num_epochs_done + 1
            record = self._run_epoch(epoch)
            cider = self._look(epoch)
            if cider is not None and cider > progress.best_cider:
                best = {name: tensor.detach().cpu().clone() for name, tensor in self._judged().state_dict().items()}
            progress = _advance(progress, replace(record, dev_cider=cider))
            save_snapshot(self._snapshots, self._state, progress, best)
            is_stopped = progress.num_without_gain >= self._params.selection.patience
        self._captioner.load_state_dict(best)
        return Fitted(self._captioner, progress, is_stopped)

    def _judged(self) -> Captioner:
        """The weights that are judged and kept: the running average where there is one."""
        if self._average is None:
            return self._captioner
        averaged: Captioner = self._average.module  # type: ignore[assignment]
        return averaged

    def _look(self, epoch: int) -> float | None:
        """Dev CIDEr of this epoch's captions, in epochs that are looked at."""
        is_last = epoch == self._params.optimisation.num_epochs
        if epoch % self._params.selection.every_num_epochs and not is_last:
            return None
        judged = self._judged().eval()
        cider = self._select(judged, epoch)
        self._tracker.log_metrics({"dev_cider": cider}, step=epoch * self._steps_per_epoch)
        return cider

    def _run_epoch(self, epoch: int) -> EpochRecord:
        options = self._params.optimisation
        # Dropout draws from here: an epoch repeats itself whatever ran before it.
        torch.manual_seed(self._params.seed * 1_000_003 + epoch)
        self._captioner.train()
        if self._data.is_features:
            self._captioner.encoder.eval()
        batches = epoch_batches(
            self._data,
            batch_size=options.batch_size,
            augmentation=self._params.augmentation,
            seed=self._params.seed,
            epoch=epoch,
        )
        num_batches = math.ceil(len(self._data.image_ids) / options.batch_size)
        loss_sum, num_images, started = 0.0, 0, time.monotonic()
        with tqdm(batches, total=num_batches, desc=f"epoch {epoch}/{options.num_epochs}", disable=None) as bar:
            for index, batch in enumerate(bar):
                step = (epoch - 1) * self._steps_per_epoch + index // options.accumulation_steps
                is_step_end = (index + 1) % options.accumulation_steps == 0 or index + 1 == num_batches
                loss = self._run_batch(batch, step, is_step_end)
                loss_sum, num_images = loss_sum + loss * len(batch.positions), num_images + len(batch.positions)
                speed = num_images / (time.monotonic() - started)
                bar.set_postfix(loss=f"{loss_sum / num_images:.3f}", images_per_second=f"{speed:.0f}")
                self._tracker.log_metrics({"train_loss": loss, "images_per_second": speed}, step=step)
        rate = options.learning_rate * self._rate(epoch * self._steps_per_epoch - 1)
        self._tracker.flush()
        return EpochRecord(epoch, loss_sum / num_images, rate, None)

    def _run_batch(self, batch: Batch, step: int, is_step_end: bool) -> float:
        options = self._params.optimisation
        loss = self._loss(batch)
        if not math.isfinite(loss.item()):
            names = ", ".join(self._data.image_ids[position] for position in batch.positions[:4])
            raise TrainingError(
                f"The training loss became {loss.item()} at step {step}, in the batch with {names} ... "
                "Lower train.optimisation.learning_rate, or look at these images and captions."
            )
        (loss / options.accumulation_steps).backward()  # type: ignore[no-untyped-call]
        if is_step_end:
            clip_gradients(self._captioner, options.max_gradient_norm)
            set_learning_rate(self._state.optimiser, options.learning_rate * self._rate(step))
            self._state.optimiser.step()
            self._state.optimiser.zero_grad(set_to_none=True)
            if self._average is not None:
                self._average.update_parameters(self._captioner)
        return loss.item()

    def _loss(self, batch: Batch) -> Tensor:
        inputs, tokens = batch.inputs.to(self._device), batch.tokens.to(self._device)
        with autocast(self._params.optimisation.precision, self._device):
            features = inputs.float() if self._data.is_features else self._captioner.encoder(inputs)
            return caption_loss(
                self._captioner,
                features,
                tokens,
                pad_id=CaptionTokenizer.pad_id,
                label_smoothing=self._params.optimisation.label_smoothing,
            )

    def _rate(self, step: int) -> float:
        options = self._params.optimisation
        num_steps = self._steps_per_epoch * options.num_epochs
        return warmup_cosine(step, num_steps=num_steps, warmup_fraction=options.warmup_fraction)


def _advance(progress: Progress, record: EpochRecord) -> Progress:
    history = (*progress.history, record)
    done = replace(progress, num_epochs_done=record.epoch, history=history)
    if record.dev_cider is None:
        return done
    if record.dev_cider > progress.best_cider:
        return replace(done, best_epoch=record.epoch, best_cider=record.dev_cider, num_without_gain=0)
    return replace(done, num_without_gain=progress.num_without_gain + 1)
