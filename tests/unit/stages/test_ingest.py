"""The stage `ingest`."""

import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from PIL import Image

from captiongen.data.manifest import read_manifest
from captiongen.errors import DataError, SourceError
from captiongen.params import IngestParams, TableParams
from captiongen.stages.ingest import ingest
from tests.datasets import encode, gradient, write_csv, write_files, write_table_dataset

_PICTURE = encode(gradient(40, 30))


def _params(*, max_rejected_fraction: float = 0.0, split_column: str | None = "split") -> IngestParams:
    table = TableParams(split_column=split_column)
    return IngestParams(source="table", path="", name="mine", table=table, max_rejected_fraction=max_rejected_fraction)


def test_clean_data_go_on_whole(tmp_path: Path):
    """Every image has a row with its facts; nothing is in quarantine; the counts are on file."""
    write_table_dataset(tmp_path / "in", num_images=20)
    result = ingest(_params(), source_folder=tmp_path / "in", out_folder=tmp_path / "out")
    assert (result.num_images_in, result.num_images, result.num_images_quarantined) == (20, 20, 0)
    assert (result.num_captions_in, result.num_captions, result.num_captions_quarantined) == (40, 40, 0)
    assert result.num_images_by_split == {"train": 16, "dev": 2, "test": 2, "unused": 0}
    manifest = read_manifest(tmp_path / "out" / "manifest.parquet")
    row = manifest.set_index("image_id").loc["3.png"]
    assert (row["width_px"], row["height_px"], row["mode"], row["format"]) == (40, 30, "RGB", "PNG")
    assert row["is_decodable"]
    assert row["decode_error"] == ""
    assert row["num_bytes"] == (tmp_path / "in" / "3.png").stat().st_size
    assert len(row["perceptual_hash"]) == 16
    assert pq.read_table(tmp_path / "out" / "quarantine.parquet").num_rows == 0
    assert json.loads((tmp_path / "out" / "ingest.json").read_text())["num_images"] == 20


