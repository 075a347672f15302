"""The one spelling of captions."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from captiongen.text.normalise import metric_tokens, normalise_caption


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A child in a pink dress , climbing .", "a child in a pink dress climbing"),
        ("The dog 's ball", "the dog's ball"),
        ("It does n't  bark !", "it doesn't bark"),
        ("A T-shirt -- red ; black-and-white", "a t-shirt red black-and-white"),
        ("\u201cQuoted\u201d dog\u2019s \u2018toy\u2019", "quoted dog's toy"),
        ("Ein Mädchen läuft über die Straße.", "ein mädchen läuft über die straße"),
        ("हिन्दी में", "हिन्दी में"),
        ("tabs\tand\nlines", "tabs and lines"),
        (" . , - ' ", ""),
    ],
)
def test_captions_are_spelt_one_way(text: str, expected: str):
    """Lower case, no punctuation, single spaces; hyphens and apostrophes stay inside words."""
    assert normalise_caption(text) == expected


@given(st.text())
def test_normalising_twice_changes_nothing(text: str):
    """What is normalised stays as it is, whatever the script."""
    once = normalise_caption(text)
    assert normalise_caption(once) == once


@given(st.text())
def test_normalised_captions_are_words_and_single_spaces(text: str):
    """No leading, trailing or double space is left."""
    words = normalise_caption(text).split(" ")
    assert words == [""] or all(words)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # As Stanford's PTB tokenizer with coco-caption's punctuation list has them.
        ("A man 's dog , running .", ["a", "man", "'s", "dog", "running"]),
        ("A man's dog doesn't run", ["a", "man", "'s", "dog", "does", "n't", "run"]),
        ("a t-shirt", ["a", "t-shirt"]),
        ('"Stop" ; look: here...', ["stop", "look", "here"]),
    ],
)
def test_metric_tokens_are_the_ptb_tokenizers(text: str, expected: list[str]):
    """Clitics stand apart, hyphenated words stay whole, punctuation goes."""
    assert metric_tokens(text) == expected


@given(st.text(alphabet="ab '-.,st", max_size=30))
def test_metrics_see_no_difference_between_raw_and_normalised(text: str):
    """A model that learns normalised captions is not punished for it."""
    assert metric_tokens(normalise_caption(text)) == metric_tokens(text)
