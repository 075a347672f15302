"""Human ceiling and constant floor."""

from captiongen.metrics.baselines import constant_captions, leave_one_out

REFERENCES = {
    "1": [["a", "dog", "runs"], ["a", "dog", "on", "grass"], ["one", "brown", "dog"]],
    "2": [["a", "dog", "sits"], ["a", "cat"]],
}


def test_each_human_caption_takes_its_turn():
    """Every reference is the hypothesis once where the counts are equal, and is never among its own references."""
    passes = list(leave_one_out({"1": REFERENCES["1"]}))
    assert [hypotheses["1"] for hypotheses, _ in passes] == REFERENCES["1"]
    assert all(
        hypotheses["1"] not in references["1"] and len(references["1"]) == 2 for hypotheses, references in passes
    )


def test_images_with_fewer_references_take_turns_again():
    """All images are in every pass."""
    passes = list(leave_one_out(REFERENCES))
    assert [hypotheses["2"] for hypotheses, _ in passes] == [["a", "dog", "sits"], ["a", "cat"], ["a", "dog", "sits"]]


def test_the_most_typical_caption_comes_first():
    """The caption whose words most images share is the first candidate, whatever the order of the images."""
    backwards = {image_id: REFERENCES[image_id][::-1] for image_id in reversed(REFERENCES)}
    first, *_ = constant_captions(REFERENCES)
    assert list(first[:2]) == ["a", "dog"]
    assert constant_captions(REFERENCES) == constant_captions(backwards)
