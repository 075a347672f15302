"""The manifest as a file."""

from dataclasses import replace
from pathlib import Path

import hypothesis.strategies as st
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given

from captiongen.data.manifest import (
    MANIFEST_COLUMNS,
    ManifestRow,
    data_hash,
    read_manifest,
    write_manifest,
    write_quarantine,
)
from captiongen.errors import DataError
from captiongen.types import Rejection

_ROW = ManifestRow(
    image_id="a",
    path="images/a.png",
    sha256="0" * 64,
    perceptual_hash="f" * 16,
    num_bytes=10,
    width_px=4,
    height_px=3,
    mode="RGB",
    format="PNG",
    is_decodable=True,
    decode_error="",
    captions=("A dog .", "Ein Mädchen."),
    split="train",
)
_ROWS = [replace(_ROW, image_id=name, sha256=name * 64) for name in "cab"]


def test_rows_come_back_sorted_by_image_id(tmp_path: Path):
    """Every field returns with its type, in the documented columns."""
    write_manifest(tmp_path / "m.parquet", _ROWS)
    manifest = read_manifest(tmp_path / "m.parquet")
    assert tuple(manifest.columns) == MANIFEST_COLUMNS
    assert list(manifest["image_id"]) == ["a", "b", "c"]
    assert manifest["captions"][0] == ["A dog .", "Ein Mädchen."]
    row = manifest.iloc[0]
    assert (row["num_bytes"], row["width_px"], row["is_decodable"], row["split"]) == (10, 4, True, "train")


def test_order_of_rows_leaves_no_trace(tmp_path: Path):
    """The same rows in any order are the same bytes, so DVC sees no change."""
    write_manifest(tmp_path / "a.parquet", _ROWS)
    write_manifest(tmp_path / "b.parquet", _ROWS[::-1])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_an_empty_manifest_keeps_its_columns(tmp_path: Path):
    """No images are a table too."""
    write_manifest(tmp_path / "m.parquet", [])
    assert tuple(read_manifest(tmp_path / "m.parquet").columns) == MANIFEST_COLUMNS


def test_other_files_are_refused(tmp_path: Path):
    """Missing, damaged, or with other columns: each says what to run."""
    path = tmp_path / "m.parquet"
    with pytest.raises(DataError, match="is missing"):
        read_manifest(path)
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(DataError, match="no readable Parquet"):
        read_manifest(path)
    pd.DataFrame({"image_id": ["a"]}).to_parquet(path)
    with pytest.raises(DataError, match="expected the columns"):
        read_manifest(path)


def test_quarantine_keeps_what_unicode_cannot(tmp_path: Path):
    """Lone surrogates, which JSON can smuggle in, are escaped instead of lost."""
    write_quarantine(
        tmp_path / "q.parquet", [Rejection("b", "b", "late", ("x",)), Rejection("a", "", "r", ("\ud800",))]
    )
    rows = pq.read_table(tmp_path / "q.parquet").to_pylist()
    assert [row["image_id"] for row in rows] == ["a", "b"]
    assert rows[0]["captions"] == ["\\ud800"]


@given(data=st.data())
def test_data_hash_names_the_content(data: st.DataObject):
    """Pictures, captions and splits count; names, paths and the order of rows do not."""
    manifest = pd.DataFrame(
        {"image_id": list("abc"), "sha256": ["1", "2", "3"], "captions": [["x"], ["y"], ["x"]], "split": ["train"] * 3}
    )
    shuffled = manifest.iloc[data.draw(st.permutations(range(3)))].assign(image_id=list("xyz"))
    assert data_hash(shuffled) == data_hash(manifest)
    row = data.draw(st.integers(0, 2))
    for column, value in (("sha256", "9"), ("captions", ["x", "y"]), ("split", "test")):
        changed = manifest.copy()
        changed.at[row, column] = value
        assert data_hash(changed) != data_hash(manifest)
