"""The oracle: a caption without its errors of one type, and nothing else changed."""

import random

import pytest

from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.mending import MENDABLE, mend
from captiongen.analysis.errors.planting import Planter
from captiongen.analysis.errors.taxonomy import find_errors

REFERENCES = (
    "a brown dog runs on the beach behind a man in a red shirt",
    "a brown puppy is running across the sand",
    "a man with a red shirt and his dog run on the beach",
    "a person runs along a beach with a brown dog",
)


@pytest.mark.parametrize(
    ("caption", "kind", "mended"),
    [
        (
            "a brown cat runs on the beach with a man",
            ErrorType.WRONG_OBJECT,
            "a brown dog runs on the beach with a man",
        ),
        ("a black dog runs on the beach with a man", ErrorType.COLOUR, "a brown dog runs on the beach with a man"),
        ("two brown dogs run on the beach with a man", ErrorType.COUNT, "a brown dog run on the beach with a man"),
        ("a brown dog sleeps on the beach with a man", ErrorType.ACTION, "a brown dog runs on the beach with a man"),
        ("a brown dog runs on the street with a man", ErrorType.SCENE, "a brown dog runs on the beach with a man"),
        ("a brown dog runs in front of a man", ErrorType.RELATION, "a brown dog runs behind a man"),
        ("a brown dog runs on the beach", ErrorType.MISSING_OBJECT, "a brown dog runs on the beach with a man"),
        (
            "a brown dog runs on the beach next to an elephant",
            ErrorType.HALLUCINATED_OBJECT,
            "a brown dog runs on the beach",
        ),
        ("two brown dog run on the beach", ErrorType.GRAMMAR, "two brown dogs run on the beach"),
        ("a brown dog and a brown dog run on the beach", ErrorType.REPETITION, "a brown dog run on the beach"),
        ("a brown dog runs on the beach with a", ErrorType.TRUNCATION, "a brown dog runs on the beach"),
        ("a elephant runs on the beach", ErrorType.WRONG_OBJECT, "a dog runs on the beach"),
    ],
)
def test_an_error_is_mended_with_people_s_words(reader: FactReader, caption: str, kind: ErrorType, mended: str):
    """The wrong word becomes people's, what nobody sees goes, what most name is added; the rest stays."""
    errors = [error for error in find_errors(caption, REFERENCES, reader) if error.type is kind]
    assert errors
    assert mend(reader.read(caption), errors, [reader.read(text) for text in REFERENCES]) == mended


@pytest.mark.parametrize(
    "kind",
    [
        ErrorType.WRONG_OBJECT, ErrorType.SCENE, ErrorType.COLOUR, ErrorType.COUNT, ErrorType.ACTION,
        ErrorType.RELATION, ErrorType.TRUNCATION, ErrorType.REPETITION,
    ],
)  # fmt: skip
def test_what_was_mended_is_not_found_again(reader: FactReader, kind: ErrorType):
    """After mending every error of a type that was planted, none of that type is left at those words."""
    planter = Planter([*REFERENCES, "three blue cats sleep in the snow", "a yellow bus drives down a road"], reader)
    caption = "two brown dogs swim in front of a man on the beach"
    planted = planter.plant(caption, kind, random.Random(3))
    assert planted is not None
    truth = [reader.read(caption)]
    errors = [error for error in find_errors(planted.caption, [caption], reader) if error.type is kind]
    assert errors
    mended = mend(reader.read(planted.caption), errors, truth)
    assert not [error for error in find_errors(mended, [caption], reader) if error.type is kind]


def test_of_a_compound_the_last_word_is_counted(reader: FactReader):
    """One tennis ball instead of two is still a tennis ball."""
    caption, references = "a dog with two tennis balls", ["a dog with a tennis ball", "a dog and one tennis ball"]
    errors = [error for error in find_errors(caption, references, reader) if error.type is ErrorType.COUNT]
    assert mend(reader.read(caption), errors, [reader.read(text) for text in references]) == "a dog with a tennis ball"


def test_a_type_without_an_oracle_is_refused(reader: FactReader):
    """Nothing is mended of a generic caption: no single word of it is wrong."""
    assert set(ErrorType) - {ErrorType.GENERIC, ErrorType.COPIED} == MENDABLE
    errors = [CaptionError(ErrorType.GENERIC, (0,), "a")]
    with pytest.raises(KeyError):
        mend(reader.read("a dog"), errors, [])
