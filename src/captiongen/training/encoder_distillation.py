"""An encoder learns from a trained encoder: its feature map and its classes, both looking at the same view.

Long training under strong augmentation, the teacher looking at every view anew, lets a small student match a large
teacher: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent" (arXiv 2106.05237). The
maps of earlier stages show the way where there is less patience: hints of Romero et al. 2015 (arXiv 1412.6550).

Shapes: B images, S side in px, C channels and G side of a feature map, V classes.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from captiongen.data.batches import Batch
from captiongen.errors import TrainingError
from captiongen.model.encoder import ImageEncoder
from captiongen.params import DistilledPhase
from captiongen.training.objective import divergence
from captiongen.training.processes import hides_bars, mean_over_processes

_BATCH_SIZE = 32
_NUM_STANDARDISING = 512
#: Of the mean deviation. A channel that hardly ever fires would else become the loudest of all.
_LEAST_DEVIATION = 0.1
#: Stands for the last map where maps are named by their stride.
_LAST = 0


class StandardisedMap:
    """A map whose channels have mean 0 and deviation 1 over some pictures.

    Args:
        moments: (2, images, C): the mean of each channel over an image's positions, and that of its square.
    """

    def __init__(self, moments: Tensor) -> None:
        mean, square = moments.double().mean(dim=1)  # each (C,)
        deviation = (square - mean.square()).clamp_min(0.0).sqrt()
        deviation = deviation.clamp_min(_LEAST_DEVIATION * float(deviation.mean()))
        self._mean, self._deviation = (each.float().view(1, -1, 1, 1) for each in (mean, deviation))

    @property
    def num_channels(self) -> int:
        """C of the map."""
        return int(self._mean.shape[1])

    def __call__(self, features: Tensor, grid_size: int) -> Tensor:
        """(B, C, G', G') -> (B, C, G, G) float, on the student's grid."""
        standardised = (features.float() - self._mean) / self._deviation
        return F.interpolate(standardised, size=(grid_size, grid_size), mode="bilinear", antialias=True)


class Teacher:
    """A trained encoder with its maps standardised: the last, and those of the stages before by their stride in px.

    Args:
        encoder: put into evaluation mode and closed to gradients.
        pictures: (images, S, S, 3) uint8; a few hundred of them, evenly spread, are looked at.
        with_hints: also teaches the maps of earlier stages.

    Raises:
        EncoderError: the encoder makes no map, as a vision transformer does.
    """

    def __init__(self, encoder: ImageEncoder, pictures: npt.NDArray[Any], *, with_hints: bool = False) -> None:
        self.encoder = encoder.eval().requires_grad_(False)
        encoder.measure(pictures.shape[1])
        moments: dict[int, list[Tensor]] = {}
        for images in _batches(pictures[:: math.ceil(len(pictures) / _NUM_STANDARDISING)]):
            last, stages = _look(encoder, images.to(encoder.mean.device), with_stages=with_hints)
            for stride, features in {_LAST: last, **stages}.items():
                of_channels = features.double().flatten(2)  # (B, C, G * G)
                moments.setdefault(stride, []).append(
                    torch.stack([of_channels.mean(dim=2), of_channels.square().mean(dim=2)])
                )
        standards = {stride: StandardisedMap(torch.cat(batches, dim=1)) for stride, batches in moments.items()}
        self.standardise, self.hints = standards.pop(_LAST), standards


class EncoderStudent(nn.Module):
    """An encoder, and what it is compared with its teacher through, which no captioner needs.

    Args:
        encoder: of a captioner, which learns in place.
        teacher: whose maps and classes are learned.
        image_size_px: S.
        with_hints: also learns the maps of the stages that both have.

    Raises:
        TrainingError: there are no such stages.
    """

    def __init__(
        self, encoder: ImageEncoder, teacher: Teacher, *, image_size_px: int, with_hints: bool = False
    ) -> None:
        super().__init__()
        num_channels, _ = encoder.measure(image_size_px)
        self.encoder = encoder
        self.projector = nn.Conv2d(num_channels, teacher.standardise.num_channels, kernel_size=1)
        num_classes = teacher.encoder.num_classes
        self.classifier = nn.Linear(num_channels, num_classes) if num_classes else None
        of_stages = encoder.stage_channels() if with_hints else {}
        self.hint_projectors = nn.ModuleDict(
            {
                str(stride): nn.Conv2d(of_stages[stride], hint.num_channels, kernel_size=1)
                for stride, hint in teacher.hints.items()
                if stride in of_stages
            }
        )
        if with_hints and not self.hint_projectors:
            raise TrainingError(
                "hint_weight asks for maps of earlier stages that teacher and student have at the same stride: the "
                f"teacher has them at {sorted(teacher.hints)} px, the student at {sorted(of_stages)} px. Set "
                "hint_weight: 0, or choose another teacher."
            )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None, dict[int, Tensor]]:
        """Guesses what the teacher sees in (B, 3, S, S) images.

        Returns:
            its standardised map (B, C, G, G), class logits (B, V), and the maps of earlier stages by their stride.
        """
        features, stages = _look(self.encoder, images, with_stages=bool(self.hint_projectors))
        logits = None if self.classifier is None else self.classifier(features.mean(dim=(2, 3)))
        hints = {int(stride): project(stages[int(stride)]) for stride, project in self.hint_projectors.items()}
        return self.projector(features), logits, hints


