"""The files of the sample data set: rendered from a seed, byte for byte the same, and read back with their truth.

`data/raw/scenes` holds ::

    images.zip       the pictures, JPEG, stored
    captions.jsonl   {"image_id", "split", "captions"} a line
    truth.jsonl      one `SceneTruth` a line
    scenes.json      `ScenesIndex`: seed, counts, version of the generator
"""

import io
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from PIL import Image
from pydantic import TypeAdapter, ValidationError
from tqdm import tqdm

from captiongen.data.archives import stored_archive
from captiongen.data.scenes.compose import compose_scene
from captiongen.data.scenes.language import describe_scene
from captiongen.data.scenes.render import SIZE_PX, draw_scene
from captiongen.data.scenes.scene import Scene
from captiongen.data.scenes.world import HELD_OUT
from captiongen.errors import SourceError, UsageError
from captiongen.files import atomic_folder
from captiongen.types import Split

#: Goes up whenever the same seed gives other bytes.
GENERATOR_VERSION = 2
DEFAULT_NUM_IMAGES = 1600
DEFAULT_SEED = 0
MIN_NUM_IMAGES = 16  # smaller ones leave a split empty

IMAGES_ARCHIVE = "images.zip"
_TEST_FRACTION, _DEV_FRACTION = 250 / 1600, 150 / 1600
_NOVEL_FRACTION = 0.4  # of the test images show a held-out combination
_JPEG_QUALITY = 93


@dataclass(frozen=True, slots=True)
class ObjectTruth:
    """One thing in a picture.

    Attributes:
        kind, colour, size, action: names as `world` has them; the colour is that of a person's clothes.
        box: (left, top, right, bottom) px, right and bottom exclusive, parts behind other things included.
    """

    kind: str
    colour: str
    size: str
    action: str
    box: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class RelationTruth:
    """`subject` and `other` are positions in `SceneTruth.objects`; the relation reads "subject NAME other"."""

    subject: int
    name: str
    other: int


@dataclass(frozen=True, slots=True)
class SceneTruth:
    """What a picture really shows.

    Attributes:
        image_id: the picture.
        split: train, dev or test.
        ground: what everything stands on.
        sky: the light: clear, cloudy, sunset, night or indoors.
        backdrop: hills, mountains or none.
        objects: all things.
        counts: kind -> how many.
        relations: how the objects stand to each other.
        held_out: combinations in it that train and dev never show, in words ("blue car", "cat on sand").
    """

    image_id: str
    split: Split
    ground: str
    sky: str
    backdrop: str
    objects: tuple[ObjectTruth, ...]
    counts: dict[str, int]
    relations: tuple[RelationTruth, ...]
    held_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CaptionsRow:
    """One line of captions.jsonl."""

    image_id: str
    split: Split
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScenesIndex:
    """scenes.json: what made this folder."""

    generator_version: int
    seed: int
    num_images: int
    image_size_px: int
    split_counts: dict[str, int]


_Row = TypeVar("_Row")
_TRUTH = TypeAdapter(SceneTruth)
_CAPTIONS = TypeAdapter(CaptionsRow)
_INDEX = TypeAdapter(ScenesIndex)


def render_scenes(folder: Path, *, num_images: int = DEFAULT_NUM_IMAGES, seed: int = DEFAULT_SEED) -> ScenesIndex:
    """Renders the data set into `folder`, which is replaced as a whole.

    Args:
        folder: where the four files go.
        num_images: how many pictures; 75 % train, 9.4 % dev, 15.6 % test.
        seed: the same seed gives the same bytes.

    Raises:
        UsageError: `num_images` is too small for three splits, or the seed is negative.
    """
    index = plan_scenes(num_images=num_images, seed=seed)
    plan = _plan(index)
    captions, truths = [], []
    with atomic_folder(folder) as temporary:
        with stored_archive(temporary / IMAGES_ARCHIVE) as add:
            for number, (split, novelty) in enumerate(tqdm(plan, desc="rendering scenes", unit="image", disable=None)):
                # One stream an image: no image changes because another one is drawn differently.
                rng = random.Random(f"captiongen scenes {seed} {number}")  # noqa: S311 - drawings, not secrets
                scene = compose_scene(rng, novelty=novelty)
                picture, boxes = draw_scene(rng, scene)
                image_id = f"scene-{number:05d}"
                add(image_path(image_id), _encode(picture))
                captions.append(CaptionsRow(image_id, split, describe_scene(rng, scene)))
                truths.append(_truth(image_id, split, scene, boxes))
        _write_lines(temporary / "captions.jsonl", [_CAPTIONS.dump_json(row) for row in captions])
        _write_lines(temporary / "truth.jsonl", [_TRUTH.dump_json(truth) for truth in truths])
        (temporary / "scenes.json").write_bytes(_INDEX.dump_json(index, indent=2) + b"\n")
    return index


