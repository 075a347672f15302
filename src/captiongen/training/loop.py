"""The training loop of one phase: epochs of steps, chosen between by what the model does on the dev split.

Shapes: B images, K captions, T tokens, (C, G, G) feature map.
"""

import math
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, get_swa_multi_avg_fn
from tqdm import tqdm

from captiongen.data.batches import Batch, TrainingSet, epoch_batches
from captiongen.model.captioner import Captioner
from captiongen.params import (
    AugmentationParams,
    DistilledPhase,
    FinetunedPhase,
    Phase,
    SelectionParams,
    SelfCriticalPhase,
)
from captiongen.ports import Tracker
from captiongen.training.divergence import (
    describe_divergence,
    finite_loss,
    has_diverged,
    require_finite_gradient,
)
from captiongen.training.epoch_progress import EpochProgress, tell_epoch
from captiongen.training.objective import (
    Objective,
    build_optimiser,
    clip_gradients,
    set_learning_rate,
    warmup_cosine,
)
from captiongen.training.precision import autocast, keep_depthwise_in_fp32, require_native_bf16
from captiongen.training.processes import (
    first_before_others,
    is_first,
    mean_over_processes,
    num_processes,
    rank,
    share_batch_statistics,
    share_gradients,
    without_sharing,
)
from captiongen.training.snapshot import EpochRecord, Progress, TrainingState, load_newest_snapshot, save_snapshot

Model = TypeVar("Model", bound=nn.Module)
#: Scores a model on the dev split, by the phase's measure: (model, epoch) -> more is better.
Selector = Callable[[Model, int], float]


@dataclass(frozen=True, slots=True)
class Start:
    """What the phases before reached, which this one may not lose; the model holds their best weights.

    `best_score` is of the measure that this phase is judged by, minus infinity where nothing is to be compared with.
    """

    num_epochs: int = 0
    num_steps: int = 0
    best_epoch: int = 0
    best_score: float = -math.inf


@dataclass(frozen=True, slots=True)
class Fitted:
    """The outcome of a phase: the model holds the best weights so far."""

    model: nn.Module
    progress: Progress
    reached: Start


