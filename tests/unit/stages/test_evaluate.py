"""The stage `evaluate`, whole, on tiny data."""

import json
from dataclasses import replace

import pytest

from captiongen.data.captions_table import read_captions, read_facts
from captiongen.data.images import decode_image
from captiongen.data.shards import open_processed, write_index
from captiongen.errors import DataError
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.report import read_report
from captiongen.model.checkpoint import load_captioner
from captiongen.params import EvaluateParams
from captiongen.stages.evaluate import evaluate
from tests.tiny import tiny_model_folder, tiny_processed

PARAMS = EvaluateParams(split="test", batch_size=3, num_resamples=100)


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    tiny_processed(folder / "data")
    tiny_model_folder(folder / "model")
    result = evaluate(PARAMS, model_folder=folder / "model", data_folder=folder / "data", out_folder=folder / "out")
    return folder, result


def test_every_image_of_the_split_is_captioned_once(evaluated):
    """The table holds the split's images in order, with their references."""
    folder, result = evaluated
    rows = read_captions(folder / "out" / "captions.parquet")
    references = open_processed(folder / "data").references("test")
    assert tuple(rows) == result.captions
    assert {row.image_id: row.references for row in rows} == references


def test_captions_are_those_the_service_would_give(evaluated):
    """Captioning the stored picture as an upload gives the evaluated caption."""
    folder, result = evaluated
    engine = CaptionEngine.load(folder / "model")
    for row, captioned in zip(open_processed(folder / "data").rows("test"), result.captions, strict=True):
        [served] = engine.caption([decode_image(row.image_png)])
        assert served.best.caption == captioned.hypotheses[0].caption
        assert served.best.log_probability == pytest.approx(captioned.hypotheses[0].log_probability, abs=1e-4)


def test_lists_have_all_beams_and_begin_with_the_caption_that_is_served(evaluated):
    """A service that shows one caption is analysed by all that its search found, and they change nothing in it."""
    folder, _ = evaluated
    loaded, data = load_captioner(folder / "model"), open_processed(folder / "data")
    decode = loaded.manifest.decode.model_copy(update={"num_beams": 5, "num_hypotheses": 1})
    engine = CaptionEngine(replace(loaded, manifest=loaded.manifest.model_copy(update={"decode": decode})))
    for row, captioned in zip(data.rows("test"), caption_split(engine, data, "test", batch_size=3), strict=True):
        [served] = engine.caption([decode_image(row.image_png)])
        assert len(captioned.hypotheses) == 5
        assert [one.caption for one in served.hypotheses] == [captioned.hypotheses[0].caption]


def test_the_files_say_what_was_evaluated(evaluated):
    """Model, split and decoding stand in the table's metadata and in the metrics' signature."""
    folder, _ = evaluated
    facts = read_facts(folder / "out" / "captions.parquet")
    manifest = CaptionEngine.load(folder / "model").manifest
    assert facts["model_sha256"] == manifest.weights_sha256
    assert facts["split_hash"] == open_processed(folder / "data").split_hashes["test"]
    text = json.dumps(json.loads((folder / "out" / "metrics.json").read_text()))
    assert facts["split_hash"] in text
    assert manifest.decode.describe() in text


def test_the_report_says_what_to_expect_of_single_captions(evaluated):
    """Rates, calibration errors and the risk-coverage curve are of the captions in the table."""
    folder, result = evaluated
    report = read_report(folder / "out" / "metrics.json")
    assert report.reliability == result.report.reliability
    cut = [not row.hypotheses[0].is_complete for row in result.captions]
    assert report.reliability.truncated == sum(cut) / len(cut)
    last = (folder / "out" / "risk_coverage.csv").read_text().splitlines()[-1].split(",")
    assert float(last[0]) == 1.0
    assert float(last[1]) == pytest.approx(report.metrics["cider"].value)


def test_data_prepared_in_another_way_are_refused(evaluated, tmp_path):
    """A captioner is not scored on pictures of another size than it wants."""
    folder, _ = evaluated
    other = tiny_processed(tmp_path / "data")
    data = open_processed(other)
    write_index(replace(data, preprocessing=replace(data.preprocessing, resize="crop")))
    with pytest.raises(DataError, match="captiongen score"):
        evaluate(PARAMS, model_folder=folder / "model", data_folder=other, out_folder=tmp_path / "out")
