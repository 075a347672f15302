"""Batches of images with all of their captions, in an order that only the seed and the epoch decide.

Shapes: B images, K captions of an image (short lists are padded with empty rows), T tokens, S side in px.
"""

import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from captiongen.params import AugmentationParams
from captiongen.text.mirror import mirror_caption
from captiongen.text.normalise import normalise_caption
from captiongen.text.tokenizer import CaptionTokenizer


@dataclass(frozen=True, slots=True)
class FeatureMaps:
    """What a frozen encoder makes of pictures, by position.

    Attributes:
        plain: (images, C, G, G).
        mirrored: the same of the mirrored pictures, None where they are not learned from.
    """

    plain: npt.NDArray[Any]
    mirrored: npt.NDArray[Any] | None = None

    def pick(self, positions: Sequence[int], is_mirrored: Sequence[bool]) -> Tensor:
        """(B, C, G, G) features of these images, of the mirrored picture where `is_mirrored` says so."""
        picked = np.ascontiguousarray(self.plain[positions])
        if self.mirrored is not None:
            chosen = np.asarray(is_mirrored)
            picked[chosen] = self.mirrored[np.asarray(positions)[chosen]]
        return torch.from_numpy(picked)


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Images (or their features) and captions, by position.

    Attributes:
        image_ids: one per entry.
        entries: (images, S, S, 3) uint8 pictures, or (images, C, G, G) features of a frozen encoder.
        tokens: for each image its captions as ids, begin and end tokens included.
        mirrored_tokens: the same for the mirrored picture.
        is_features: what `entries` are.
        mirrored_entries: features of the mirrored pictures, None to learn from the pictures as they are only.
        weights: how often each image comes in an epoch, on average; None: each comes once.
    """

    image_ids: Sequence[str]
    entries: npt.NDArray[Any]
    tokens: Sequence[Sequence[Sequence[int]]]
    mirrored_tokens: Sequence[Sequence[Sequence[int]]]
    is_features: bool
    mirrored_entries: npt.NDArray[Any] | None = None
    weights: Sequence[float] | None = None

    @property
    def epoch_size(self) -> int:
        """How many images an epoch shows, those that come again counted again; the same in every epoch."""
        return len(self.image_ids) if self.weights is None else math.ceil(math.fsum(self.weights))


@dataclass(frozen=True, slots=True)
class Batch:
    """One forward pass.

    Attributes:
        positions: which entries these are.
        inputs: (B, 3, S, S) uint8 pictures, or (B, C, G, G) features.
        tokens: (B, K, T) int64, padded; the model reads [..., :-1] and predicts [..., 1:].
        is_features: what `inputs` are.
        is_mirrored: which of the images are mirrored.
    """

    positions: Sequence[int]
    inputs: Tensor
    tokens: Tensor
    is_features: bool
    is_mirrored: Sequence[bool]

    @property
    def num_tokens(self) -> int:
        """Tokens of its captions that are predicted: all but the begin tokens."""
        return int((self.tokens[..., 1:] != CaptionTokenizer.pad_id).sum())

    def to(self, device: torch.device) -> "Batch":
        """Returns the batch with its tensors on a device."""
        return replace(self, inputs=self.inputs.to(device), tokens=self.tokens.to(device))


def encode_captions(
    captions: Sequence[Sequence[str]], tokenizer: CaptionTokenizer, *, max_tokens: int, is_mirrored: bool = False
) -> list[list["array[int]"]]:
    """Encodes each image's captions, shortest first; longer ones than `max_tokens` are cut, without an end token."""

    def encode(caption: str) -> "array[int]":
        text = normalise_caption(caption)
        ids = tokenizer.encode(mirror_caption(text) if is_mirrored else text)
        return array("i", ids[: max_tokens + 1])  # all captions are held: a quarter of the memory of a list

    return [sorted((encode(caption) for caption in of_one), key=len) for of_one in captions]


def describe_cut(captions: Iterable[Sequence[str]], tokenizer: CaptionTokenizer, *, max_tokens: int) -> str | None:
    """Says how many captions `encode_captions` cuts, of all; None when it cuts none."""
    lengths = [len(tokenizer.encode(normalise_caption(caption))) - 1 for of_one in captions for caption in of_one]
    num_cut = sum(length > max_tokens for length in lengths)
    if not num_cut:
        return None
    return (
        f"{num_cut:,} of {len(lengths):,} training captions are longer than train.decode.max_tokens={max_tokens} (the "
        f"longest has {max(lengths)} with its end) and are cut: their ends are not learned."
    )


