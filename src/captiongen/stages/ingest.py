"""Ingest: every image and caption of a source into one manifest; what cannot go on into quarantine, with reasons."""

import hashlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from tqdm import tqdm

from captiongen.data.damage import seam_strength
from captiongen.data.images import ImageHeader, decode_image, read_header
from captiongen.data.look_alikes import perceptual_hash
from captiongen.data.manifest import ManifestRow, write_manifest, write_quarantine
from captiongen.data.sources import Source, open_source
from captiongen.errors import DataError, ImageDecodeError, SourceError
from captiongen.files import write_atomically
from captiongen.params import IngestParams
from captiongen.types import SPLITS, Rejection, SourceItem

# Work handed to the threads at a time: enough to keep them busy, little enough to stop early.
_BATCH_SIZE = 256
# Named in the error message; the files name all.
_NUM_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class IngestResult:
    """What went in and what came out; in = out + quarantined holds for images and for captions.

    An image that is both in the manifest and in quarantine (one of its captions was malformed) counts as out. Images
    whose file is there but does not decode stay in the manifest, marked, and count as undecodable too.
    """

    dataset: str
    num_images_in: int
    num_images: int
    num_images_quarantined: int
    num_images_undecodable: int
    num_captions_in: int
    num_captions: int
    num_captions_quarantined: int
    num_images_by_split: Mapping[str, int]

    def __str__(self) -> str:
        """Says in one line what came out and what did not."""
        splits = ", ".join(f"{split} {count:,}" for split, count in self.num_images_by_split.items())
        return (
            f"{self.dataset}: {self.num_images:,} images ({splits}) with {self.num_captions:,} captions; "
            f"{self.num_images_quarantined:,} images and {self.num_captions_quarantined:,} captions in quarantine, "
            f"{self.num_images_undecodable:,} images that do not decode"
        )

    @property
    def rejected_fraction(self) -> float:
        """The larger of the fractions of images (quarantined or undecodable) and of captions that are lost, 0..1."""
        images = (self.num_images_quarantined + self.num_images_undecodable) / max(1, self.num_images_in)
        return max(images, self.num_captions_quarantined / max(1, self.num_captions_in))


def ingest(params: IngestParams, *, source_folder: Path, out_folder: Path) -> IngestResult:
    """Lists every image and caption of a data set in one manifest.

    Args:
        params: which source, and how many rejections are too many.
        source_folder: where the data set lies.
        out_folder: receives manifest.parquet, quarantine.parquet and ingest.json, also when too much was rejected.

    Raises:
        SourceError: the data set is missing or of another format.
        DataError: it is empty, or more than `params.max_rejected_fraction` of it cannot be used.
    """
    source = open_source(params, source_folder)
    items, rejections = list(source.items()), source.rejections()
    first_of_id = {item.image_id: item for item in reversed(items)}
    repeated = (item for item in items if first_of_id[item.image_id] is not item)
    quarantine = [*rejections, *(_reject(item, "the image id occurs more than once") for item in repeated)]
    rows: list[ManifestRow] = []
    outcomes = _examine_all(source, list(first_of_id.values()))
    for outcome in tqdm(outcomes, total=len(first_of_id), desc="ingest", unit="image", disable=None):
        if isinstance(outcome, ManifestRow):
            rows.append(outcome)
        else:
            quarantine.append(outcome)

    write_manifest(out_folder / "manifest.parquet", rows)
    write_quarantine(out_folder / "quarantine.parquet", quarantine)
    result = _balance(source.name, [*items, *rejections], rows, quarantine)
    write_atomically(out_folder / "ingest.json", json.dumps(asdict(result), indent=2) + "\n")
    _stop_above_limit(result, params, rows, quarantine, out_folder / "quarantine.parquet")
    return result