def plan_scenes(*, num_images: int = DEFAULT_NUM_IMAGES, seed: int = DEFAULT_SEED) -> ScenesIndex:
    """Returns what `render_scenes` with the same arguments writes to scenes.json.

    Raises:
        UsageError: as `render_scenes`.
    """
    if num_images < MIN_NUM_IMAGES or seed < 0:
        raise UsageError(
            f"scenes need at least {MIN_NUM_IMAGES} images and a seed from 0, found {num_images} and {seed}."
        )
    num_test, num_dev = max(round(num_images * _TEST_FRACTION), 2), max(round(num_images * _DEV_FRACTION), 1)
    split_counts = {"train": num_images - num_dev - num_test, "dev": num_dev, "test": num_test}
    return ScenesIndex(GENERATOR_VERSION, seed, num_images, SIZE_PX, split_counts)


def image_path(image_id: str) -> str:
    """Returns the name of a picture in `IMAGES_ARCHIVE`."""
    return f"{image_id}.jpg"


def read_truth(folder: Path) -> dict[str, SceneTruth]:
    """Reads what each picture really shows, by image id.

    Raises:
        SourceError: truth.jsonl is missing or damaged.
    """
    truths = (_parse(_TRUTH, line, folder / "truth.jsonl") for line in _read(folder / "truth.jsonl").splitlines())
    return {truth.image_id: truth for truth in truths}


def read_captions(folder: Path) -> tuple[CaptionsRow, ...]:
    """Reads captions.jsonl.

    Raises:
        SourceError: it is missing or damaged.
    """
    path = folder / "captions.jsonl"
    return tuple(_parse(_CAPTIONS, line, path) for line in _read(path).splitlines())


def read_index(folder: Path) -> ScenesIndex:
    """Reads scenes.json.

    Raises:
        SourceError: it is missing or damaged.
    """
    return _parse(_INDEX, _read(folder / "scenes.json"), folder / "scenes.json")


def _plan(index: ScenesIndex) -> list[tuple[Split, str | None]]:
    """The split of every image and the held-out combination that it must show, in shuffled order."""
    counts = index.split_counts
    num_novel = max(round(counts["test"] * _NOVEL_FRACTION), 1)
    plan: list[tuple[Split, str | None]] = [("test", HELD_OUT[number % len(HELD_OUT)]) for number in range(num_novel)]
    plan += [("test", None) for _ in range(counts["test"] - num_novel)]
    plan += [("dev", None) for _ in range(counts["dev"])]
    plan += [("train", None) for _ in range(counts["train"])]
    random.Random(f"captiongen plan {index.seed}").shuffle(plan)  # noqa: S311 - drawings, not secrets
    return plan


def _encode(picture: Image.Image) -> bytes:
    # JPEG, not PNG: libjpeg's accurate integer transform gives the same bytes on every machine, while zlib's
    # successors choose their matches by processor.
    buffer = io.BytesIO()
    picture.save(buffer, format="JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def _truth(
    image_id: str, split: Split, scene: Scene, boxes: dict[tuple[int, int], tuple[int, int, int, int]]
) -> SceneTruth:
    positions: dict[tuple[int, int], int] = {}
    objects: list[ObjectTruth] = []
    counts: dict[str, int] = {}
    for group_index, group in enumerate(scene.groups):
        counts[group.kind] = counts.get(group.kind, 0) + group.count
        for index in range(group.count):
            positions[group_index, index] = len(objects)
            objects.append(ObjectTruth(group.kind, group.colour, group.size, group.action, boxes[group_index, index]))
    relations: tuple[RelationTruth, ...] = ()
    if scene.relation is not None:
        relations = tuple(
            RelationTruth(positions[0, index], scene.relation.name, positions[1, 0])
            for index in range(scene.subject.count)
        )
    return SceneTruth(
        image_id, split, scene.ground, scene.sky, scene.backdrop, tuple(objects), counts, relations, scene.held_out
    )


def _write_lines(path: Path, lines: list[bytes]) -> None:
    path.write_bytes(b"\n".join(lines) + b"\n")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SourceError(f"{path} cannot be read ({error.strerror}). Run `captiongen fetch scenes`.") from error


def _parse(adapter: TypeAdapter[_Row], data: bytes, path: Path) -> _Row:
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        problem = error.errors()[0]
        raise SourceError(f"{path} is damaged ({problem['msg']}). Run `captiongen fetch scenes` again.") from error
