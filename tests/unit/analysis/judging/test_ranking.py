"""Badness: captions in the order in which people would complain of them."""

from dataclasses import replace

import pytest
from evaluated import captioned, hypothesis, scored

from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.judging.judge import Judge
from captiongen.analysis.judging.ranking import judge_captions, worst_first
from captiongen.errors import DataError

REFERENCES = ("a brown dog runs on the beach", "a dog running across the sand", "the wet dog runs on a beach")
OTHERS = ("a man rides a bicycle", "a cyclist on a road", "a man on a bike in the street")


def judged(*images):
    references = {image.image_id: image.references for image in images} | {"other": OTHERS}
    scores = [scored(image.image_id, 50.0) for image in reversed(images)]
    return judge_captions(images, scores, Judge(references, FactReader()))


def test_each_fault_makes_a_caption_worse():
    """Of captions of one image the one that repeats itself, breaks off or is of another picture ranks as worse."""
    fine = captioned("fine", hypothesis("a brown dog runs on the beach"), references=REFERENCES)
    faults = {
        "repeats": hypothesis("a brown dog runs on the beach a brown dog"),
        "cut": replace(fine.hypotheses[0], is_complete=False),
        "another": hypothesis("a man rides a bicycle"),
    }
    images = [fine, *(captioned(name, one, references=REFERENCES) for name, one in faults.items())]
    found = judged(*images)
    assert worst_first(found)[-1] == 0
    assert worst_first(found)[0] == 3
    assert all(0.0 <= one.badness <= 1.0 for one in found)


def test_captions_stay_in_the_order_of_their_images():
    """Scores may come in any order."""
    images = [captioned(name, hypothesis("a dog"), references=REFERENCES) for name in "cab"]
    assert [one.image.image_id for one in judged(*images)] == ["c", "a", "b"]
    assert [one.scores.image_id for one in judged(*images)] == ["c", "a", "b"]


def test_equals_are_ordered_by_image():
    """The order is the same whatever order the images came in."""
    images = [captioned(name, hypothesis("a dog"), references=REFERENCES) for name in "cab"]
    assert [images[i].image_id for i in worst_first(judged(*images))] == ["a", "b", "c"]


def test_metrics_of_other_images_are_refused():
    """Captions and metrics must be of the same images."""
    image = captioned("a", hypothesis("a dog"), references=REFERENCES)
    with pytest.raises(DataError, match="dvc repro evaluate"):
        judge_captions([image], [scored("b", 10.0)], Judge({"a": REFERENCES}, FactReader()))
