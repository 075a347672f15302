"""captions.parquet: what the model said of each evaluated image, beside what people said."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from captiongen.errors import ShardError
from captiongen.files import write_atomically
from captiongen.types import CaptionedImage, Hypothesis, WordScore


def _schema(*, with_confidence: bool) -> pa.Schema:
    confidence = [("confidence", pa.float64())] if with_confidence else []
    word = pa.struct([("word", pa.string()), ("probability", pa.float64()), *confidence])
    hypothesis = pa.struct(
        [
            ("caption", pa.string()),
            ("words", pa.list_(word)),
            ("log_probability", pa.float64()),
            ("score", pa.float64()),
            ("is_complete", pa.bool_()),
            *confidence,
        ]
    )
    return pa.schema(
        [("image_id", pa.string()), ("hypotheses", pa.list_(hypothesis)), ("references", pa.list_(pa.string()))]
    )


CAPTIONS_SCHEMA = _schema(with_confidence=True)
#: Of versions that were registered before there was a calibration; a champion may be one.
_UNCALIBRATED = _schema(with_confidence=False)


def write_captions(path: Path, rows: Iterable[CaptionedImage], *, facts: dict[str, str] | None = None) -> None:
    """Writes captions atomically; `facts` (model hash, split hash, decoding) go into the file's metadata."""
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=CAPTIONS_SCHEMA)
    table = table.replace_schema_metadata({"captiongen": json.dumps(facts or {}, sort_keys=True)})
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    write_atomically(path, buffer.getvalue())


def read_captions(path: Path) -> list[CaptionedImage]:
    """Reads captions in the order they were written.

    Raises:
        ShardError: the file is missing or no captions table.
    """
    return [
        CaptionedImage(
            image_id=row["image_id"],
            hypotheses=tuple(
                Hypothesis(**{**one, "words": tuple(WordScore(**word) for word in one["words"])})
                for one in row["hypotheses"]
            ),
            references=tuple(row["references"]),
        )
        for row in _read(path).to_pylist()
    ]


def read_facts(path: Path) -> dict[str, str]:
    """Reads what `write_captions` put into the metadata."""
    facts: dict[str, str] = json.loads((_read(path).schema.metadata or {}).get(b"captiongen", b"{}"))
    return facts


def _read(path: Path) -> pa.Table:
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise ShardError(
            f"Expected evaluated captions at {path}, found none. Run `dvc repro evaluate`, in a fresh clone "
            "`captiongen fetch` before it."
        ) from None
    except (OSError, pa.ArrowException) as error:
        raise ShardError(f"Expected evaluated captions at {path}: {error}. Run `dvc repro evaluate`.") from error
    if table.schema.equals(_UNCALIBRATED):
        table = table.cast(CAPTIONS_SCHEMA).replace_schema_metadata(table.schema.metadata)
    if not table.schema.equals(CAPTIONS_SCHEMA):
        raise ShardError(f"{path} has other columns than this version of captiongen writes. Run `dvc repro evaluate`.")
    return table
