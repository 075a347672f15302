"""captions.parquet comes back as it was written, or says what to do."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evaluated import captioned, hypothesis

from captiongen.data.captions_table import read_captions, read_facts, write_captions
from captiongen.errors import ShardError
from captiongen.types import WordScore


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [captioned(f"{number}.png", hypothesis("a red ball"), references=("A ball .",)) for number in range(200)]
    write_captions(tmp_path / "captions.parquet", rows, facts={"split_hash": "0"})
    return tmp_path / "captions.parquet"


def test_captions_and_facts_come_back(table: Path):
    """Every row returns in order, and the metadata beside them."""
    assert [row.image_id for row in read_captions(table)] == [f"{number}.png" for number in range(200)]
    assert read_facts(table) == {"split_hash": "0"}


def test_a_table_from_before_there_was_a_calibration_is_read(tmp_path: Path):
    """A champion of an earlier version can still be compared with: its captions have no confidence."""
    word = {"word": "ball", "probability": 0.5}
    best = {"caption": "ball", "words": [word], "log_probability": -1.0, "score": -1.0, "is_complete": True}
    row = {"image_id": "a.png", "hypotheses": [best], "references": ["A ball ."]}
    old = pa.Table.from_pylist([row]).replace_schema_metadata({"captiongen": '{"split_hash": "0"}'})
    pq.write_table(old, tmp_path / "captions.parquet")
    [read] = read_captions(tmp_path / "captions.parquet")
    assert read.hypotheses[0].words == (WordScore("ball", 0.5, None),)
    assert read.hypotheses[0].confidence is None
    assert read_facts(tmp_path / "captions.parquet") == {"split_hash": "0"}


@pytest.mark.parametrize("damage", ["missing", "cut off", "overwritten", "footer", "page", "folder"])
def test_a_damaged_table_says_what_to_run(table: Path, damage: str):
    """Whatever is wrong with the file is an error of the data with a remedy, and no traceback."""
    whole = table.read_bytes()
    middle, footer = len(whole) // 4, len(whole) - 200
    table.unlink()
    content = {
        "cut off": whole[: len(whole) // 2],
        "overwritten": b"no table",
        "footer": whole[:footer] + b"\xff" * 100 + whole[footer + 100 :],
        "page": whole[:middle] + b"\xff" * 200 + whole[middle + 200 :],
    }
    if damage == "folder":
        table.mkdir()
        (table / "x.parquet").write_bytes(b"no table")
    elif damage != "missing":
        table.write_bytes(content[damage])
    with pytest.raises(ShardError, match=r"dvc repro evaluate") as caught:
        read_captions(table)
    if damage == "missing":
        assert str(caught.value).count(str(table)) == 1
