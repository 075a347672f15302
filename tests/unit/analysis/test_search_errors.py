"""Whose fault a caption is."""

import math
from dataclasses import replace

from evaluated import captioned, hypothesis

from captiongen.analysis.inspection import ModelScores
from captiongen.analysis.search_errors import Fault, find_faults

DOG = ("a brown dog runs on the beach", "a brown dog on the beach")
CAT = ("a white cat sleeps on a bed", "a white cat on the bed")


def by_model(image, *reference_scores):
    """The model's scores of a list whose length counts for nothing."""
    return ModelScores(tuple(one.log_probability for one in image.hypotheses), reference_scores)


def faults(image, reference_scores, human=80.0):
    other = captioned("other", hypothesis(CAT[0]), references=CAT)
    scores = [by_model(image, *reference_scores), by_model(other, -9.0)]
    return find_faults([image, other], scores, [human, 80.0], num_resamples=100, seed=0)


def test_a_caption_as_good_as_people_s_is_nobody_s_fault():
    """At or above the human score nothing is blamed."""
    found = faults(captioned("dog", hypothesis(DOG[0]), references=DOG), (-9.0,))
    assert found.faults == (None, None)
    assert found.share(Fault.MODEL) == 0.0
    assert found.oracle_gain.mean == 0.0


def test_a_better_caption_in_the_list_blames_the_choice():
    """The oracle finds it, and its gain is what it would have brought."""
    found = faults(captioned("dog", hypothesis("a man"), hypothesis(DOG[0]), references=DOG), (0.0,))
    assert found.faults[0] is Fault.CHOICE
    assert found.oracle == (1, 0)
    assert found.oracle_gain.mean > 10


def test_a_person_s_caption_that_the_model_likes_better_blames_the_search():
    """It scores higher than the chosen one, so the search missed it."""
    image = captioned("dog", hypothesis("a man", 0.1), references=DOG)
    assert faults(image, (-99.0, image.hypotheses[0].log_probability + 0.1)).faults[0] is Fault.SEARCH


def test_what_the_search_found_and_a_consensus_passed_over_is_no_fault_of_the_search():
    """Where the list holds a caption that the model likes better than the person's, the search did find better."""
    image = captioned("dog", hypothesis("a man", 0.1), hypothesis("a man", 0.9), references=DOG)
    assert faults(image, (image.hypotheses[0].log_probability + 0.1,)).faults[0] is Fault.MODEL


def test_what_a_reranker_made_of_a_list_is_no_score_of_the_model():
    """Evidence on another scale, far above or far below any log-probability, changes nothing in whose fault it is."""
    liked, disliked = -1.0, -99.0
    for scale in (100.0, -100.0):
        image = captioned("dog", replace(hypothesis("a man", 0.1), score=scale), references=DOG)
        assert faults(image, (liked,)).faults[0] is Fault.SEARCH
        assert faults(image, (disliked,)).faults[0] is Fault.MODEL


def test_else_the_model_is_to_blame():
    """References that it likes less, or cannot write at all, leave the fault with the model."""
    image = captioned("dog", hypothesis("a man", 0.9), references=DOG)
    assert faults(image, (-99.0, math.nan)).faults[0] is Fault.MODEL
    assert faults(image, (-99.0,), human=None).faults[0] is Fault.MODEL
