"""The stage `analyse`: a table of all captions and a page of the worst."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from evaluated import Evaluated, evaluated

from captiongen.data.captions_table import read_facts, write_captions
from captiongen.errors import DataError
from captiongen.params import AnalyseParams
from captiongen.stages.analyse import WORST_SCHEMA, AnalysisResult, analyse


@pytest.fixture
def done(tmp_path: Path) -> Evaluated:
    return evaluated(tmp_path)


def _analyse(done: Evaluated, out_folder: Path, num_worst: int = 3) -> AnalysisResult:
    return analyse(
        AnalyseParams(num_worst=num_worst),
        evaluation_folder=done.evaluation_folder,
        data_folder=done.data_folder,
        split="test",
        out_folder=out_folder,
    )


def test_the_table_holds_every_image_worst_first(done: Evaluated, tmp_path: Path):
    """worst.parquet has a row for each evaluated image, ordered by badness, wrong captions before right ones."""
    result = _analyse(done, tmp_path / "analysis")
    table = pq.read_table(tmp_path / "analysis" / "worst.parquet")
    assert table.schema.equals(WORST_SCHEMA)
    rows = table.to_pylist()
    assert [row["rank"] for row in rows] == list(range(1, 9))
    assert sorted((row["badness"] for row in rows), reverse=True) == [row["badness"] for row in rows]
    assert {row["image_id"] for row in rows[:3]} == {"red_ball.png", "red_box.png", "blue_box.png"}
    assert [one.image.image_id for one in result.ranked] == [row["image_id"] for row in rows]
    assert rows[0]["references"] == list(result.ranked[0].image.references)
    assert rows[0]["alternatives"] == [result.ranked[0].image.hypotheses[1].caption]


def test_the_page_needs_nothing_from_outside(done: Evaluated, tmp_path: Path):
    """Pictures are embedded, one a card, and no address is fetched."""
    page = _analyse(done, tmp_path / "analysis").page.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 3 + 5
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_captions_cannot_inject_markup(done: Evaluated, tmp_path: Path):
    """What a model says is text, whatever it says."""
    page = _analyse(done, tmp_path / "analysis").page.read_text(encoding="utf-8")
    assert "&lt;b&gt;ball&lt;/b&gt;" in page
    assert "<b>ball" not in page


def test_best_captions_never_repeat_worst_ones(done: Evaluated, tmp_path: Path):
    """With as many worst as images no card is shown twice."""
    page = _analyse(done, tmp_path / "analysis", num_worst=50).page.read_text(encoding="utf-8")
    assert page.count("<article") == 8
    assert 'data-group="best"' not in page


def test_the_same_evaluation_gives_the_same_bytes(done: Evaluated, tmp_path: Path):
    """Analysing twice changes nothing, so DVC's hash of the folder stays."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        _analyse(done, folder)
    for name in ("worst.parquet", "index.html"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()


def test_another_split_is_refused_and_nothing_is_replaced(done: Evaluated, tmp_path: Path):
    """Captions of other images than the data's stop the stage; the earlier analysis stays."""
    _analyse(done, tmp_path / "analysis")
    before = (tmp_path / "analysis" / "index.html").read_bytes()
    captions = done.evaluation_folder / "captions.parquet"
    write_captions(captions, done.images, facts=read_facts(captions) | {"split_hash": "0" * 64})
    with pytest.raises(DataError, match="same test split"):
        _analyse(done, tmp_path / "analysis", num_worst=1)
    assert (tmp_path / "analysis" / "index.html").read_bytes() == before


def test_metrics_of_other_captions_are_refused(done: Evaluated, tmp_path: Path):
    """A metrics file that lacks an image stops the stage."""
    path = done.evaluation_folder / "metrics.json"
    report = json.loads(path.read_text())
    report["per_image"].pop()
    path.write_text(json.dumps(report))
    with pytest.raises(DataError, match="dvc repro evaluate"):
        _analyse(done, tmp_path / "analysis")
