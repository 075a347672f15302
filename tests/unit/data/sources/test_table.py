"""One's own images: CSV, TSV and JSONL beside a folder."""

import json
import random
from pathlib import Path

import pytest

from captiongen.data.sources import open_source
from captiongen.errors import SourceError
from captiongen.params import IngestParams, TableParams
from tests.datasets import write_csv, write_files

_IMAGES = {f"images/{k}.png": bytes([k]) for k in range(4)}


def _params(**table: object) -> IngestParams:
    return IngestParams(source="table", path="", name="mine", table=TableParams(images_folder="images", **table))


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_several_rows_per_image(tmp_path: Path, suffix: str):
    """One caption per row, in any of the formats; commas, quotes and line breaks inside captions are kept."""
    captions = ['A dog, "Rex", runs.', "Two\nlines", "Straße"]
    rows = [["image", "caption"], *(["1.png", caption] for caption in captions), ["2.png", "A cat."]]
    write_files(tmp_path, _IMAGES)
    if suffix == "jsonl":
        records = [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
        (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, records)) + "\n\n", encoding="utf-8")
    else:
        write_csv(tmp_path / f"c.{suffix}", rows, delimiter="," if suffix == "csv" else "\t")
    source = open_source(_params(), tmp_path)
    assert {item.image_id: item.captions for item in source.items()} == {
        "1.png": tuple(captions),
        "2.png": ("A cat.",),
    }
    assert source.read("1.png") == b"\x01"
    assert source.rejections() == ()


def test_several_columns_per_image(tmp_path: Path):
    """One column per caption; an empty cell means one caption fewer."""
    write_files(tmp_path, _IMAGES)
    write_csv(tmp_path / "c.csv", [["file", "c1", "c2"], ["1.png", "A dog.", "Rex."], ["2.png", "", "A cat."]])
    source = open_source(_params(image_column="file", caption_columns=("c1", "c2")), tmp_path)
    assert [item.captions for item in source.items()] == [("A dog.", "Rex."), ("A cat.",)]


def test_a_json_list_holds_several_captions(tmp_path: Path):
    """JSONL may give all captions of an image at once."""
    write_files(tmp_path, {**_IMAGES, "c.jsonl": b'{"image": "1.png", "caption": ["A dog.", "Rex."]}'})
    assert next(open_source(_params(), tmp_path).items()).captions == ("A dog.", "Rex.")


def test_an_empty_caption_stays_for_the_contract(tmp_path: Path):
    """A row without caption is not dropped: the empty caption goes on, where validation names it."""
    write_files(tmp_path, _IMAGES)
    write_csv(tmp_path / "c.csv", [["image", "caption"], ["1.png", ""]])
    assert next(open_source(_params(), tmp_path).items()).captions == ("",)


def test_split_column(tmp_path: Path):
    """The column decides, in any usual spelling; an unknown name is rejected, not guessed."""
    write_files(tmp_path, _IMAGES)
    rows = [["image", "caption", "part"], ["0.png", "a", "Train"], ["1.png", "a", "val"], ["2.png", "a", "holdout"]]
    write_csv(tmp_path / "c.csv", rows)
    source = open_source(_params(split_column="part"), tmp_path)
    assert {item.image_id: item.split for item in source.items()} == {"0.png": "train", "1.png": "dev"}
    assert "'holdout' is no split" in source.rejections()[0].reason


def test_seeded_split_is_by_image_and_independent_of_row_order(tmp_path: Path):
    """All captions of an image share its split, and shuffled rows give the same splits."""
    rows = [[f"{k}.png", f"caption {n}"] for k in range(60) for n in range(3)]
    write_files(tmp_path, {f"images/{k}.png": b"" for k in range(60)})
    drawn = []
    for seed in (0, 1):
        random.Random(seed).shuffle(rows)
        write_csv(tmp_path / "c.csv", [["image", "caption"], *rows])
        items = list(open_source(_params(), tmp_path).items())
        assert [len(item.captions) for item in items] == [3] * 60
        drawn.append({item.image_id: item.split for item in items})
    assert drawn[0] == drawn[1]
    assert set(drawn[0].values()) == {"train", "dev", "test"}


def test_faulty_rows_are_rejected_by_number(tmp_path: Path):
    """Unquoted commas, missing and unsafe names: each row is listed with its captions."""
    write_files(tmp_path, {**_IMAGES, "secret.png": b""})
    lines = [
        "image,caption",
        "1.png,A dog, running.",
        ",No name.",
        "../secret.png,A key.",
        "9.png,Gone.",
        "2.png,A cat.",
    ]
    (tmp_path / "c.csv").write_text("\n".join(lines))
    source = open_source(_params(), tmp_path)
    assert [item.image_id for item in source.items()] == ["2.png"]
    reasons = {rejection.captions[0]: rejection.reason for rejection in source.rejections()}
    assert "row 2" in reasons["1.png\tA dog\t running."]
    assert "no image path" in reasons["No name."]
    assert "leads out" in reasons["A key."]
    assert "missing" in reasons["Gone."]


def test_json_that_is_no_row_is_rejected(tmp_path: Path):
    """Broken lines, lists and captions that are no text are listed."""
    lines = ['{"image": "1.png", "caption": NaN}', "[1]", "{broken", '{"image": "2.png", "caption": "A cat."}']
    write_files(tmp_path, {**_IMAGES, "c.jsonl": "\n".join(lines).encode()})
    source = open_source(_params(), tmp_path)
    assert [item.image_id for item in source.items()] == ["2.png"]
    assert sorted(rejection.captions[0] for rejection in source.rejections()) == ["[1]", "nan", "{broken"]


@pytest.mark.parametrize(
    ("files", "match"),
    [
        ({}, "found none"),
        ({"a.csv": b"", "b.tsv": b""}, r"a\.csv, b\.tsv"),
        ({"a.csv": b"picture;text\n1.png;A dog."}, "picture;text"),
        ({"a.csv": b"image,caption,caption\n1.png,A,B"}, "different columns"),
        ({"a.csv": b""}, "found none"),
        ({"a.csv": "image,caption\n1.png,caf\u00e9".encode("latin-1")}, "no UTF-8"),
        ({"a.csv": b'image,caption\n1.png,"never closed'}, "no valid table row"),
    ],
)
def test_other_tables_are_refused(tmp_path: Path, files: dict[str, bytes], match: str):
    """No table, several, other columns, another encoding: one clear line each."""
    write_files(tmp_path, {**_IMAGES, **files})
    with pytest.raises(SourceError, match=match):
        open_source(_params(), tmp_path)
