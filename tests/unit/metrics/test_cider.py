"""CIDEr-D: invariances, document frequencies, errors."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.errors import DataError
from captiongen.metrics.cider import CiderScorer, DocumentFrequencies, corpus_cider, pairwise_cider

WORDS = st.sampled_from(["dog", "cat", "runs", "sits", "park", "red", "two", "ball"])
CAPTION = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
REFERENCES = st.lists(st.lists(CAPTION, min_size=1, max_size=4), min_size=2, max_size=6).map(
    lambda images: {f"image {number}": captions for number, captions in enumerate(images)}
)


@given(REFERENCES, st.data())
def test_order_has_no_say(references: dict, data: st.DataObject):
    """Shuffling images, and references within an image, changes CIDEr by rounding at most."""
    hypotheses = {image_id: data.draw(CAPTION) for image_id in references}
    order = data.draw(st.permutations(list(references)))
    shuffled = {image_id: data.draw(st.permutations(references[image_id])) for image_id in order}
    assert corpus_cider(hypotheses, shuffled) == pytest.approx(corpus_cider(hypotheses, references), abs=1e-9)


@given(REFERENCES, CAPTION)
def test_nothing_beats_saying_what_everybody_says(references: dict, other: str):
    """Where all references of each image are one caption, that caption scores at least as much as any other."""
    unanimous = {image_id: [captions[0]] * len(captions) for image_id, captions in references.items()}
    perfect = corpus_cider({image_id: captions[0] for image_id, captions in unanimous.items()}, unanimous)
    assert perfect >= corpus_cider(dict.fromkeys(unanimous, other), unanimous) - 1e-9


@given(REFERENCES, st.data())
def test_cider_lies_between_0_and_1000(references: dict, data: st.DataObject):
    """A score is never negative and never above 1000, image by image."""
    scorer = CiderScorer({image_id: [text.split() for text in texts] for image_id, texts in references.items()})
    scores = scorer.score_all(list(references), [data.draw(CAPTION).split() for _ in references])
    assert ((scores >= 0) & (scores <= 1000 + 1e-9)).all()


def test_chunks_are_not_the_whole():
    """Document frequencies from parts of a set give another score: batch CIDErs must not be averaged."""
    things = {"dog": ("runs", "sits"), "cat": ("runs", "sits")}
    references = {f"{thing} {verb}": [f"a {thing} {verb}"] for thing, verbs in things.items() for verb in verbs}
    hypotheses = {image_id: f"one {image_id.split()[0]}" for image_id in references}
    halves = [list(references)[:2], list(references)[2:]]  # all dogs, all cats: there the noun says nothing
    parts = [corpus_cider({i: hypotheses[i] for i in half}, {i: references[i] for i in half}) for half in halves]
    assert abs(np.mean(parts) - corpus_cider(hypotheses, references)) > 1


def test_given_frequencies_replace_the_references_own():
    """With fixed frequencies the score of an image does not depend on which other images are scored with it."""
    references = {str(number): [["a", word, "runs"]] for number, word in enumerate(["dog", "cat", "fox"])}
    frequencies = DocumentFrequencies.of(references)
    alone = CiderScorer({"0": references["0"]}, document_frequencies=frequencies)
    together = CiderScorer(references)
    assert alone.score("0", ["a", "dog"]) == together.score("0", ["a", "dog"])
    assert CiderScorer({"0": references["0"]}).score("0", ["a", "dog"]) == 0.0


def test_one_image_can_be_scored_with_many_captions():
    """Samples of one image are scored in one call, each as it would be alone."""
    references = {"0": [["a", "dog"]], "1": [["two", "cats"]]}
    scorer = CiderScorer(references)
    scores = scorer.score_all(["0", "0", "1"], [["a", "dog"], [], ["a", "dog"]])
    np.testing.assert_array_equal(scores, [scorer.score("0", ["a", "dog"]), 0.0, 0.0])


def test_an_unknown_image_is_named():
    """Scoring an image without references is an error that names it."""
    with pytest.raises(DataError, match="'nowhere'"):
        CiderScorer({"0": [["a"]]}).score("nowhere", ["a"])


@given(st.lists(CAPTION.map(str.split), min_size=1, max_size=5))
def test_pairwise_cider_is_cider_against_one_reference_with_equal_weights(captions: list):
    """Row by row it is what a scorer gives under frequencies that make every n-gram equally rare, whatever rarity."""
    scorer = CiderScorer(
        {str(number): [caption] for number, caption in enumerate(captions)},
        document_frequencies=DocumentFrequencies({}, num_images=1000),
    )
    expected = [[scorer.score(str(other), one) for other in range(len(captions))] for one in captions]
    np.testing.assert_allclose(pairwise_cider(captions), expected)
