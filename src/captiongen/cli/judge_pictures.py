"""The pictures that `captiongen judge` looks at: each read once, scored in batches and forgotten."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from captiongen.cli.score_commands import read_picture
from captiongen.errors import DataError

if TYPE_CHECKING:
    from captiongen.data.sources import Source
    from captiongen.model.checkpoint import LoadedCaptioner
    from captiongen.types import ImageArray

_BATCH_SIZE = 32


def look(
    source: "Source", captions: Mapping[str, Sequence[str]], loaded: "LoadedCaptioner"
) -> dict[tuple[str, str], float]:
    """Scores captions by their pictures.

    Args:
        source: pictures, and what people say of them.
        captions: image id -> captions to score.
        loaded: the captioner that looks.

    Returns:
        (image id, caption) -> 0..1.

    Raises:
        DataError: pictures cannot be read; all of them are named on standard error.
    """
    from tqdm import tqdm

    from captiongen.analysis.grounding import NUM_BACKGROUND, Grounding
    from captiongen.data.images import prepare

    items = {item.image_id: item for item in source.items()}
    problems: list[str] = []

    def read(image_ids: Sequence[str]) -> "dict[str, ImageArray]":
        found = {image_id: read_picture(source, items[image_id], problems) for image_id in image_ids}
        return {
            image_id: prepare(one[0], loaded.manifest.preprocessing) for image_id, one in found.items() if one
        }

    grounding = Grounding(loaded, read(_background(items, NUM_BACKGROUND)))
    scores: dict[tuple[str, str], float] = {}
    judged = list(captions)
    with tqdm(total=len(judged), desc="pictures", unit="image", disable=None) as bar:
        for start in range(0, len(judged), _BATCH_SIZE):
            batch = judged[start : start + _BATCH_SIZE]
            pictures = read(batch)
            if not problems:  # the others are still read, to name all that cannot be
                scores |= grounding.score(pictures, captions)
            bar.update(len(batch))
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
            f"Expected pictures that can be read, found {len(distinct)} that cannot, as named above. Mend them, or judge "
            "by the references alone with --no-image."
        )