def test_a_second_run_writes_the_same_bytes(tmp_path: Path):
    """Neither threads nor the order of rows leave a trace."""
    write_table_dataset(tmp_path / "in", num_images=30)
    ingest(_params(), source_folder=tmp_path / "in", out_folder=tmp_path / "a")
    header, *rows = (tmp_path / "in" / "captions.csv").read_text().splitlines()
    # By image: the captions of one image keep their order.
    pairs = [rows[k : k + 2] for k in range(0, len(rows), 2)]
    random.Random(0).shuffle(pairs)
    (tmp_path / "in" / "captions.csv").write_text("\n".join([header, *(row for pair in pairs for row in pair)]))
    ingest(_params(), source_folder=tmp_path / "in", out_folder=tmp_path / "b")
    for name in ("manifest.parquet", "quarantine.parquet", "ingest.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_undecodable_images_stay_in_the_manifest_marked(tmp_path: Path):
    """The data contract can name them: bytes and captions are there, the picture's facts as far as the file says."""
    write_table_dataset(tmp_path / "in")
    (tmp_path / "in" / "0.png").write_bytes(_PICTURE[: len(_PICTURE) // 2])
    (tmp_path / "in" / "1.png").write_bytes(b"no picture")
    params = _params(max_rejected_fraction=0.5)
    result = ingest(params, source_folder=tmp_path / "in", out_folder=tmp_path / "out")
    assert (result.num_images, result.num_images_undecodable, result.num_images_quarantined) == (10, 2, 0)
    rows = read_manifest(tmp_path / "out" / "manifest.parquet").set_index("image_id")
    assert not rows.loc["0.png", "is_decodable"]
    assert "damaged" in rows.loc["0.png", "decode_error"]
    assert (rows.loc["0.png", "width_px"], rows.loc["0.png", "format"]) == (40, "PNG")
    assert (rows.loc["1.png", "width_px"], rows.loc["1.png", "format"]) == (0, "")
    assert rows.loc["0.png", "perceptual_hash"] == ""
    assert len(rows.loc["0.png", "captions"]) == 2


def _texture(seed: int) -> Image.Image:
    """Blobs: a picture with content at every low frequency, which a smooth gradient has not."""
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize((200, 150), Image.Resampling.BICUBIC)


def test_pictures_over_the_limit_say_their_size(tmp_path: Path):
    """26 megapixels are not decoded, and the manifest still knows how large the picture is."""
    write_files(tmp_path / "in", {"a.png": encode(Image.new("1", (6500, 4000))), "b.png": _PICTURE})
    write_csv(tmp_path / "in" / "c.csv", [["image", "caption"], ["a.png", "x"], ["b.png", "x"]])
    params = _params(split_column=None, max_rejected_fraction=0.5)
    ingest(params, source_folder=tmp_path / "in", out_folder=tmp_path / "out")
    row = read_manifest(tmp_path / "out" / "manifest.parquet").iloc[0]
    assert not row["is_decodable"]
    assert (row["width_px"], row["height_px"]) == (6500, 4000)
    assert "at most 25 megapixels, found 6500 x 4000" in row["decode_error"]


def test_perceptual_hash_knows_a_picture_again_in_other_bytes(tmp_path: Path):
    """A re-encoded, shrunken copy is within the data contract's two bits of 64, another picture is far away."""
    copy = _texture(3).resize((120, 90))
    pictures = {"a.png": encode(_texture(3)), "b.jpg": encode(copy, "JPEG", quality=85), "c.png": encode(_texture(4))}
    write_files(tmp_path / "in", pictures)
    write_csv(tmp_path / "in" / "c.csv", [["image", "caption"], *([name, "x"] for name in pictures)])
    ingest(_params(split_column=None), source_folder=tmp_path / "in", out_folder=tmp_path / "out")
    rows = read_manifest(tmp_path / "out" / "manifest.parquet")
    a, b, c = (int(text, 16) for text in rows["perceptual_hash"])
    assert rows["sha256"].nunique() == 3
    assert (a ^ b).bit_count() <= 2
    assert (a ^ c).bit_count() > 15


def _truncate(folder: Path) -> None:
    (folder / "0.png").write_bytes(_PICTURE[:100])


def _remove(folder: Path) -> None:
    (folder / "0.png").unlink()


def _climb(folder: Path) -> None:
    with (folder / "captions.csv").open("a") as file:
        file.write("../0.png,A dog .,train\n")


@pytest.mark.parametrize(
    ("damage", "match"), [(_truncate, r"0\.png: .*cut off"), (_remove, r"0\.png: .*missing"), (_climb, "leads out")]
)
def test_too_much_damage_stops_after_the_files_are_written(tmp_path: Path, damage: Callable[[Path], None], match: str):
    """Over the limit the stage fails, names the first offenders and the quarantine file, and leaves both files."""
    write_table_dataset(tmp_path / "in")
    damage(tmp_path / "in")
    with pytest.raises(DataError, match=match) as raised:
        ingest(_params(), source_folder=tmp_path / "in", out_folder=tmp_path / "out")
    assert str(tmp_path / "out" / "quarantine.parquet") in str(raised.value)
    for name in ("manifest.parquet", "quarantine.parquet", "ingest.json"):
        assert (tmp_path / "out" / name).is_file()


def test_damage_below_the_limit_goes_on(tmp_path: Path):
    """One image of ten is accepted at a limit of a tenth."""
    write_table_dataset(tmp_path / "in")
    _remove(tmp_path / "in")
    params = _params(max_rejected_fraction=0.1)
    result = ingest(params, source_folder=tmp_path / "in", out_folder=tmp_path / "out")
    assert (result.num_images, result.num_images_quarantined, result.num_captions_quarantined) == (9, 1, 2)
    (row,) = pq.read_table(tmp_path / "out" / "quarantine.parquet").to_pylist()
    assert (row["image_id"], len(row["captions"])) == ("0.png", 2)


def test_an_empty_data_set_is_refused(tmp_path: Path):
    """Nothing in is an error, not an empty manifest that passes on."""
    write_files(tmp_path / "in", {"c.csv": b"image,caption,split\n"})
    with pytest.raises(DataError, match="found none"):
        ingest(_params(), source_folder=tmp_path / "in", out_folder=tmp_path / "out")


def test_a_missing_data_set_is_refused(tmp_path: Path):
    """No folder, no manifest."""
    with pytest.raises(SourceError, match="found no folder"):
        ingest(_params(), source_folder=tmp_path / "in", out_folder=tmp_path / "out")


_DAMAGED_ROWS = st.lists(
    st.tuples(
        st.sampled_from(
            ["good.png", "other.png", "half.png", "text.png", "gone.png", "../x.png", "/x.png", "", "split.png"]
        ),
        st.sampled_from(["A dog .", "", 'A "dog", really', "\u00e9\u4e2d", "\u2028"]),
        st.sampled_from(["train", "test", "val", "holdout"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=25,
)


@given(rows=_DAMAGED_ROWS)
@settings(max_examples=60, deadline=None)
def test_whatever_goes_in_comes_out_or_is_quarantined(rows: list[tuple[str, str, str, bool]]):
    """Under any mixture of faults every caption and every named image is in the manifest or in quarantine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pictures = {"good.png": _PICTURE, "other.png": encode(gradient(seed=1)), "split.png": _PICTURE}
        write_files(folder, {**pictures, "half.png": _PICTURE[:90], "text.png": b"text"})
        # A row with one cell too many cannot be read as columns; it counts as one caption of no image.
        table = [[image, caption, split, *(["extra"] if is_long else [])] for image, caption, split, is_long in rows]
        write_csv(folder / "c.csv", [["image", "caption", "split"], *table])
        out = folder / "out"
        result = ingest(_params(max_rejected_fraction=1.0), source_folder=folder, out_folder=out)
        manifest = read_manifest(out / "manifest.parquet")
        quarantine = pq.read_table(out / "quarantine.parquet").to_pandas()
    num_captions = sum(map(len, manifest["captions"])) + sum(map(len, quarantine["captions"]))
    assert num_captions == result.num_captions_in == len(rows)
    named = {image for image, _, _, is_long in rows if image and not is_long}
    assert {*manifest["image_id"], *quarantine["image_id"]} - {""} == named
    assert result.num_images_in == result.num_images + result.num_images_quarantined == len(named)
    assert set(manifest["image_id"]) <= {"good.png", "other.png", "half.png", "text.png", "split.png"}
