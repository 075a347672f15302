"""Text of others, on a terminal."""

import hypothesis.strategies as st
from hypothesis import given

from captiongen.text.printable import HARMLESS, is_line, printable


@given(st.text(st.characters()))
def test_whatever_comes_out_can_be_printed(text: str):
    """One line, of characters that every UTF-8 output can hold, half characters included."""
    assert is_line(printable(text))
    assert printable(text).translate(dict.fromkeys(map(ord, HARMLESS))).isprintable()
    assert printable(text).encode().decode() == printable(text)


def test_letters_stay_and_codes_are_shown():
    """Any script and emoji stay; escape sequences, line breaks and changes of direction become visible."""
    for line in ("Ein Hund, 犬, 🐶 .", "\u0633\u06af\u200c\u0647\u0627", "un chien\u00a0!"):
        assert printable(line) == line
        assert is_line(line)
    assert not any(map(is_line, ("\x1b", "a\nb", "\u202e", "\ud800")))
    assert printable("\x1b[31m\n\u202e\ud800") == r"\x1b[31m\n\u202e\ud800"