def epoch_batches(
    data: TrainingSet,
    *,
    batch_size: int,
    augmentation: AugmentationParams,
    seed: int,
    epoch: int,
    view_size_px: int | None = None,
    rank: int = 0,
    num_processes: int = 1,
) -> Iterator[Batch]:
    """Yields every image as often as its weight says, shuffled; the same seed and epoch give the same batches.

    Where several processes train, `batch_size` is that of all together, and each is given its share of every batch; one
    with fewer images than processes goes to each of them whole. Pictures keep their size, or get `view_size_px`.
    """
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    order = torch.randperm(data.epoch_size, generator=generator).tolist()
    # Each draws from a generator of its own: what becomes of it does not depend on who else is in its share.
    seeds = torch.randint(2**62, (len(order),), generator=generator)
    shown = _shown(data, generator)
    augment = Augmentation(augmentation, view_size_px=view_size_px)
    for start in range(0, len(order), batch_size):
        # Sorted positions read the memory map front to back; the order inside a batch does not matter.
        places = sorted(order[start : start + batch_size])
        if len(places) >= num_processes:
            places = places[rank::num_processes]
        positions = [shown[place] for place in places]
        generators = [torch.Generator().manual_seed(own) for own in seeds[places].tolist()]
        if data.is_features:
            maps = FeatureMaps(data.entries, data.mirrored_entries)
            is_mirrored = [maps.mirrored is not None and _uniform(own, 0.0, 1.0) < 0.5 for own in generators]
            inputs = maps.pick(positions, is_mirrored)
        else:
            entries = torch.from_numpy(np.ascontiguousarray(data.entries[positions]))
            inputs, is_mirrored = augment(entries.permute(0, 3, 1, 2), generators)
        rows = [
            (data.mirrored_tokens if mirrored else data.tokens)[i]
            for i, mirrored in zip(positions, is_mirrored, strict=True)
        ]
        yield Batch(positions, inputs, pad(rows, CaptionTokenizer.pad_id), data.is_features, is_mirrored)


def _shown(data: TrainingSet, generator: torch.Generator) -> Sequence[int]:
    """Positions of the images of an epoch, in rising order, each as often as it is shown.

    An image of weight w is shown floor(w) times, and with the chance of the rest once more. One number is drawn for all
    (systematic sampling), so that epochs differ by one image at most; that one is drawn by its weight where it is
    missing, and every epoch has `epoch_size` images.
    """
    if data.weights is None:
        return range(len(data.image_ids))
    weights = torch.tensor(data.weights, dtype=torch.float64)
    shuffled = torch.randperm(len(weights), generator=generator)  # else neighbours of one weight would take turns
    ends = (weights[shuffled].cumsum(0) + torch.rand((), generator=generator)).floor().long()
    positions = shuffled.repeat_interleave(ends.diff(prepend=ends.new_zeros(1)))
    if len(positions) < data.epoch_size:
        positions = torch.cat([positions, torch.multinomial(weights, 1, generator=generator)])
    return positions.sort().values.tolist()


def pad(rows: Sequence[Sequence[Sequence[int]]], pad_id: int) -> Tensor:
    """Stacks the captions of each image into (B, K, T)."""
    num_captions = max(len(of_one) for of_one in rows)
    num_tokens = max((len(caption) for of_one in rows for caption in of_one), default=1)
    padded = torch.full((len(rows), num_captions, num_tokens), pad_id, dtype=torch.long)
    for image, of_one in enumerate(rows):
        for row, caption in enumerate(of_one):
            padded[image, row, : len(caption)] = torch.tensor(caption)
    return padded


class Augmentation:
    """Random crops, colours and mirror images; each picture draws from its own generator, so it can be repeated."""

    def __init__(self, params: AugmentationParams, *, view_size_px: int | None = None) -> None:
        self._params, self._view_size_px = params, view_size_px

    def __call__(self, pictures: Tensor, generators: Sequence[torch.Generator]) -> tuple[Tensor, list[bool]]:
        """(B, 3, S, S) uint8 and B generators -> views of the size asked for, and which of them were mirrored."""
        changed, is_mirrored = [], []
        for picture, generator in zip(pictures, generators, strict=True):
            mirrored = self._params.mirror and _uniform(generator, 0.0, 1.0) < 0.5
            cropped = self._crop(picture.flip(-1) if mirrored else picture, generator)
            changed.append(self._colour(cropped, generator))
            is_mirrored.append(mirrored)
        return torch.stack(changed), is_mirrored

    def _crop(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        side = picture.shape[-1]
        size = self._view_size_px or side
        if self._params.min_crop_area >= 1.0 and size == side:
            return picture
        from torchvision.transforms.v2 import functional as transforms

        if self._params.min_crop_area >= 1.0:
            whole: Tensor = transforms.resize(picture, [size, size], antialias=True)
            return whole
        area = _uniform(generator, self._params.min_crop_area, 1.0)
        aspect = _uniform(generator, 0.8, 1.25)
        height, width = (min(side, max(1, round(side * (area * ratio) ** 0.5))) for ratio in (aspect, 1.0 / aspect))
        top, left = (int(_uniform(generator, 0.0, side - extent + 1)) for extent in (height, width))
        cropped: Tensor = transforms.resized_crop(picture, top, left, height, width, [size, size], antialias=True)
        return cropped

    def _colour(self, picture: Tensor, generator: torch.Generator) -> Tensor:
        strength = self._params.colour
        if not strength:
            return picture
        from torchvision.transforms.v2 import functional as transforms

        for adjust in (transforms.adjust_brightness, transforms.adjust_contrast, transforms.adjust_saturation):
            picture = adjust(picture, _uniform(generator, 1.0 - strength, 1.0 + strength))
        return picture


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))
