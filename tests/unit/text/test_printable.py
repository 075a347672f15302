"""Text of others, on a terminal."""

import hypothesis.strategies as st
from hypothesis import given

from captiongen.text.printable import printable


@given(st.text(st.characters()))
def test_whatever_comes_out_can_be_printed(text: str):
    """One line, of characters that every UTF-8 output can hold, half characters included."""
    assert printable(text).isprintable()
    assert printable(text).encode().decode() == printable(text)


def test_letters_stay_and_codes_are_shown():
    """Any script and emoji stay; escape sequences, line breaks and changes of direction become visible."""
    assert printable("Ein Hund, 犬, 🐶 .") == "Ein Hund, 犬, 🐶 ."
    assert printable("\x1b[31m\n\u202e\ud800") == r"\x1b[31m\n\u202e\ud800"
