"""The pictures that `captiongen judge` looks at: each read once, scored in batches and forgotten."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import typer

from captiongen.cli.score_commands import read_picture
from captiongen.errors import DataError

if TYPE_CHECKING:
    from captiongen.data.sources import Source
    from captiongen.model.checkpoint import LoadedCaptioner
    from captiongen.types import ImageArray

_BATCH_SIZE = 32


@dataclass(frozen=True, slots=True)
class Eyes:
    """Who looks at pictures.

    Attributes:
        captioner: asked how likely captions are; its matcher, where its reranker has one, how near they are.
    """

    captioner: "LoadedCaptioner"

    def look(self, source: "Source", captions: Mapping[str, Sequence[str]]) -> dict[tuple[str, str], float]:
        """Scores captions by their pictures.

        Args:
            source: pictures, and what people say of them.
            captions: image id -> captions to score.

        Returns:
            (image id, caption) -> 0..1.

        Raises:
            DataError: pictures cannot be read; all of them are named on standard error.
        """
        from tqdm import tqdm

        from captiongen.analysis.judging.grounding import NUM_BACKGROUND, Grounding
        from captiongen.data.images import prepare

        items = {item.image_id: item for item in source.items()}
        problems: list[str] = []

        def read(image_ids: Iterable[str]) -> "dict[str, ImageArray]":
            found = {image_id: read_picture(source, items[image_id], problems) for image_id in image_ids}
            wanted = self.captioner.manifest.preprocessing
            return {image_id: prepare(one[0], wanted) for image_id, one in found.items() if one}

        background = read(_background(items, NUM_BACKGROUND))
        grounding = Grounding(self.captioner, background, matcher=self.captioner.captioner.matcher)
        scores: dict[tuple[str, str], float] = {}
        remaining = iter(tqdm(captions, desc="pictures", unit="image", disable=None))
        while batch := list(islice(remaining, _BATCH_SIZE)):
            pictures = {image_id: background[image_id] for image_id in batch if image_id in background}
            pictures |= read(image_id for image_id in batch if image_id not in pictures)
            if not problems:  # the others are still read, to name all that cannot be
                scores |= grounding.score(pictures, captions)
        _need_readable(problems)
        return scores


def _background(image_ids: Iterable[str], num_images: int) -> list[str]:
    """Some images, always the same ones of the same set, whatever is judged."""
    return sorted(image_ids, key=lambda image_id: hashlib.sha256(image_id.encode()).digest())[:num_images]


def _need_readable(problems: Sequence[str]) -> None:
    distinct = list(dict.fromkeys(problems))
    for problem in distinct:
        typer.echo(problem, err=True)
    if distinct:
        raise DataError(
            f"Expected pictures that can be read, found {len(distinct)} that cannot, as named above. Mend them, or "
            "judge by the references alone with --no-image."
        )
