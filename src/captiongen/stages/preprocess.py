"""Preprocess: validated, corrected images into shards at the model's size, a tokenizer, and a data card."""

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd
from tqdm import tqdm

from captiongen.data.card import Sample, write_card
from captiongen.data.corrected import UsableImage, correct
from captiongen.data.corrections import CorrectionsFolder, read_decisions
from captiongen.data.images import decode_image, prepare
from captiongen.data.manifest import data_hash, read_manifest
from captiongen.data.shards import (
    ProcessedData,
    ShardRow,
    encode_png,
    open_processed,
    split_hash,
    write_index,
    write_sampling_weights,
    write_shards,
)
from captiongen.data.sources import Source, open_source
from captiongen.data.validation_report import read_validation
from captiongen.errors import DataError, ValidationFailed
from captiongen.files import atomic_folder
from captiongen.params import IngestParams, PreprocessParams, TokenizerParams
from captiongen.text.pretrained import cut_tokenizer, open_tokenizer, pretrained_files
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Preprocessing, Split

_SPLITS: tuple[Split, ...] = ("train", "dev", "test")
# Pictures in flight: bounds memory whatever the size of the data set.
_BATCH_SIZE = 64
_SAMPLES_PER_SPLIT = 4


#: Reads the file of an image, from the source or from the pictures that corrections added.
_Read = Callable[[UsableImage], bytes]


def preprocess(
    params: PreprocessParams,
    *,
    ingest: IngestParams,
    manifest: Path,
    validation_report: Path,
    source_folder: Path,
    corrections: CorrectionsFolder,
    near_duplicate_distance: int,
    out_folder: Path,
    card_folder: Path,
) -> ProcessedData:
    """Makes everything that training and evaluation read.

    Accepted corrections change the train split alone.

    Args:
        params: size and shape of the pictures, and how captions become tokens.
        ingest: the params that the manifest was made with.
        manifest: what `ingest` wrote.
        validation_report: what `validate` wrote; it must have passed.
        source_folder: where the data set lies.
        corrections: whose accepted decisions are followed; those that fit no more are told, and listed in the card.
        near_duplicate_distance: as the data contract has it: added pictures must be farther from dev and test, bits.
        out_folder: receives shards/, tokenizer.json, index.json and weights.json; replaced as a whole.
        card_folder: receives index.html, the data card; replaced as a whole.

    Raises:
        ValidationFailed: the data contract is broken.
        DataError: an input is missing, a split is empty, or a picture changed since it was ingested or accepted.
        PretrainedError: the model whose tokenizer is asked for cannot be had.
    """
    _require_valid(validation_report)
    table = read_manifest(manifest)
    corrected = correct(
        _usable_images(table),
        read_decisions(corrections.accepted),
        pictures=corrections.pictures,
        near_duplicate_distance=near_duplicate_distance,
    )
    for line in corrected.describe():
        tqdm.write(line, sys.stderr)
    images = corrected.images
    read = partial(_read_unchanged, open_source(ingest, source_folder), corrections.pictures)
    preprocessing = Preprocessing(params.image_size_px, params.resize)
    tokenizer = _tokenizer(
        (caption for image in images if image.split == "train" for caption in image.captions), params.tokenizer
    )
    with atomic_folder(out_folder) as folder:
        rows = tqdm(
            _prepared(read, images, preprocessing), total=len(images), desc="preprocess", unit="image", disable=None
        )
        written = write_shards(rows, folder / "shards", images_per_shard=params.images_per_shard)
        tokenizer.save(folder / "tokenizer.json")
        write_sampling_weights(folder, corrected.weights)
        write_index(
            ProcessedData(
                folder=folder,
                dataset=ingest.name,
                preprocessing=preprocessing,
                counts=written.counts,
                split_hashes={split: _split_hash(images, split) for split in _SPLITS},
                data_hash=data_hash(table),
                picture_hashes=written.picture_hashes,
            )
        )
    processed = open_processed(out_folder)
    samples = [_sample(read, image) for split in _SPLITS for image in _draw(images, split)]
    with atomic_folder(card_folder) as folder:
        write_card(
            folder / "index.html",
            processed=processed,
            manifest=table,
            tokenizer=tokenizer,
            tokenizer_params=params.tokenizer,
            samples=samples,
            corrections=corrected.describe(),
        )
    return processed


def _tokenizer(captions: Iterable[str], params: TokenizerParams) -> CaptionTokenizer:
    if params.source is None:
        return CaptionTokenizer.train(captions, params)
    files = pretrained_files(params.source, params.sha256, key="preprocess.tokenizer")
    return cut_tokenizer(captions, open_tokenizer(files["tokenizer.json"]))


def _require_valid(path: Path) -> None:
    report = read_validation(path)
    errors = [finding.message for finding in report.findings if finding.severity == "error"]
    if not report.is_passed:
        raise ValidationFailed(
            f"Expected data that keep the data contract, found {len(errors)} broken expectations in {path}: "
            f"{' '.join(errors[:3])} Mend the data, or adapt `validate` in params.yaml."
        )


def _usable_images(table: pd.DataFrame) -> list[UsableImage]:
    usable = table[table["is_decodable"] & table["split"].isin(_SPLITS)]
    columns = (usable[name] for name in ("image_id", "path", "sha256", "perceptual_hash", "captions", "split"))
    images = [
        UsableImage(image_id, path, sha256, look, tuple(captions), cast(Split, split))
        for image_id, path, sha256, look, captions, split in zip(*columns, strict=True)
    ]
    for split in _SPLITS:
        if not any(image.split == split for image in images):
            raise DataError(
                f"Expected images in the splits train, dev and test, found none in {split}. "
                "Correct the split lists, or raise ingest.split_fractions in params.yaml."
            )
    return images


def _split_hash(images: Iterable[UsableImage], split: Split) -> str:
    of_split = [image for image in images if image.split == split]
    return split_hash(
        {image.image_id: image.captions for image in of_split}, {image.image_id: image.sha256 for image in of_split}
    )


def _prepared(read: _Read, images: Sequence[UsableImage], preprocessing: Preprocessing) -> Iterator[ShardRow]:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(images), _BATCH_SIZE):
            yield from threads.map(
                partial(_prepare, read, preprocessing=preprocessing), images[start : start + _BATCH_SIZE]
            )


def _prepare(read: _Read, image: UsableImage, *, preprocessing: Preprocessing) -> ShardRow:
    pixels = prepare(decode_image(read(image)), preprocessing)
    return ShardRow(image.image_id, image.split, encode_png(pixels), image.captions)


def _read_unchanged(source: Source, pictures: Path, image: UsableImage) -> bytes:
    data = (pictures / image.path).read_bytes() if image.is_added else source.read(image.path)
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise DataError(f"{image.path} changed since it was ingested. Run `dvc repro`.")
    return data


def _draw(images: Iterable[UsableImage], split: Split) -> list[UsableImage]:
    """Draws samples of a split: by content hash, so neither file names nor the order of rows decide."""
    return sorted((image for image in images if image.split == split), key=lambda image: image.sha256)[
        :_SAMPLES_PER_SPLIT
    ]


def _sample(read: _Read, image: UsableImage) -> Sample:
    return Sample(image.image_id, image.split, decode_image(read(image)), image.captions)
