"""Text of others, safe to print: names, captions and notes can hold codes that a terminal would obey."""


def printable(text: str) -> str:
    r"""Escapes what is not printed but done, as Python does in strings: control codes, line breaks, text direction.

    `"\x1b[2J"` comes back as the four characters backslash, x, 1, b and the rest; a lone surrogate, which no output
    can hold, as its number. Letters of any script stay as they are.
    """
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
