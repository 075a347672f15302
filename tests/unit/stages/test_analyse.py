"""The stage `analyse`: a table of all captions, a summary, tasks for labelling, and a page."""

import base64
import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from evaluated import Evaluated, evaluated, hypothesis
from PIL import Image

from captiongen.analysis.report import render_page
from captiongen.analysis.slicing.comparison import compare
from captiongen.analysis.slicing.properties import Property
from captiongen.analysis.tables import WORST_SCHEMA, shown_tables, summarise
from captiongen.data.captions_table import read_facts, write_captions
from captiongen.errors import DataError
from captiongen.metrics.report import read_report
from captiongen.params import AnalyseParams

FILES = {"worst.parquet", "findings.json", "index.html", "label_studio.json", "label_studio.xml"}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluated, Path]:
    """An evaluation, and its analysis against itself."""
    folder = tmp_path_factory.mktemp("evaluated")
    done = evaluated(folder)
    done.analyse(folder / "analysis", rival=done.evaluation_folder / "captions.parquet")
    return done, folder / "analysis"


@pytest.fixture
def done(tmp_path: Path) -> Evaluated:
    return evaluated(tmp_path)


def _cards(page: str) -> list[dict]:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_table_holds_every_image_worst_first(kept: tuple[Evaluated, Path]):
    """worst.parquet has a row for each evaluated image, ordered by badness, wrong captions before right ones."""
    done, folder = kept
    table = pq.read_table(folder / "worst.parquet")
    assert table.schema.equals(WORST_SCHEMA)
    rows = table.to_pylist()
    assert [row["rank"] for row in rows] == list(range(1, 9))
    assert sorted((row["badness"] for row in rows), reverse=True) == [row["badness"] for row in rows]
    assert {row["image_id"] for row in rows[:3]} == {f"test_{n}.png" for n in ("red_ball", "red_box", "blue_box")}
    by_id = {one.image_id: one for one in done.images}
    assert rows[0]["references"] == list(by_id[rows[0]["image_id"]].references)
    assert rows[0]["alternatives"] == [by_id[rows[0]["image_id"]].hypotheses[1].caption]


def test_errors_are_named_in_the_table(kept: tuple[Evaluated, Path]):
    """A cut caption is truncated, a doubled word is repeated, and one that stands in the train split is copied."""
    rows = {row["image_id"]: row for row in pq.read_table(kept[1] / "worst.parquet").to_pylist()}
    found = {name: {error["type"] for error in row["errors"]} for name, row in rows.items()}
    assert {"truncation", "repetition"} <= found["test_blue_box.png"]
    assert "repetition" in found["test_red_ball.png"]
    assert found["test_green_ball.png"] == {"copied"}
    assert rows["test_blue_box.png"]["is_truncated"]


def test_the_nearest_training_picture_is_the_one_that_shows_the_same(kept: tuple[Evaluated, Path]):
    """Each test picture has a twin in the train split here."""
    rows = pq.read_table(kept[1] / "worst.parquet").to_pylist()
    assert {row["nearest_training_image"].removeprefix("train") for row in rows} == {
        row["image_id"].removeprefix("test") for row in rows
    }
    assert all(row["similarity"] > 0.99 for row in rows)


def test_the_summary_prices_errors_and_blames_somebody(kept: tuple[Evaluated, Path]):
    """findings.json has a gain with its interval for each mendable type, shares of faults, and the comparison."""
    summary = json.loads((kept[1] / "findings.json").read_text())
    assert summary["num_images"] == 8
    costs = {cost["type"]: cost for cost in summary["costs"]}
    assert costs["repetition"]["num_captions"] == 3
    assert (
        costs["repetition"]["gain"]["low"] <= costs["repetition"]["gain"]["mean"] <= costs["repetition"]["gain"]["high"]
    )
    assert costs[None]["gain"]["mean"] >= max(cost["gain"]["mean"] for cost in summary["costs"] if cost["gain"])
    assert 0 < sum(summary["faults"].values()) <= 1
    assert summary["comparison"]["fixed"] == summary["comparison"]["broken"] == []
    assert summary["comparison"]["difference"]["mean"] == 0


