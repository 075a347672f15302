"""ROUGE-L and the longest common subsequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.metrics.rouge import longest_common_subsequence, rouge_l

TOKENS = st.lists(st.sampled_from("abcd"), max_size=12)


def _by_the_table(first: list[str], second: list[str]) -> int:
    rows = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, left in enumerate(first, start=1):
        for j, right in enumerate(second, start=1):
            rows[i][j] = rows[i - 1][j - 1] + 1 if left == right else max(rows[i - 1][j], rows[i][j - 1])
    return rows[-1][-1]


@given(TOKENS, TOKENS)
def test_the_bit_parallel_length_is_the_table_s(first: list[str], second: list[str]):
    """The fast longest common subsequence equals the textbook table."""
    assert longest_common_subsequence(first, second) == _by_the_table(first, second)


def test_precision_and_recall_may_come_from_different_references():
    """The best precision and the best recall are taken each on its own, beta 1.2."""
    value = rouge_l(["a", "dog"], [["a", "dog", "runs", "fast"], ["dog"]])  # precision 1 and recall 1
    assert value == pytest.approx(100.0)


def test_an_empty_caption_scores_nothing():
    """No words, no match."""
    assert rouge_l([], [["a", "dog"]]) == 0.0