class Trainer(Generic[Model]):
    """Trains one model on one training set, alone or as one of several processes.

    Args:
        model: changed in place.
        data: pictures, or features when the encoder is frozen.
        phase: how the weights move.
        objective: what is minimised.
        select: scores the model on the dev split.
        selection: how often, and when to give up.
        seed: decides order, augmentation and dropout.
        start: what the phases before reached.
        snapshots: where to leave what a killed run goes on from.
        tracker: receives losses and speeds.
        device: where to compute.

    Raises:
        TrainingError: the loss or its gradient is no longer a number, or the phase wants bfloat16 where it is emulated.
    """

    def __init__(
        self,
        model: Model,
        data: TrainingSet,
        phase: Phase,
        *,
        objective: Objective[Model],
        select: Selector[Model],
        selection: SelectionParams,
        seed: int,
        start: Start,
        snapshots: Path,
        tracker: Tracker,
        device: torch.device,
    ) -> None:
        self._data, self._phase, self._selection, self._seed = data, phase, selection, seed
        self._select, self._start = select, start
        self._snapshots, self._tracker, self._device = snapshots, tracker, device
        self._model = model.to(device).requires_grad_(True)
        if isinstance(model, Captioner) and data.is_features:
            model.encoder.requires_grad_(False)
        if not data.is_features and (warning := share_batch_statistics(model, device)) and is_first():
            tqdm.write(warning, sys.stderr)
        if phase.optimiser == "muon":
            require_native_bf16("optimiser: muon", device, instead="adamw")
        if device.type == "cpu":
            keep_depthwise_in_fp32(model)
        # A timm encoder that was cut before its classifier may keep a norm that belongs to it.
        self._loss = share_gradients(_Loss(model, objective), has_unused_parameters=not data.is_features)
        self._average = _average(model, phase)
        self._state = TrainingState(model, self._average, build_optimiser(model, phase))
        self._num_images = data.epoch_size
        self._num_batches = math.ceil(self._num_images / phase.batch_size)
        self._steps_per_epoch = math.ceil(self._num_batches / phase.accumulation_steps)
        self._step_images: list[list[str]] = []  # of the step so far, batch by batch
        self._worst_batch: list[str] = []  # of the newest epoch

    def fit(self) -> Fitted:
        """Trains until the last epoch, or until the phase `has_diverged` or finds no gain for `selection.patience`."""
        start = self._start
        with first_before_others():  # who comes first removes damaged ones
            resumed = load_newest_snapshot(self._snapshots, self._state)
        progress, best = resumed or (Progress(0, start.best_epoch, start.best_score, 0, ()), _copy(self._model))
        if resumed and is_first():
            done = f"{progress.num_epochs_done} of {self._phase.num_epochs}"
            tqdm.write(f"phase {self._phase.kind}: going on after epoch {done}, kept in {self._snapshots}", sys.stderr)
        while self._goes_on(progress):
            started, num_done = time.monotonic(), progress.num_epochs_done + 1
            record = self._run_epoch(num_done)
            score = self._look(num_done)
            if score is not None and score > progress.best_score:
                best = _copy(self._judged())
            judged = (
                replace(record, dev_cider=score)
                if self._phase.measure == "dev_cider"
                else replace(record, dev_r2=score)
            )
            progress = _advance(progress, judged, score)
            if is_first():
                save_snapshot(self._snapshots, self._state, progress, best)
                tell_epoch(judged, num_done, self._phase.num_epochs, time.monotonic() - started)
            self._tell_divergence(progress)
        self._model.load_state_dict(best)
        num_epochs = progress.num_epochs_done
        num_steps = start.num_steps + num_epochs * self._steps_per_epoch
        reached = Start(start.num_epochs + num_epochs, num_steps, progress.best_epoch, progress.best_score)
        return Fitted(self._model, progress, reached)

    def _goes_on(self, progress: Progress) -> bool:
        return (
            progress.num_epochs_done < self._phase.num_epochs
            and progress.num_without_gain < self._selection.patience
            and not has_diverged(self._phase, progress.history)
        )

    def _tell_divergence(self, progress: Progress) -> None:
        if has_diverged(self._phase, progress.history):
            told = describe_divergence(progress.history, self._worst_batch)
            if is_first():
                tqdm.write(told, sys.stderr)

    def _judged(self) -> Model:
        """The weights that are judged and kept: their average where the phase has one."""
        if self._average is None:
            return self._model
        averaged: Model = self._average.module  # type: ignore[assignment]
        return averaged

    def _look(self, num_done: int) -> float | None:
        """The dev score of this epoch, in epochs that are looked at."""
        if num_done % self._selection.every_num_epochs and num_done != self._phase.num_epochs:
            return None
        # The mean, should they differ in the last bit: all processes must decide alike.
        score = mean_over_processes(self._select(self._judged().eval(), self._start.num_epochs + num_done))
        step = self._start.num_steps + num_done * self._steps_per_epoch
        self._tracker.log_metrics({self._phase.measure: score}, step=step)
        return score

    def _run_epoch(self, number: int) -> EpochRecord:
        """Runs epoch `number` of this phase, 1 for the first."""
        phase, epoch = self._phase, self._start.num_epochs + number
        # Dropout draws from here: an epoch repeats itself whatever ran before it. No two processes drop the same.
        torch.manual_seed(self._seed * 1_000_003 + epoch + rank() * 2**40)
        self._model.train()
        batches = epoch_batches(
            self._data,
            batch_size=phase.batch_size,
            augmentation=phase.augmentation
            if isinstance(phase, DistilledPhase | FinetunedPhase)
            else AugmentationParams(),
            seed=self._seed,
            epoch=epoch,
            view_size_px=phase.view_size_px if isinstance(phase, DistilledPhase) else None,
            rank=rank(),
            num_processes=num_processes(),
        )
        name = f"{phase.kind} {number}/{phase.num_epochs}"
        epoch_so_far = EpochProgress(batches, num_batches=self._num_batches, name=name, tracker=self._tracker)
        worst_loss = -math.inf
        for index, batch in enumerate(epoch_so_far):
            step = (number - 1) * self._steps_per_epoch + index // phase.accumulation_steps
            is_step_end = (index + 1) % phase.accumulation_steps == 0 or index + 1 == self._num_batches
            images = [self._data.image_ids[position] for position in batch.positions]
            loss = self._run_batch(batch, images, step, is_step_end, self._group_size(index))
            if loss > worst_loss:
                worst_loss, self._worst_batch = loss, images
            num_images = min(phase.batch_size, self._num_images - index * phase.batch_size)
            is_of_captions = not isinstance(phase, SelfCriticalPhase)  # which learns from captions it draws
            num_tokens = num_processes() * mean_over_processes(batch.num_tokens) if is_of_captions else 0.0
            epoch_so_far.add(loss, num_images=num_images, num_tokens=num_tokens, step=self._start.num_steps + step)
        rate = phase.learning_rate * self._rate(number * self._steps_per_epoch - 1)
        if self._average is not None and phase.averages_epochs:
            self._average.update_parameters(self._model)
        self._tracker.flush()
        return EpochRecord(epoch, phase.kind, epoch_so_far.loss, rate)

    def _run_batch(self, batch: Batch, images: list[str], step: int, is_step_end: bool, group_size: int) -> float:
        """Moves the weights, where the step ends here; returns the loss of the whole batch."""
        phase, place = self._phase, f"at step {step} of phase {self._phase.kind}"
        self._step_images.append(images)
        with nullcontext() if is_step_end else without_sharing(self._loss):
            with autocast(phase.precision, self._device):
                loss: Tensor = self._loss(batch.to(self._device), step=self._start.num_steps + step)
            value = finite_loss(loss.item(), images, place=place)
            (loss / group_size).backward()  # type: ignore[no-untyped-call]
        if is_step_end:
            norm = clip_gradients(self._model, phase.max_gradient_norm)
            require_finite_gradient(norm, self._step_images, place=place)
            self._step_images = []
            set_learning_rate(self._state.optimiser, phase.learning_rate * self._rate(step))
            self._state.optimiser.step()
            self._state.optimiser.zero_grad(set_to_none=True)
            if self._average is not None and phase.ema_decay:
                self._average.update_parameters(self._model)
        return value

    def _group_size(self, index: int) -> int:
        """How many batches make the step that batch `index` belongs to; the epoch's last step may have fewer."""
        wanted = self._phase.accumulation_steps
        return min(wanted, self._num_batches - index // wanted * wanted)

    def _rate(self, step: int) -> float:
        num_steps = self._steps_per_epoch * self._phase.num_epochs
        return warmup_cosine(step, num_steps=num_steps, warmup_fraction=self._phase.warmup_fraction)


class _Loss(nn.Module):
    """Model and objective as one module, the form in which torch can share gradients between processes."""

    def __init__(self, model: Model, objective: Objective[Model]) -> None:
        super().__init__()
        self.model, self._objective = model, objective

    def forward(self, batch: Batch, *, step: int) -> Tensor:
        return self._objective(self.model, batch, step=step)


def _average(model: nn.Module, phase: Phase) -> AveragedModel | None:
    """What the phase makes of its weights: a running average over steps, a mean over epochs, or nothing.

    Source of the mean: Izmailov et al. 2018 (arXiv 1803.05407).
    """
    if phase.ema_decay:
        return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(phase.ema_decay))  # type: ignore[no-untyped-call]
    if phase.averages_epochs:
        return AveragedModel(model, multi_avg_fn=get_swa_multi_avg_fn())  # type: ignore[no-untyped-call]
    return None


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def _advance(progress: Progress, record: EpochRecord, score: float | None) -> Progress:
    history = (*progress.history, record)
    done = replace(progress, num_epochs_done=progress.num_epochs_done + 1, history=history)
    if score is None:
        return done
    if score > progress.best_score:
        return replace(done, best_epoch=record.epoch, best_score=score, num_without_gain=0)
    return replace(done, num_without_gain=progress.num_without_gain + 1)
