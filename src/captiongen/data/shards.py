"""Processed data: a few Parquet shards that stream, and an index that says what they hold.

`data/processed` holds `shards/{split}-{number}.parquet`, `tokenizer.json`, `index.json` and, where training images are
weighted, `weights.json`. Pictures are lossless PNG of the model's input size, so evaluation sees exactly the pixels
that the service computes from the same file.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from captiongen.errors import ShardError
from captiongen.files import write_atomically
from captiongen.types import Captions, ImageArray, Preprocessing, Split

FORMAT_VERSION = 2
SHARD_SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("image_png", pa.binary(), nullable=False),
        pa.field("captions", pa.list_(pa.string()), nullable=False),
    ]
)
# Rows that readers and writers hold at a time: 64 pictures of 224 px are about 6 MB.
_ROWS_PER_GROUP = 64
_WEIGHTS = "weights.json"
_REMEDY = "Run `dvc repro preprocess`."


@dataclass(frozen=True, slots=True)
class ShardRow:
    """One image on its way to training or evaluation: PNG bytes at the model's input size, raw captions."""

    image_id: str
    split: Split
    image_png: bytes
    captions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProcessedData:
    """A processed data folder.

    Attributes:
        folder: where it lies.
        dataset: the data set's name.
        preprocessing: what was done to every picture.
        counts: images by split.
        split_hashes: `split_hash` by split.
        data_hash: as `captiongen.data.manifest.data_hash` defines it, over everything that was ingested.
        picture_hashes: `WrittenShards.picture_hashes`: what was computed from the pictures is valid for these alone.
    """

    folder: Path
    dataset: str
    preprocessing: Preprocessing
    counts: Mapping[Split, int]
    split_hashes: Mapping[Split, str]
    data_hash: str
    picture_hashes: Mapping[Split, str]

    @property
    def tokenizer_path(self) -> Path:
        """The tokenizer that was trained on the train split."""
        return self.folder / "tokenizer.json"

    def rows(self, split: Split) -> Iterator[ShardRow]:
        """Streams the images of a split, ordered by image id within the order of the shards; bounded memory.

        Raises:
            ShardError: a shard is missing, damaged, or holds another number of rows than the index says.
        """
        num_rows = 0
        for batch in self._batches(split, ["image_id", "image_png", "captions"]):
            for record in batch.to_pylist():
                yield ShardRow(record["image_id"], split, record["image_png"], tuple(record["captions"]))
            num_rows += batch.num_rows
        self._check_count(split, num_rows)

    def references(self, split: Split) -> dict[str, tuple[str, ...]]:
        """Returns image id -> raw captions of a split, in the order of `rows`, without reading pictures.

        Raises:
            ShardError: as `rows`.
        """
        references = {
            record["image_id"]: tuple(record["captions"])
            for batch in self._batches(split, ["image_id", "captions"])
            for record in batch.to_pylist()
        }
        self._check_count(split, len(references))
        return references

    def sampling_weights(self) -> dict[str, float]:
        """Returns how often training images come in an epoch, on average, by image id; the others come once.

        Raises:
            ShardError: the file is damaged.
        """
        path = self.folder / _WEIGHTS
        try:
            weights = json.loads(path.read_text(encoding="utf-8"))
            return {str(image_id): float(weight) for image_id, weight in weights.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, TypeError, AttributeError) as error:
            raise ShardError(f"{path} holds no weights by image id ({error}). {_REMEDY}") from error

    def _batches(self, split: Split, columns: list[str]) -> Iterator[pa.RecordBatch]:
        for path in sorted((self.folder / "shards").glob(f"{split}-*.parquet")):
            try:
                with pq.ParquetFile(path, page_checksum_verification=True) as shard:
                    if not shard.schema_arrow.equals(SHARD_SCHEMA):
                        raise ShardError(f"{path} has other columns than this version writes. {_REMEDY}")
                    yield from shard.iter_batches(batch_size=_ROWS_PER_GROUP, columns=columns)
            except (OSError, pa.ArrowException) as error:
                raise ShardError(f"{path} is damaged ({error}). {_REMEDY}") from error

    def _check_count(self, split: Split, num_rows: int) -> None:
        expected = self.counts.get(split, 0)
        if num_rows != expected:
            raise ShardError(f"{self.folder}: expected {expected} images in split {split}, found {num_rows}. {_REMEDY}")


@dataclass(frozen=True, slots=True)
class WrittenShards:
    """What shards hold.

    Attributes:
        counts: images by split.
        picture_hashes: by split, the sha256 over the sha256 of each picture as it was prepared, in the order of the
            rows. It knows nothing of captions, nor of how the rows were cut into shards.
    """

    counts: Mapping[Split, int]
    picture_hashes: Mapping[Split, str]


