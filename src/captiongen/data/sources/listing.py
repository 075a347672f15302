"""From single annotations to images with captions: the part that all sources share, and where nothing gets lost."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate

from captiongen.data.sources.stores import Store, why_unsafe
from captiongen.params import IngestParams
from captiongen.types import Rejection, SourceItem, Split

_SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train",
    "training": "train",
    "dev": "dev",
    "val": "dev",
    "valid": "dev",
    "validation": "dev",
    "test": "test",
    "testing": "test",
    "unused": "unused",
}


@dataclass(frozen=True, slots=True)
class Annotation:
    """What one line of an annotation file says of one image.

    Attributes:
        image_id: the data set's own name of the image.
        path: name in the store.
        captions: none when the line only lists the image.
        split: None where the file does not say.
    """

    image_id: str
    path: str
    captions: tuple[str, ...] = ()
    split: Split | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that a source holds, sorted by image id."""

    items: tuple[SourceItem, ...]
    rejections: tuple[Rejection, ...]


class ListedSource:
    """A source whose content is known once its annotations are read; the base of the file-based sources."""

    def __init__(self, name: str, store: Store, listing: Listing) -> None:
        self._name, self._store, self._listing = name, store, listing

    @property
    def name(self) -> str:
        """The data set's name."""
        return self._name

    def items(self) -> Iterator[SourceItem]:
        """Yields the images that go on, sorted by image id."""
        yield from self._listing.items

    def rejections(self) -> tuple[Rejection, ...]:
        """Returns what does not go on, with reasons."""
        return self._listing.rejections

    def read(self, path: str) -> bytes:
        """Returns the bytes of a picture; raises SourceError when that fails."""
        return self._store.read(path)


def gather(
    lines: Iterable[Annotation | Rejection],
    *,
    store: Store,
    split_of: Callable[[str], Split],
) -> Listing:
    """Groups annotations by image and separates what cannot go on.

    Args:
        lines: what was read of the annotation files, in their order, which the captions of an image keep; a line that
            is no annotation is a rejection already.
        store: where the pictures lie.
        split_of: the split of images whose annotations name none.
    """
    by_image: dict[str, list[Annotation]] = {}
    rejected: list[Rejection] = []
    for line in lines:
        if isinstance(line, Rejection):
            rejected.append(line)
        else:
            by_image.setdefault(line.image_id, []).append(line)
    items: list[SourceItem] = []
    for image_id, annotations in sorted(by_image.items()):
        path = annotations[0].path
        captions = tuple(caption for annotation in annotations for caption in annotation.captions)
        if reason := _why_rejected(annotations, captions, store):
            rejected.append(Rejection(image_id, path, reason, captions))
        else:
            split = next((annotation.split for annotation in annotations if annotation.split is not None), None)
            items.append(SourceItem(image_id, path, captions, split or split_of(image_id)))
    return Listing(tuple(items), tuple(rejected))


def _why_rejected(annotations: list[Annotation], captions: tuple[str, ...], store: Store) -> str | None:
    paths = sorted({annotation.path for annotation in annotations})
    splits = sorted({annotation.split for annotation in annotations if annotation.split is not None})
    if reason := next(filter(None, map(why_unsafe, paths)), None):
        return reason
    if len(paths) > 1:
        return f"one image id names several files: {', '.join(paths)}"
    if len(splits) > 1:
        return f"listed in several splits: {', '.join(splits)}"
    if paths[0] not in store:
        return "the image file is missing"
    if not captions:
        return "the image has no caption"
    return None


def parse_split(name: str) -> Split | None:
    """Reads a split's name in any usual spelling (`val`, `Validation`, `training`); None when it is none."""
    return _SPLIT_NAMES.get(name.strip().lower())


def seeded_split(image_id: str, *, seed: int, fractions: Mapping[Split, float]) -> Split:
    """Draws the split of an image from a hash of seed and image id.

    The draw depends on nothing else: not on the order of rows, and not on other images, so a data set that grows never
    moves an image from test to train. Fractions hold on average.
    """
    digest = hashlib.sha256(f"{seed}:{image_id}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    names = list(fractions)
    limits = accumulate(fractions.values())
    return next((name for name, limit in zip(names, limits, strict=True) if position < limit), names[0])


def seeded(params: IngestParams) -> Callable[[str], Split]:
    """Returns `seeded_split` with the seed and fractions of `params`."""
    wanted = params.split_fractions
    # In this order whatever the order in params.yaml, which must not decide where an image goes.
    fractions: dict[Split, float] = {"train": wanted.get("train", 0), "dev": wanted.get("dev", 0)}
    fractions["test"] = wanted.get("test", 0)
    return partial(seeded_split, seed=params.split_seed, fractions=fractions)
