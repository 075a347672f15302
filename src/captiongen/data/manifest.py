"""The manifest: one row per image, the table that the data contract judges and that every later stage starts from."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from captiongen.errors import DataError
from captiongen.files import write_atomically
from captiongen.types import Rejection, Split

MANIFEST_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("path", pa.string()),  # within the source
        ("sha256", pa.string()),  # of the file's bytes
        ("perceptual_hash", pa.string()),  # 64-bit DCT hash of the upright picture, 16 hex digits; "" if undecodable
        ("num_bytes", pa.int64()),
        ("width_px", pa.int32()),  # upright, that is after EXIF orientation; 0 where the file does not say
        ("height_px", pa.int32()),
        ("mode", pa.string()),  # Pillow's name, as stored: RGB, L, CMYK ...
        ("format", pa.string()),  # JPEG, PNG ...; "" where the file is none
        ("is_decodable", pa.bool_()),
        ("decode_error", pa.string()),  # "" when decodable
        ("captions", pa.list_(pa.string())),  # raw, in the source's order
        ("split", pa.string()),
        ("seam_strength", pa.float32()),  # washed-out part below a seam, see captiongen.data.damage; 0 if undecodable
    ]
)
MANIFEST_COLUMNS: tuple[str, ...] = tuple(MANIFEST_SCHEMA.names)
QUARANTINE_SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),  # "" where a malformed line names no image
        ("path", pa.string()),
        ("reason", pa.string()),
        ("captions", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One image of the manifest; fields as the columns of `MANIFEST_SCHEMA`."""

    image_id: str
    path: str
    sha256: str
    perceptual_hash: str
    num_bytes: int
    width_px: int
    height_px: int
    mode: str
    format: str
    is_decodable: bool
    decode_error: str
    captions: tuple[str, ...]
    split: Split
    seam_strength: float = 0.0


def write_manifest(path: Path, rows: Iterable[ManifestRow]) -> None:
    """Writes the manifest atomically, sorted by image id; the same rows give the same bytes."""
    _write(path, sorted(rows, key=lambda row: row.image_id), MANIFEST_SCHEMA)


def write_quarantine(path: Path, rejections: Iterable[Rejection]) -> None:
    """Writes what did not go on, and why, in a stable order; characters that are no valid Unicode are escaped."""
    printable = [
        Rejection(
            image_id=_printable(rejection.image_id),
            path=_printable(rejection.path),
            reason=_printable(rejection.reason),
            captions=tuple(map(_printable, rejection.captions)),
        )
        for rejection in rejections
    ]
    _write(
        path, sorted(printable, key=lambda row: (row.image_id, row.path, row.reason, row.captions)), QUARANTINE_SCHEMA
    )


def read_manifest(path: Path) -> pd.DataFrame:
    """Reads a manifest; `captions` holds lists of strings.

    Raises:
        DataError: the file is missing, damaged, or has other columns.
    """
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise DataError(f"{path} is missing. Run `dvc repro ingest`.") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} is no readable Parquet file ({error}). Run `dvc repro ingest`.") from error
    if not table.schema.equals(MANIFEST_SCHEMA):
        raise DataError(
            f"{path}: expected the columns {', '.join(MANIFEST_COLUMNS)} in this order and of their types, "
            f"found {', '.join(table.schema.names)}. Run `dvc repro ingest`."
        )
    manifest: pd.DataFrame = table.to_pandas()
    manifest["captions"] = table.column("captions").to_pylist()
    return manifest


def data_hash(manifest: pd.DataFrame) -> str:
    """Returns the sha256 over (image sha256, captions, split) of every image, sorted.

    It names the content of a data set: it changes with any picture, caption or split, and not with file names, image
    ids or the order of rows.
    """
    columns = zip(manifest["sha256"], manifest["captions"], manifest["split"], strict=True)
    canonical = json.dumps(sorted([sha256, list(captions), split] for sha256, captions, split in columns))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _write(path: Path, rows: Sequence[ManifestRow] | Sequence[Rejection], schema: pa.Schema) -> None:
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), buffer)
    write_atomically(path, buffer.getvalue().to_pybytes())


def _printable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
