"""Counting n-grams, and holding hypotheses and references together."""

import pytest

from captiongen.errors import DataError
from captiongen.metrics.ngrams import count_ngrams, tokenise_pairs


def test_ngrams_of_all_four_orders_are_counted():
    """A caption of three words has three unigrams, two bigrams, one trigram; repeats add up."""
    assert count_ngrams(["a", "a", "dog"]) == {
        ("a",): 2,
        ("dog",): 1,
        ("a", "a"): 1,
        ("a", "dog"): 1,
        ("a", "a", "dog"): 1,
    }
    assert count_ngrams([]) == {}


@pytest.mark.parametrize(
    ("hypotheses", "references", "named"),
    [
        ({}, {}, "found none"),
        ({"1": "a"}, {"1": ["a"], "2": ["b"]}, r"1 have no hypothesis \(2\)"),
        ({"1": "a", "3": "c"}, {"1": ["a"]}, r"no references \(3\)"),
        ({"1": "a"}, {"1": []}, r"empty list of references \(1\)"),
    ],
)
def test_sets_that_do_not_match_are_refused(hypotheses: dict, references: dict, named: str):
    """A metric over a silently smaller set is never computed: the error names the images."""
    with pytest.raises(DataError, match=named):
        tokenise_pairs(hypotheses, references)