def _examine_all(source: Source, items: Sequence[SourceItem]) -> Iterator[ManifestRow | Rejection]:
    """Examines items in order, on all cores: Pillow decodes without holding the interpreter lock."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(items), _BATCH_SIZE):
            yield from threads.map(partial(_examine, source), items[start : start + _BATCH_SIZE])


def _examine(source: Source, item: SourceItem) -> ManifestRow | Rejection:
    try:
        data = source.read(item.path)
    except SourceError as error:
        return _reject(item, str(error))
    if not _is_unicode(item.image_id, item.path, *item.captions):
        return _reject(item, "a caption or name is no valid Unicode")
    header, look, decode_error, seam = _header(data), "", "", 0.0
    try:
        picture = decode_image(data)
        header = replace(header, width_px=picture.width, height_px=picture.height)
        look = perceptual_hash(picture)
        seam = seam_strength(picture)
    except ImageDecodeError as error:
        decode_error = str(error)
    return ManifestRow(
        image_id=item.image_id,
        path=item.path,
        sha256=hashlib.sha256(data).hexdigest(),
        perceptual_hash=look,
        num_bytes=len(data),
        **asdict(header),
        is_decodable=not decode_error,
        decode_error=decode_error,
        captions=item.captions,
        split=item.split,
        seam_strength=seam,
    )


def _header(data: bytes) -> ImageHeader:
    """Reads what a file says of itself, whether or not its pixels can be decoded."""
    try:
        return read_header(data, max_pixels=sys.maxsize)
    except ImageDecodeError:
        return ImageHeader("", "", 0, 0)


def _reject(item: SourceItem, reason: str) -> Rejection:
    return Rejection(item.image_id, item.path, reason, item.captions)


def _is_unicode(*texts: str) -> bool:
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can smuggle in
        return False
    return True


def _balance(
    dataset: str,
    entered: Sequence[SourceItem | Rejection],
    rows: Sequence[ManifestRow],
    quarantine: Sequence[Rejection],
) -> IngestResult:
    """Counts both sides independently of how they came about; a difference is a defect of a source or of this stage."""
    images_in = {entry.image_id for entry in entered} - {""}
    images_out = {row.image_id for row in rows}
    images_quarantined = {rejection.image_id for rejection in quarantine} - images_out - {""}
    captions_in = sum(len(entry.captions) for entry in entered)
    captions_out = sum(len(row.captions) for row in rows)
    captions_quarantined = sum(len(rejection.captions) for rejection in quarantine)
    if images_in != images_out | images_quarantined or captions_in != captions_out + captions_quarantined:
        raise DataError(
            f"Expected every image and caption of {dataset} in the manifest or in quarantine, found {len(images_in)} "
            f"images and {captions_in} captions going in, {len(images_out)} + {len(images_quarantined)} images and "
            f"{captions_out} + {captions_quarantined} captions coming out. Please report this."
        )
    splits = Counter(row.split for row in rows)
    return IngestResult(
        dataset=dataset,
        num_images_in=len(images_in),
        num_images=len(images_out),
        num_images_quarantined=len(images_quarantined),
        num_images_undecodable=sum(not row.is_decodable for row in rows),
        num_captions_in=captions_in,
        num_captions=captions_out,
        num_captions_quarantined=captions_quarantined,
        num_images_by_split={split: splits[split] for split in SPLITS},
    )


def _stop_above_limit(
    result: IngestResult,
    params: IngestParams,
    rows: Sequence[ManifestRow],
    quarantine: Sequence[Rejection],
    quarantine_path: Path,
) -> None:
    if not rows and not quarantine:
        raise DataError(f"Expected captioned images in the data set {result.dataset}, found none. Check ingest.path.")
    if result.rejected_fraction <= params.max_rejected_fraction:
        return
    problems = [f"{rejection.image_id or rejection.captions[:1]}: {rejection.reason}" for rejection in quarantine]
    problems += [f"{row.image_id}: {row.decode_error}" for row in rows if not row.is_decodable]
    raise DataError(
        f"Expected at most {params.max_rejected_fraction:.1%} of the data set {result.dataset} to be unusable, found "
        f"{result.rejected_fraction:.1%}: {'; '.join(problems[:_NUM_EXAMPLES])}"
        f"{f' and {more} more' if (more := len(problems) - _NUM_EXAMPLES) > 0 else ''}. "
        f"See {quarantine_path} and the manifest beside it; mend the data or raise ingest.max_rejected_fraction."
    )
