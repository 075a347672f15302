"""What the loop reads of each image: its picture, or, under a frozen encoder, its features, computed once.

Shapes: S side in px, C channels, G side of the feature grid.
"""

import hashlib
import json
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from captiongen.data.array_cache import cached_array
from captiongen.data.shards import ProcessedData, decode_row_image
from captiongen.data.unlabelled import UnlabelledPictures
from captiongen.model.encoder import ImageEncoder
from captiongen.training.processes import first_before_others
from captiongen.types import Preprocessing, Split

_IMAGES_PER_BLOCK = 32


def load_pictures(
    data: ProcessedData, split: Split, cache: Path, *, unlabelled: UnlabelledPictures | None = None
) -> npt.NDArray[Any]:
    """Returns the split's pictures, (images, S, S, 3) uint8, in the order of `ProcessedData.rows`.

    Unlabelled ones, prepared in the same way, come after them.
    """
    if unlabelled is None:
        key = _key("pictures", data, split)
        with first_before_others():
            return cached_array(cache, key=key, blocks=_pictures(data, split), num_entries=data.counts[split])
    num_entries = data.counts[split] + len(unlabelled.names)
    key = _key("all-pictures", data, split, unlabelled.sha256, str(data.preprocessing))
    blocks = chain(_pictures(data, split), _unlabelled_pictures(unlabelled, data.preprocessing))
    with first_before_others():
        return cached_array(cache, key=key, blocks=blocks, num_entries=num_entries)


def load_features(
    data: ProcessedData,
    split: Split,
    encoder: ImageEncoder,
    cache: Path,
    *,
    device: torch.device,
    is_mirrored: bool = False,
) -> npt.NDArray[Any]:
    """Returns the split's features, (images, C, G, G) float16, in the order of `ProcessedData.rows`.

    They are computed once for these weights and these pictures, whatever else changes.
    """
    kind = "mirrored-features" if is_mirrored else "features"
    key = _key(kind, data, split, encoder.sha256(), str(encoder.mean.tolist()))
    encoder = encoder.to(device).eval()

    @torch.inference_mode()
    def encode() -> Iterator[npt.NDArray[Any]]:
        for pictures in _pictures(data, split):
            images = torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2)
            images = images.flip(-1) if is_mirrored else images
            yield encoder(images).half().cpu().numpy()

    with first_before_others():
        return cached_array(cache, key=key, blocks=encode(), num_entries=data.counts[split])


def pool(features: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Averages feature maps over positions, a block at a time: (images, C, G, G) -> (images, C)."""
    starts = range(0, len(features), _IMAGES_PER_BLOCK)
    return np.concatenate(
        [features[start : start + _IMAGES_PER_BLOCK].mean(axis=(2, 3), dtype=np.float32) for start in starts]
    )


def _pictures(data: ProcessedData, split: Split) -> Iterator[npt.NDArray[Any]]:
    rows = tqdm(data.rows(split), total=data.counts[split], desc=f"{split} images", unit="image", disable=None)
    stream = iter(rows)
    while block := [decode_row_image(row) for row in islice(stream, _IMAGES_PER_BLOCK)]:
        yield np.stack(block)


def _unlabelled_pictures(unlabelled: UnlabelledPictures, preprocessing: Preprocessing) -> Iterator[npt.NDArray[Any]]:
    pictures = unlabelled.prepared(preprocessing)
    for picture in tqdm(pictures, total=len(unlabelled.names), desc="unlabelled images", unit="image", disable=None):
        yield picture[None]


def _key(kind: str, data: ProcessedData, split: Split, *more: str) -> str:
    # The prepared pictures themselves: what is read here must be what evaluation reads, whatever made them differ.
    facts = [kind, data.picture_hashes[split], *more]
    return f"{kind}-{split}-" + hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:16]
