"""The tree in the docstring of errors.py is the tree of classes."""

import inspect
import re

from captiongen import errors
from captiongen.cli.app import app


def _classes() -> dict[str, type[errors.CaptionGenError]]:
    members = inspect.getmembers(errors, inspect.isclass)
    return {name: value for name, value in members if issubclass(value, errors.CaptionGenError)}


def test_the_drawn_tree_lists_every_class_below_its_parent():
    """Each class stands once in the drawing, indented below its base."""
    drawn: dict[str, str] = {}
    ancestors: list[str] = []
    for line in errors.__doc__.splitlines():
        if not (match := re.match(r"^(\s{4}[|\s'-]*)([A-Z]\w+)\b", line)):
            continue
        depth = (len(match.group(1)) - 4) // 4
        ancestors = [*ancestors[:depth], match.group(2)]
        drawn[match.group(2)] = ancestors[-2] if depth else "Exception"
    assert drawn == {name: value.__bases__[0].__name__ for name, value in _classes().items()}


def test_the_drawn_exit_codes_are_those_of_the_classes():
    """Where the drawing names an exit code, the class and all its subclasses have it."""
    codes = {
        match.group(1): int(match.group(2)) for match in re.finditer(r"([A-Z]\w+) .*exit (\d)", errors.__doc__ or "")
    }
    assert codes
    for name, value in _classes().items():
        expected = next((codes[base.__name__] for base in value.__mro__ if base.__name__ in codes), 1)
        assert value.exit_code == expected, name


def test_the_command_line_names_every_exit_code():
    """`captiongen --help` explains each exit code that an error can have."""
    documented = {int(code) for code in re.findall(r"\b(\d) [a-z]", app.info.epilog.split(":", 1)[1])}
    assert {value.exit_code for value in _classes().values()} <= documented
