"""What a person may write into a correction."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.serving.limits import BadReport
from captiongen.serving.report_form import normalise_correction


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=300))
def test_a_correction_is_one_line(text: str):
    """What is taken has no line break, no space at its ends or doubled, and normalises to itself."""
    try:
        line = normalise_correction(text)
    except BadReport:
        return
    assert line == " ".join(line.split())
    assert len(line.splitlines()) <= 1
    assert normalise_correction(line) == line


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  Two\tdogs\r\n run. ", "Two dogs run."),
        ("Cafe\u0301", "Caf\u00e9"),
        ("zwei M\u00e4nner 👨\u200d👩\u200d👧", "zwei M\u00e4nner 👨\u200d👩\u200d👧"),
        (" \n", ""),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("x" * 300, "x" * 300),
    ],
)
def test_words_stay_as_they_were_written(text: str, line: str):
    """Case, punctuation, other scripts and markup are kept; they are text, whatever they look like."""
    assert normalise_correction(text) == line


@pytest.mark.parametrize("character", ["\0", "\x1b", "\x07", "\x7f", "\x85", "\x1c", "\u202e", "\u2066"])
def test_control_characters_are_refused(character: str):
    """What would steer a terminal, or turn the order of the words around, is named and refused."""
    with pytest.raises(BadReport, match=f"found U\\+{ord(character):04X}"):
        normalise_correction(f"a dog{character} runs")


def test_a_long_text_is_refused():
    """One sentence is asked for, not an essay; white space does not count."""
    with pytest.raises(BadReport, match="at most 300 characters as `correction`, found 301"):
        normalise_correction("x" * 301)
    assert normalise_correction(" " * 1000 + "x") == "x"