class _SplitWriter:
    """Appends rows of one split to numbered shards, a row group at a time."""

    def __init__(self, folder: Path, split: Split, images_per_shard: int) -> None:
        self._folder, self._split, self._images_per_shard = folder, split, images_per_shard
        self._pending: list[ShardRow] = []
        self._writer: pq.ParquetWriter | None = None
        self._num_shards = 0
        self._num_in_shard = 0
        self._pictures = hashlib.sha256()
        self.num_images = 0

    @property
    def picture_hash(self) -> str:
        """Of all rows so far, as `WrittenShards` defines it."""
        return self._pictures.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if exception[0] is None:
            self._flush()
        self._close()

    def append(self, row: ShardRow) -> None:
        self._pending.append(row)
        self._pictures.update(hashlib.sha256(row.image_png).digest())
        self.num_images += 1
        if len(self._pending) == min(_ROWS_PER_GROUP, self._images_per_shard - self._num_in_shard):
            self._flush()
        if self._num_in_shard == self._images_per_shard:
            self._close()

    def _flush(self) -> None:
        if not self._pending:
            return
        if self._writer is None:
            path = self._folder / f"{self._split}-{self._num_shards:05d}.parquet"
            # PNG is compressed already; page checksums let a reader notice a flipped bit.
            self._writer = pq.ParquetWriter(
                path, SHARD_SCHEMA, compression="none", use_dictionary=False, write_page_checksum=True
            )
        columns = [
            [row.image_id for row in self._pending],
            [row.image_png for row in self._pending],
            [list(row.captions) for row in self._pending],
        ]
        self._writer.write_table(pa.table(columns, schema=SHARD_SCHEMA))
        self._num_in_shard += len(self._pending)
        self._pending.clear()

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._num_shards += 1
            self._num_in_shard = 0


def write_shards(rows: Iterable[ShardRow], folder: Path, *, images_per_shard: int) -> WrittenShards:
    """Writes rows to `{split}-{number}.parquet` under `folder`, holding at most one row group of each split in memory.

    The same rows in the same order give the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    writers: dict[Split, _SplitWriter] = {}
    with ExitStack() as stack:
        for row in rows:
            if row.split not in writers:
                writers[row.split] = stack.enter_context(_SplitWriter(folder, row.split, images_per_shard))
            writers[row.split].append(row)
    return WrittenShards(
        counts={split: writer.num_images for split, writer in writers.items()},
        picture_hashes={split: writer.picture_hash for split, writer in writers.items()},
    )


def split_hash(references: Captions, picture_sha256s: Mapping[str, str]) -> str:
    """Returns the sha256 of a split's images and captions, ordered by id: equal hashes are the same split.

    Args:
        references: image id -> raw captions.
        picture_sha256s: image id -> sha256 of the picture's file as the source has it, so that the hash is the same
            whatever size a model wants its pictures in. Further ids are not looked at.
    """
    canonical = json.dumps(
        sorted((image_id, picture_sha256s[image_id], list(captions)) for image_id, captions in references.items())
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def write_index(processed: ProcessedData) -> None:
    """Writes `index.json`, which makes `processed.folder` a processed data folder."""
    index = {
        "format_version": FORMAT_VERSION,
        "dataset": processed.dataset,
        "preprocessing": asdict(processed.preprocessing),
        "counts": dict(processed.counts),
        "split_hashes": dict(processed.split_hashes),
        "data_hash": processed.data_hash,
        "picture_hashes": dict(processed.picture_hashes),
    }
    write_atomically(processed.folder / "index.json", json.dumps(index, indent=2, sort_keys=True) + "\n")


def write_sampling_weights(folder: Path, weights: Mapping[str, float]) -> None:
    """Writes what `ProcessedData.sampling_weights` reads; no file where every image comes once."""
    if weights:
        write_atomically(folder / _WEIGHTS, json.dumps(weights, indent=0, sort_keys=True) + "\n")


def open_processed(folder: Path) -> ProcessedData:
    """Opens a processed data folder; reads its index only.

    Raises:
        ShardError: the index is missing, damaged or of another format version.
    """
    path = folder / "index.json"
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ShardError(f"{path} is missing. {_REMEDY}") from None
    except ValueError as error:
        raise ShardError(f"{path} is no JSON ({error}). {_REMEDY}") from error
    version = index.get("format_version") if isinstance(index, dict) else None
    if version != FORMAT_VERSION:
        raise ShardError(f"{path}: expected format version {FORMAT_VERSION}, found {version!r}. {_REMEDY}")
    try:
        return ProcessedData(
            folder=folder,
            dataset=index["dataset"],
            preprocessing=Preprocessing(**index["preprocessing"]),
            counts=index["counts"],
            split_hashes=index["split_hashes"],
            data_hash=index["data_hash"],
            picture_hashes=index["picture_hashes"],
        )
    except (KeyError, TypeError) as error:
        raise ShardError(f"{path} lacks or misnames {error}. {_REMEDY}") from error


def encode_png(image: ImageArray) -> bytes:
    """Encodes (height, width, 3) uint8 pixels as PNG: lossless, and fast rather than small."""
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return buffer.getvalue()


def decode_row_image(row: ShardRow) -> ImageArray:
    """Returns the pixels of a row, (image_size_px, image_size_px, 3) uint8, writable.

    Raises:
        ShardError: the bytes are no PNG.
    """
    try:
        with Image.open(BytesIO(row.image_png), formats=("PNG",)) as image:
            return np.array(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ShardError(f"The picture of {row.image_id} is damaged ({error}). {_REMEDY}") from error
