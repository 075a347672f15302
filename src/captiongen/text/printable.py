"""Text of others, safe to print: names, captions and notes can hold codes that a terminal would obey."""

#: Not printable by Python's rule, and nothing that a terminal obeys: the no-break space, and the joiners that Persian
#: and Indic spelling needs.
HARMLESS = "\u00a0\u200c\u200d"


def is_line(text: str) -> bool:
    """Whether it is one line of letters, signs and spaces, without any code."""
    return all(_is_harmless(sign) for sign in text)


def printable(text: str) -> str:
    r"""Escapes what is not printed but done, as Python does in strings: control codes, line breaks, text direction.

    `"\x1b[2J"` comes back as the four characters backslash, x, 1, b and the rest; a lone surrogate, which no output
    can hold, as its number. Letters of any script stay as they are.
    """
    return "".join(sign if _is_harmless(sign) else sign.encode("unicode_escape").decode() for sign in text)


def _is_harmless(sign: str) -> bool:
    return sign.isprintable() or sign in HARMLESS
