"""Shards that stream, and the index beside them."""

import hashlib
import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given

from captiongen.data.shards import (
    ProcessedData,
    ShardRow,
    decode_row_image,
    encode_png,
    open_processed,
    split_hash,
    write_index,
    write_sampling_weights,
    write_shards,
)
from captiongen.errors import ShardError
from captiongen.types import Preprocessing, Split

_PIXELS = np.arange(32 * 32 * 3, dtype=np.uint32).reshape(32, 32, 3).astype(np.uint8)


def _rows(num_rows: int, *, num_bytes: int = 10) -> Iterator[ShardRow]:
    splits: tuple[Split, ...] = ("train", "train", "dev", "test")
    for number in range(num_rows):
        yield ShardRow(f"{number:05d}", splits[number % 4], bytes([number % 256]) * num_bytes, ("A dog .", str(number)))


def _write(folder: Path, rows: Iterator[ShardRow], images_per_shard: int = 10) -> ProcessedData:
    written = write_shards(rows, folder / "shards", images_per_shard=images_per_shard)
    preprocessing, hashes = Preprocessing(32, "crop"), {"train": "1", "dev": "2"}
    processed = ProcessedData(folder, "tiny", preprocessing, written.counts, hashes, "3" * 64, written.picture_hashes)
    write_index(processed)
    return processed


def test_rows_come_back_as_they_were_written(tmp_path: Path):
    """Every row returns, in order, in its split, across the borders of shards and row groups."""
    written = list(_rows(200))
    processed = _write(tmp_path, iter(written), images_per_shard=70)
    for split in ("train", "dev", "test"):
        assert list(processed.rows(split)) == [row for row in written if row.split == split]
    assert processed.counts == {"train": 100, "dev": 50, "test": 50}
    assert list(processed.rows("unused")) == []


def test_shards_hold_the_number_of_images_asked_for(tmp_path: Path):
    """Only the last shard of a split may be smaller."""
    _write(tmp_path, _rows(100), images_per_shard=20)
    names = sorted(path.name for path in (tmp_path / "shards").iterdir())
    assert [name for name in names if name.startswith("train")] == [f"train-{k:05d}.parquet" for k in range(3)]
    assert len(names) == 3 + 2 + 2


def test_references_come_without_pictures(tmp_path: Path):
    """Captions by image id, in the order of the rows."""
    references = _write(tmp_path, _rows(12)).references("train")
    assert list(references) == ["00000", "00001", "00004", "00005", "00008", "00009"]
    assert references["00004"] == ("A dog .", "4")


def test_an_opened_folder_equals_what_was_written(tmp_path: Path):
    """The index carries everything but the rows."""
    written = _write(tmp_path, _rows(8))
    assert open_processed(tmp_path) == written


def test_equal_rows_give_equal_bytes(tmp_path: Path):
    """DVC sees no change where there is none."""
    for name in ("a", "b"):
        _write(tmp_path / name, _rows(50))
    files = sorted(path.relative_to(tmp_path / "a") for path in (tmp_path / "a").rglob("*") if path.is_file())
    assert len(files) > 4
    assert all((tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes() for file in files)


def test_writing_and_reading_hold_a_few_pictures_at_a_time(tmp_path: Path):
    """100 MB stream through with less than 30 MB in memory, in Python and in Arrow."""
    num_rows, num_bytes = 1_000, 100_000
    pool = pa.system_memory_pool()
    pa.set_memory_pool(pool)
    tracemalloc.start()
    try:
        before = pool.bytes_allocated()
        processed = _write(tmp_path, _rows(num_rows, num_bytes=num_bytes), images_per_shard=512)
        peak = before
        for split in ("train", "dev", "test"):
            for _ in processed.rows(split):
                peak = max(peak, pool.bytes_allocated())
        assert tracemalloc.get_traced_memory()[1] < 30e6
        assert peak - before < 30e6
    finally:
        tracemalloc.stop()
        pa.set_memory_pool(pa.default_memory_pool())


def test_pictures_are_lossless():
    """The pixels that evaluation sees are the pixels that were prepared."""
    decoded = decode_row_image(ShardRow("a", "train", encode_png(_PIXELS), ()))
    assert np.array_equal(decoded, _PIXELS)
    assert decoded.flags.writeable


def test_a_damaged_picture_is_named():
    """Bytes that are no PNG are an error with the image's id."""
    with pytest.raises(ShardError, match="img7"):
        decode_row_image(ShardRow("img7", "train", encode_png(_PIXELS)[:-40], ()))


def test_a_flipped_bit_never_changes_a_row_unnoticed(tmp_path: Path):
    """Wherever a bit of a shard flips, reading fails or gives the very rows that were written."""
    processed = _write(tmp_path, _rows(40, num_bytes=500), images_per_shard=512)
    written = list(processed.rows("train"))
    path = tmp_path / "shards" / "train-00000.parquet"
    whole = path.read_bytes()
    num_noticed = 0
    for position in range(0, len(whole), 23):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 4]) + whole[position + 1 :])
        try:
            assert list(processed.rows("train")) == written
        except ShardError:
            num_noticed += 1
    assert num_noticed > 20 * 500 / 23


