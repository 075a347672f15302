"""Preprocess: validated images into shards at the model's size, a tokenizer from training captions, and a data card."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import pandas as pd
from tqdm import tqdm

from captiongen.data.card import Sample, write_card
from captiongen.data.images import decode_image, prepare
from captiongen.data.manifest import data_hash, read_manifest
from captiongen.data.shards import (
    ProcessedData,
    ShardRow,
    encode_png,
    open_processed,
    split_hash,
    write_index,
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


@dataclass(frozen=True, slots=True)
class _Image:
    image_id: str
    path: str
    sha256: str
    captions: tuple[str, ...]
    split: Split


def preprocess(
    params: PreprocessParams,
    *,
    ingest: IngestParams,
    manifest: Path,
    validation_report: Path,
    source_folder: Path,
    out_folder: Path,
    card_folder: Path,
) -> ProcessedData:
    """Makes everything that training and evaluation read.

    Args:
        params: size and shape of the pictures, and how captions become tokens.
        ingest: the params that the manifest was made with.
        manifest: what `ingest` wrote.
        validation_report: what `validate` wrote; it must have passed.
        source_folder: where the data set lies.
        out_folder: receives shards/, tokenizer.json and index.json; replaced as a whole.
        card_folder: receives index.html, the data card; replaced as a whole.

    Raises:
        ValidationFailed: the data contract is broken.
        DataError: an input is missing, a split is empty, or a picture changed since it was ingested.
        PretrainedError: the model whose tokenizer is asked for cannot be had.
    """
    _require_valid(validation_report)
    table = read_manifest(manifest)
    images = _usable_images(table)
    source = open_source(ingest, source_folder)
    preprocessing = Preprocessing(params.image_size_px, params.resize)
    tokenizer = _tokenizer(
        (caption for image in images if image.split == "train" for caption in image.captions), params.tokenizer
    )
    with atomic_folder(out_folder) as folder:
        rows = tqdm(
            _prepared(source, images, preprocessing), total=len(images), desc="preprocess", unit="image", disable=None
        )
        written = write_shards(rows, folder / "shards", images_per_shard=params.images_per_shard)
        tokenizer.save(folder / "tokenizer.json")
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
    samples = [_sample(source, image) for split in _SPLITS for image in _draw(images, split)]
    with atomic_folder(card_folder) as folder:
        write_card(
            folder / "index.html",
            processed=processed,
            manifest=table,
            tokenizer=tokenizer,
            tokenizer_params=params.tokenizer,
            samples=samples,
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


def _usable_images(table: pd.DataFrame) -> list[_Image]:
    usable = table[table["is_decodable"] & table["split"].isin(_SPLITS)]
    columns = (usable[name] for name in ("image_id", "path", "sha256", "captions", "split"))
    images = [
        _Image(image_id, path, sha256, tuple(captions), cast(Split, split))
        for image_id, path, sha256, captions, split in zip(*columns, strict=True)
    ]
    for split in _SPLITS:
        if not any(image.split == split for image in images):
            raise DataError(
                f"Expected images in the splits train, dev and test, found none in {split}. "
                "Correct the split lists, or raise ingest.split_fractions in params.yaml."
            )
    return images


def _split_hash(images: list[_Image], split: Split) -> str:
    of_split = [image for image in images if image.split == split]
    return split_hash(
        {image.image_id: image.captions for image in of_split}, {image.image_id: image.sha256 for image in of_split}
    )


def _prepared(source: Source, images: list[_Image], preprocessing: Preprocessing) -> Iterator[ShardRow]:
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for start in range(0, len(images), _BATCH_SIZE):
            yield from threads.map(
                partial(_prepare, source, preprocessing=preprocessing), images[start : start + _BATCH_SIZE]
            )


def _prepare(source: Source, image: _Image, *, preprocessing: Preprocessing) -> ShardRow:
    pixels = prepare(decode_image(_read_unchanged(source, image)), preprocessing)
    return ShardRow(image.image_id, image.split, encode_png(pixels), image.captions)


def _read_unchanged(source: Source, image: _Image) -> bytes:
    data = source.read(image.path)
    if hashlib.sha256(data).hexdigest() != image.sha256:
        raise DataError(f"{image.path} changed since it was ingested. Run `dvc repro`.")
    return data


def _draw(images: list[_Image], split: Split) -> list[_Image]:
    """Draws samples of a split: by content hash, so neither file names nor the order of rows decide."""
    return sorted((image for image in images if image.split == split), key=lambda image: image.sha256)[
        :_SAMPLES_PER_SPLIT
    ]


def _sample(source: Source, image: _Image) -> Sample:
    return Sample(image.image_id, image.split, decode_image(_read_unchanged(source, image)), image.captions)