def test_the_page_needs_nothing_from_outside(kept: tuple[Evaluated, Path]):
    """Pictures are embedded, two a card, and no address is fetched."""
    page = (kept[1] / "index.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 2 * 8
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "http" not in re.sub(r"http-equiv", "", page)


def test_a_page_of_few_images_says_so(kept: tuple[Evaluated, Path]):
    """Where all are shown none are called the worst, and no list of slices opens where there are none, but a reason."""
    page = (kept[1] / "index.html").read_text(encoding="utf-8")
    assert "8 images, all shown below, the worst first." in page
    assert "<details>" not in page
    assert "a slice has 15 images or more" in page
    assert "no slice has the 15 images that it takes to tell" in page


def test_captions_cannot_inject_markup(kept: tuple[Evaluated, Path]):
    """What a model says is text, whatever it says: no caption can end the script that holds it."""
    page = (kept[1] / "index.html").read_text(encoding="utf-8")
    assert "<b>ball" not in page
    assert any("<b>ball</b>" in card["nbest"][0][1] for card in _cards(page))


def test_a_card_has_attention_for_every_word(kept: tuple[Evaluated, Path]):
    """One map a word, of the side that the card says, four base64 letters for three bytes."""
    card = next(card for card in _cards((kept[1] / "index.html").read_text()) if card["id"] == "test_green_ball.png")
    num_bytes = len(card["words"]) * card["grid"] ** 2
    assert len(card["attention"]) == 4 * -(-num_bytes // 3)
    assert card["aspect"] == 2.0
    assert [word[0] for word in card["words"]] == ["a", "green", "ball"]


def test_a_card_shows_the_nearest_training_picture_small(kept: tuple[Evaluated, Path]):
    """In the shape of the original, twice as wide as high here, and of 80 px: a thousand are 3 MB."""
    for card in _cards((kept[1] / "index.html").read_text()):
        image_id, _, _, thumbnail = card["near"]
        assert image_id == card["id"].replace("test", "train")
        picture = Image.open(BytesIO(base64.b64decode(thumbnail.removeprefix("data:image/jpeg;base64,"))))
        assert picture.size == (80, 40)


def test_tasks_fit_the_labelling_interface(kept: tuple[Evaluated, Path]):
    """Every variable of the interface is in every task's data, and every predicted choice is one of its choices."""
    interface = ElementTree.parse(kept[1] / "label_studio.xml")  # noqa: S314 - written by the product
    tasks = json.loads((kept[1] / "label_studio.json").read_text())
    variables = {node.get("value")[1:] for node in interface.iter() if (node.get("value") or "").startswith("$")}
    choices = {node.get("value") for node in interface.iter("Choice")}
    names = {node.get("name") for node in interface.iter()}
    assert len(tasks) == 8
    for task in tasks:
        assert variables <= task["data"].keys()
        (result,) = task["predictions"][0]["result"]
        assert {result["from_name"], result["to_name"]} <= names
        assert set(result["value"]["choices"]) <= choices


def test_an_analysis_can_be_shown_as_tables(kept: tuple[Evaluated, Path]):
    """Worst captions with their errors in words, costs and regressions; numbers are rounded for people."""
    tables = {table.key: table.rows for table in shown_tables(kept[1], num_worst=2)}
    assert [row["rank"] for row in tables["worst-captions"]] == [1, 2]
    assert any("repetition: dog" in row["errors"] for row in tables["worst-captions"])
    assert tables["error-costs"][-1]["error"] == "all of them"
    assert tables["slices"] == tables["regressions"] == ()  # eight images have no slice of fifteen


def test_each_slice_is_shown_with_what_was_fixed_and_broken_in_it(done: Evaluated, tmp_path: Path):
    """Tables and page count the captions of a slice that another model had right, or wrong, beside those unchanged."""
    is_dog = np.arange(40) < 20
    theirs, human = np.full(40, 60.0), np.full(40, 80.0)
    ours = np.where(np.arange(40) < 3, 90.0, 60.0)
    compared = compare(
        list(map(str, range(40))), ours, theirs, human, {Property("topic", "dogs"): is_dog}, num_resamples=100, seed=0
    )
    found = replace(done.analyse(tmp_path / "analysis").findings, comparison=compared)
    (tmp_path / "analysis" / "findings.json").write_text(summarise(found))
    ((row,),) = [one.rows for one in shown_tables(tmp_path / "analysis", num_worst=1) if one.key == "regressions"]
    assert (row["captions fixed"], row["captions broken"], row["unchanged"]) == (3, 0, 17)
    report = read_report(done.evaluation_folder / "metrics.json")
    page = render_page(found, (), report, {}, dataset="tiny", model="")
    assert "dogs</th><td>20</td><td>3</td><td>0</td><td>17</td>" in page


def test_the_page_shows_as_many_as_asked_for(done: Evaluated, tmp_path: Path):
    """`num_shown` bounds the cards, `num_worst` the tasks; the table keeps all. The page says how many of how many."""
    done.analyse(tmp_path / "analysis", AnalyseParams(num_shown=3, num_worst=2))
    page = (tmp_path / "analysis" / "index.html").read_text()
    assert len(_cards(page)) == 3
    assert "8 images, the worst 3 are shown below." in page
    assert len(json.loads((tmp_path / "analysis" / "label_studio.json").read_text())) == 2
    assert pq.read_metadata(tmp_path / "analysis" / "worst.parquet").num_rows == 8


def test_the_page_lists_the_first_captions_and_the_best_of_all_beams(done: Evaluated, tmp_path: Path):
    """Of a wide search three captions are listed, and a better one further down with its place; the table has all."""
    image = done.images[0]
    beams = [hypothesis(f"a man with hat {number}") for number in range(16)]
    beams[9] = hypothesis(image.references[0])
    captions = done.evaluation_folder / "captions.parquet"
    wide = [replace(image, hypotheses=(*image.hypotheses[:1], *beams[1:])), *done.images[1:]]
    write_captions(captions, wide, facts=read_facts(captions))
    done.analyse(tmp_path / "analysis")
    (card,) = (
        card for card in _cards((tmp_path / "analysis" / "index.html").read_text()) if card["id"] == image.image_id
    )
    assert [place for place, _, _ in card["nbest"]] == [0, 1, 2, 9]
    (row,) = pq.read_table(
        tmp_path / "analysis" / "worst.parquet", filters=[("image_id", "=", image.image_id)]
    ).to_pylist()
    assert len(row["alternatives"]) == 15


def test_a_matcher_compares_captions_with_people_s_where_the_captioner_has_one(tmp_path: Path):
    """Likeness to the references is part of badness then; the picture is asked in no case."""
    for has_reranker in (True, False):
        folder = tmp_path / str(has_reranker)
        found = evaluated(folder, has_reranker=has_reranker).analyse(folder / "analysis").findings
        judgements = [one.judged.judgement for one in found.captions]
        assert [one.likeness is not None for one in judgements] == 8 * [has_reranker]
        assert all(one.image_score is None for one in judgements)


def test_the_same_evaluation_gives_the_same_bytes(kept: tuple[Evaluated, Path], tmp_path: Path):
    """Analysing twice changes nothing, so DVC's hash of the folder stays."""
    done, folder = kept
    done.analyse(tmp_path / "again", rival=done.evaluation_folder / "captions.parquet")
    assert {path.name for path in folder.iterdir()} == FILES
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("fact", "message"), [("split_hash", "same test split"), ("model_sha256", "captions of model")]
)
def test_captions_of_other_data_or_of_another_model_are_refused(
    done: Evaluated, tmp_path: Path, fact: str, message: str
):
    """What does not belong together stops the stage, and nothing is written."""
    captions = done.evaluation_folder / "captions.parquet"
    write_captions(captions, done.images, facts=read_facts(captions) | {fact: "0" * 64})
    with pytest.raises(DataError, match=message):
        done.analyse(tmp_path / "analysis")
    assert not (tmp_path / "analysis").exists()


def test_metrics_of_other_captions_are_refused(done: Evaluated, tmp_path: Path):
    """A metrics file that lacks an image stops the stage."""
    path = done.evaluation_folder / "metrics.json"
    report = json.loads(path.read_text())
    report["per_image"].pop()
    path.write_text(json.dumps(report))
    with pytest.raises(DataError, match="dvc repro evaluate"):
        done.analyse(tmp_path / "analysis")


def test_a_rival_that_captioned_other_images_is_refused(done: Evaluated, tmp_path: Path):
    """Two models are compared on the same images or not at all."""
    write_captions(tmp_path / "rival.parquet", done.images[:-1])
    with pytest.raises(DataError, match="same images"):
        done.analyse(tmp_path / "analysis", rival=tmp_path / "rival.parquet")