def test_a_cut_off_or_missing_shard_is_noticed(tmp_path: Path):
    """Neither half a shard nor one shard too few passes for the whole split."""
    processed = _write(tmp_path, _rows(100), images_per_shard=20)
    path = tmp_path / "shards" / "train-00001.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(ShardError, match="train-00001"):
        list(processed.rows("train"))
    path.unlink()
    with pytest.raises(ShardError, match="expected 50 images in split train, found 30"):
        processed.references("train")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (None, "is missing"),
        ("{", "no JSON"),
        ("[]", "format version"),
        (json.dumps({"format_version": 99}), "found 99"),
        (json.dumps({"format_version": 2}), "lacks"),
    ],
)
def test_other_indexes_are_refused(tmp_path: Path, content: str | None, match: str):
    """A folder without a readable index of this version says what to run."""
    if content is not None:
        (tmp_path / "index.json").write_text(content)
    with pytest.raises(ShardError, match=match):
        open_processed(tmp_path)


def test_a_failing_producer_leaves_closed_files(tmp_path: Path):
    """An error in the middle of the rows goes through, and no writer stays open."""

    def failing() -> Iterator[ShardRow]:
        yield from islice(_rows(100), 90)
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        write_shards(failing(), tmp_path, images_per_shard=512)


@given(
    references=st.dictionaries(st.text(max_size=5), st.lists(st.text(max_size=5), max_size=3), min_size=1, max_size=5),
    data=st.data(),
)
def test_split_hash_changes_with_content_and_not_with_order(references: dict[str, list[str]], data: st.DataObject):
    """The hash names the split: another id, picture or caption is another hash, another order is not."""
    order = data.draw(st.permutations(list(references)))
    pictures = {image_id: hashlib.sha256(image_id.encode()).hexdigest() for image_id in references}
    whole = split_hash(references, pictures)
    assert split_hash({image_id: references[image_id] for image_id in order}, pictures) == whole
    changed = data.draw(st.sampled_from(order))
    assert split_hash({**references, changed: [*references[changed], "one more"]}, pictures) != whole
    assert split_hash({i: c for i, c in references.items() if i != changed}, pictures) != whole
    assert split_hash(references, {**pictures, changed: "0" * 64}) != whole


def test_picture_hashes_change_with_pictures_alone(tmp_path: Path):
    """Captions and the size of shards leave them; another picture changes its own split's."""
    rows = list(_rows(40))
    plain = _write(tmp_path / "a", iter(rows)).picture_hashes
    renamed = [replace(row, captions=("Another .",)) for row in rows]
    assert _write(tmp_path / "b", iter(renamed), images_per_shard=3).picture_hashes == plain
    changed = [replace(row, image_png=b"other") if row.image_id == "00002" else row for row in rows]
    other = _write(tmp_path / "c", iter(changed)).picture_hashes
    assert [split for split in plain if other[split] != plain[split]] == ["dev"]


def test_counts_of_the_index_are_held_against_the_rows(tmp_path: Path):
    """An index that promises more images than the shards hold is no good."""
    processed = replace(_write(tmp_path, _rows(20)), counts={"train": 11})
    with pytest.raises(ShardError, match="expected 11"):
        list(processed.rows("train"))


def test_weights_come_back_by_image_id(tmp_path: Path):
    """Without weights there is no file and nothing is weighted; a damaged file is an error that names it."""
    processed = _write(tmp_path, _rows(8))
    write_sampling_weights(tmp_path, {})
    assert not (tmp_path / "weights.json").exists()
    assert processed.sampling_weights() == {}
    write_sampling_weights(tmp_path, {"00004": 2.0, "00000": 0.5})
    assert processed.sampling_weights() == {"00000": 0.5, "00004": 2.0}
    (tmp_path / "weights.json").write_text("[1]")
    with pytest.raises(ShardError, match=r"weights\.json holds no weights"):
        processed.sampling_weights()
