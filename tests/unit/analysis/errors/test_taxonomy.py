"""Errors by name: found where they are, and not where people merely say it otherwise."""

import os
import random
import subprocess
import sys

import pytest

from captiongen.analysis.errors.caption_error import ErrorType
from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.planting import Planter
from captiongen.analysis.errors.taxonomy import find_errors

REFERENCES = (
    "A brown dog runs on the beach behind a man in a red shirt.",
    "A brown puppy is running across the sand.",
    "A man with a red shirt and his dog run on the beach.",
    "A person runs along a beach with a brown dog.",
)


@pytest.mark.parametrize(
    ("caption", "kind", "said", "instead"),
    [
        ("a brown cat runs on the beach with a man", ErrorType.WRONG_OBJECT, "cat", "dog"),
        ("a black dog runs on the beach with a man", ErrorType.COLOUR, "black", "brown"),
        ("two brown dogs run on the beach with a man", ErrorType.COUNT, "two", "1"),
        ("a brown dog sleeps on the beach with a man", ErrorType.ACTION, "sleeps", "run"),
        ("a brown dog runs on the street with a man", ErrorType.SCENE, "street", "beach"),
        ("a brown dog runs on the beach in front of a man", ErrorType.RELATION, "in front of", "behind"),
        ("a brown dog runs on the beach", ErrorType.MISSING_OBJECT, "", "man"),
        ("a brown dog runs on the beach with a man and an elephant", ErrorType.HALLUCINATED_OBJECT, "elephant", None),
        ("two brown dog run on the beach with a man", ErrorType.GRAMMAR, "two dog", None),
        ("a brown dog and a brown dog run on the beach with a man", ErrorType.REPETITION, "a brown dog", None),
        ("a brown dog runs on the beach with a", ErrorType.TRUNCATION, "a", None),
    ],
)
def test_an_error_is_named_with_its_words_and_what_people_say(
    reader: FactReader, caption: str, kind: ErrorType, said: str, instead: str | None
):
    """Each error has its type, the words that it concerns, and what the references state in their place."""
    (error,) = [one for one in find_errors(caption, REFERENCES, reader) if one.type is kind]
    words = caption.split()
    assert error.said == said == " ".join(words[position] for position in error.positions)
    assert (error.instead[0] if error.instead else None) == instead
    assert 0.0 < error.support <= 1.0


@pytest.mark.parametrize(
    "caption",
    [
        "a puppy runs in the sand beside a man in a red shirt",
        "a person and a dog are jogging along the beach",
        "a man in red runs on the beach with his dog",
    ],
)
def test_other_words_for_the_same_are_no_error(reader: FactReader, caption: str):
    """Synonyms, kinds and other constructions of what people say are left alone."""
    assert find_errors(caption, REFERENCES, reader) == ()


def test_what_one_person_names_is_no_hallucination(reader: FactReader):
    """A thing that a single reference names is there."""
    found = find_errors("a dog and a kite", ["a dog", "a dog on grass", "a dog with a kite", "one dog"], reader)
    assert ErrorType.HALLUCINATED_OBJECT not in {one.type for one in found}


def test_without_references_wording_alone_is_looked_at(reader: FactReader):
    """An image without references gives errors of wording, and nothing fails on an empty caption."""
    assert [one.type for one in find_errors("a dog with a", [], reader)] == [ErrorType.TRUNCATION]
    assert find_errors("", [], reader) == ()
    assert {one.type for one in find_errors("", REFERENCES, reader)} == {ErrorType.MISSING_OBJECT}


def test_the_search_s_own_account_of_a_cut_counts(reader: FactReader):
    """A caption that stopped at the length limit is cut off, however it ends."""
    assert ErrorType.TRUNCATION in {one.type for one in find_errors("a dog", [], reader, is_complete=False)}


def test_copied_and_generic_captions_are_known_by_the_training_captions(reader: FactReader):
    """A training caption word by word is copied; one of common words alone is generic where people say much more."""
    train = {str(i): ["A man is standing.", f"A man in a hat number{i} is standing"] for i in range(20)}
    corpus = CaptionCorpus.of(train, reader)
    references = ["a fireman climbs a ladder near a balcony", "a rescuer on a ladder at a burning hotel"]
    kinds = {one.type for one in find_errors("a man is standing", references, reader, corpus=corpus)}
    assert {ErrorType.COPIED, ErrorType.GENERIC} <= kinds
    kinds = {one.type for one in find_errors("a fireman is standing", references, reader, corpus=corpus)}
    assert not {ErrorType.COPIED, ErrorType.GENERIC} & kinds


@pytest.mark.parametrize("kind", list(ErrorType))
def test_a_planted_error_changes_the_words_that_it_names(reader: FactReader, kind: ErrorType):
    """What was planted stands where it says, the same seed plants the same, and nothing else is touched."""
    others = ("Three blue cats sleep in the snow.", "A yellow bus drives down a road", "a big tree")
    planter = Planter([*REFERENCES, *others], reader)
    if kind not in planter.types:
        return
    caption = "two small brown dogs swim in front of a man on the beach"
    planted = planter.plant(caption, kind, random.Random(3))
    assert planted is not None
    assert planted == planter.plant(caption, kind, random.Random(3))
    assert planted.type is kind
    assert planted.caption != caption
    words = planted.caption.split()
    kept = [word for position, word in enumerate(words) if position not in planted.positions]
    remaining = iter(caption.split())
    assert all(word == "and" or any(word == other for other in remaining) for word in kept)


def test_every_process_finds_the_same_in_the_same_order():
    """The order of sets, which differs from process to process, decides nothing: DVC would see other bytes."""
    program = (
        "from captiongen.analysis.errors.fact_reader import FactReader\n"
        "from captiongen.analysis.errors.taxonomy import find_errors\n"
        f"references = {[*REFERENCES, 'a blue kite with a rope and a basket', 'a kite, a rope, a basket, a boy']!r}\n"
        "print(find_errors('two green cats sit in a car', references, FactReader()))\n"
        "print(find_errors('a kite', references[-2:], FactReader()))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1
    assert b"missing object" in next(iter(said))