class EncoderDistillation:
    """Mean squared error of the standardised maps, and the `divergence` of the classes where the teacher has any.

    Args:
        teacher: looks at the very pictures that the student looks at.
        phase: weights of hints and classes, their temperature, and whether pictures are blended.
    """

    def __init__(self, teacher: Teacher, phase: DistilledPhase) -> None:
        self._teacher, self._phase = teacher, phase

    def __call__(self, student: EncoderStudent, batch: Batch, *, step: int) -> Tensor:
        """Returns the loss; a student that knows but the mean of a map has a squared error of about 1."""
        images = _blended(batch.inputs) if self._phase.mixup else batch.inputs
        predicted, logits, hints = student(images)
        encoder = self._teacher.encoder
        features, stages = _look(encoder, images, with_stages=bool(hints))
        loss = F.mse_loss(predicted.float(), self._teacher.standardise(features, predicted.shape[-1]))
        for stride, hint in hints.items():
            target = self._teacher.hints[stride](stages[stride], hint.shape[-1])
            loss = loss + self._phase.hint_weight * F.mse_loss(hint.float(), target)
        if logits is not None and self._phase.class_weight:
            of_classes = divergence(logits, encoder.classify(features), temperature=self._phase.temperature)
            loss = loss + self._phase.class_weight * of_classes.mean()
        return loss * len(images) / mean_over_processes(len(images))


class MapSelector:
    """Scores a student by the share of the variance of the teacher's map that it explains, on whole pictures.

    Args:
        teacher: whose map it is.
        pictures: (images, S, S, 3) uint8.
        view_size_px: the side that the student learns at, at which both look; None: S.
    """

    def __init__(self, teacher: Teacher, pictures: npt.NDArray[Any], *, view_size_px: int | None = None) -> None:
        self._teacher, self._pictures, self._size_px = teacher, pictures, view_size_px or pictures.shape[1]

    @torch.inference_mode()
    def __call__(self, student: EncoderStudent, epoch: int) -> float:
        """Returns R2 = 1 - squared error / variance, over all channels and positions; leaves it in evaluation mode."""
        student.eval()
        device = student.projector.weight.device
        num_values, error, total, square = 0, 0.0, torch.zeros(()), 0.0
        batches = _batches(self._pictures)
        for images in tqdm(batches, desc="dev maps", unit="batch", leave=False, disable=hides_bars()):
            views = F.interpolate(
                images.to(device).float(), (self._size_px, self._size_px), mode="bilinear", antialias=True
            )
            predicted, *_ = student(views)
            target = self._teacher.standardise(self._teacher.encoder(views), predicted.shape[-1]).double()
            error += float((predicted.double() - target).square().sum())
            total = total.to(device) + target.sum(dim=(0, 2, 3))
            square += float(target.square().sum())
            num_values += target[:, 0].numel()
        return 1.0 - error / (square - float(total.square().sum()) / num_values)


def _look(encoder: ImageEncoder, images: Tensor, *, with_stages: bool) -> tuple[Tensor, dict[int, Tensor]]:
    return encoder.forward_with_stages(images) if with_stages else (encoder(images), {})


def _batches(pictures: npt.NDArray[Any]) -> Iterator[Tensor]:
    for start in range(0, len(pictures), _BATCH_SIZE):
        yield torch.from_numpy(np.array(pictures[start : start + _BATCH_SIZE])).permute(0, 3, 1, 2)


def _blended(images: Tensor) -> Tensor:
    """Blends each picture with another of the batch in shares drawn evenly (mixup, arXiv 1710.09412)."""
    shares = torch.rand(len(images), 1, 1, 1, device=images.device)
    return shares * images + (1.0 - shares) * images.flip(0)
