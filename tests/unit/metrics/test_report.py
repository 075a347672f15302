"""The report: what it holds, how it is kept, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import pytest

from captiongen.errors import DataError
from captiongen.metrics.report import format_report, read_report, score_captions, write_report
from captiongen.types import MetricsReport

COLOURS = ("red", "green", "blue", "white", "black")
THINGS = ("ball", "box", "kite", "boat")
REFERENCES = {
    f"{colour} {thing}": [
        f"A {colour} {thing} lies on the sand.",
        f"There is one {colour} {thing}.",
        f"Somebody left a {colour} {thing} here!",
    ]
    for colour in COLOURS
    for thing in THINGS
}


def _say(image_id: str) -> str:
    return f"a {image_id} lies on the sand" if len(image_id) % 2 else f"a {image_id} is in the sand"


def _score(hypotheses: dict[str, str] | None = None, references: dict | None = None, *, seed: int = 0) -> MetricsReport:
    hypotheses = hypotheses or {image_id: _say(image_id) for image_id in REFERENCES}
    return score_captions(
        hypotheses, references or REFERENCES, decoding="beam3", split_hash="a" * 64, num_resamples=200, seed=seed
    )


def test_a_report_is_complete():
    """Each metric has its interval around it, a human ceiling and a floor; every image has its own scores."""
    report = _score()
    assert list(report.metrics) == ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
    for metric in report.metrics.values():
        assert metric.low <= metric.value <= metric.high
        assert metric.human is not None
        assert metric.floor < metric.value
    assert [image.image_id for image in report.per_image] == list(REFERENCES)
    assert report.metrics["cider"].value == pytest.approx(sum(i.cider for i in report.per_image) / len(REFERENCES))


def test_a_constant_caption_scores_its_floor_at_most():
    """A captioner that always says the most typical caption does not beat the floor."""
    report = _score(dict.fromkeys(REFERENCES, "there is one red ball"))
    assert report.metrics["cider"].value <= report.metrics["cider"].floor


def test_the_order_of_images_has_no_say():
    """Point values, ceiling and floor do not depend on the order of the images."""
    backwards = _score(references={image_id: REFERENCES[image_id] for image_id in reversed(REFERENCES)})
    for name, metric in _score().metrics.items():
        other = backwards.metrics[name]
        assert (other.value, other.human, other.floor) == pytest.approx((metric.value, metric.human, metric.floor))


def test_the_signature_names_the_protocol():
    """What makes numbers comparable stands beside them."""
    signature = _score().signature
    assert (signature.num_images, signature.references_per_image, signature.decoding) == (20, "3", "beam3")
    assert "20 images" in signature.df_source
    uneven = _score(references=REFERENCES | {"red ball": ["a red ball"]}).signature
    assert uneven.references_per_image == "1-3"


def test_one_reference_has_no_human_ceiling():
    """Where an image has a single reference nobody can be left out, and no ceiling is made up."""
    report = _score(references=REFERENCES | {"red ball": ["a red ball"]})
    assert {metric.human for metric in report.metrics.values()} == {None}
    human = {image.image_id: image.human_cider for image in report.per_image}
    assert human.pop("red ball") is None
    assert None not in human.values()


def test_a_report_survives_the_disk(tmp_path: Path):
    """What is read is what was written."""
    report = _score()
    write_report(tmp_path / "metrics.json", report)
    assert read_report(tmp_path / "metrics.json") == report


def test_the_same_captions_give_the_same_bytes(tmp_path: Path):
    """Scoring twice with one seed writes identical files: a repeated stage changes nothing."""
    for name in ("first", "second"):
        write_report(tmp_path / name, _score())
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()


def test_a_damaged_report_is_refused(tmp_path: Path):
    """Half a file, or none, is an error that says what to run."""
    path = tmp_path / "metrics.json"
    with pytest.raises(DataError, match="captiongen evaluate"):
        read_report(path)
    write_report(path, _score())
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match="no metrics report"):
        read_report(path)


def test_the_table_can_be_read():
    """The plain-text table names each metric with its numbers, and a dash where there is no ceiling."""
    report = _score()
    cider = replace(report.metrics["cider"], value=58.94, low=54.0, high=63.2, human=None, floor=9.7)
    table = format_report(replace(report, metrics={"cider": cider}))
    assert "CIDEr-D" in table
    assert table.splitlines()[1].split() == ["CIDEr-D", "58.9", "54.0", "..", "63.2", "-", "9.7"]
    assert "aaaaaaaaaaaa" in table
