"""What is read from a caption."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.facts import Facts


def _things(facts: Facts) -> list[tuple[str, int | None, list[str]]]:
    return [(one.head.lemma, one.count, [colour.lemma for colour in one.colours]) for one in facts.things]


def test_things_have_number_and_colours(reader: FactReader):
    """Noun phrases become things with their own count and colours, plurals in the singular."""
    facts = reader.read("Two brown dogs and a woman in a red shirt are chasing children.")
    assert _things(facts) == [("dog", 2, ["brown"]), ("woman", 1, []), ("shirt", 1, ["red"]), ("child", None, [])]


@pytest.mark.parametrize(
    ("caption", "thing"),
    [
        ("a group of people", ("people", None, [])),
        ("a pair of dogs", ("dog", 2, [])),
        ("a black and white dog", ("dog", 1, ["black", "white"])),
        ("a girl dressed in green", ("girl", 1, ["green"])),
        ("a man in black shorts", ("shorts", None, ["black"])),
    ],
)
def test_a_thing_is_what_people_mean_by_the_phrase(reader: FactReader, caption: str, thing: tuple[str, int, list[str]]):
    """Groups are their members, colours find what wears them, and plurals without a singular stay as they are."""
    assert thing in _things(reader.read(caption))


@pytest.mark.parametrize(
    ("caption", "verb", "subject"),
    [
        ("a dog runs", "run", "dog"),
        ("three cats rest on the floor", "rest", "cat"),
        ("a man wearing a red shirt rides a horse", "ride", "man"),
        ("a woman eats while a dog stands next to her", "stand", "dog"),
        ("two girls are swimming", "swim", "girl"),
    ],
)
def test_actions_have_their_subject(reader: FactReader, caption: str, verb: str, subject: str):
    """Verbs are found also where a tagger of prose takes them for nouns, and bound to who acts."""
    facts = reader.read(caption)
    assert (verb, subject) in [
        (one.verb.lemma, facts.things[one.subject].head.lemma) for one in facts.actions if one.subject is not None
    ]


@pytest.mark.parametrize(
    ("caption", "stated"),
    [
        ("a dog to the left of a tree", ("dog", "left", "tree")),
        ("a house on the beach with a ball to its right", ("ball", "right", "house")),
        ("a cat sits on top of a car", ("cat", "on", "car")),
    ],
)
def test_relations_read_from_subject_to_other(reader: FactReader, caption: str, stated: tuple[str, str, str]):
    """A relation has its direction, also where a pronoun stands for the other."""
    facts = reader.read(caption)
    assert stated in [
        (facts.things[one.subject].head.lemma, one.name, facts.things[one.other].head.lemma) for one in facts.relations
    ]


def test_a_place_is_told_from_a_thing(reader: FactReader):
    """What a preposition of place leads to is a place when its noun is one."""
    facts = reader.read("a dog with a stick on the beach")
    assert [(one.head.lemma, one.is_place) for one in facts.things] == [
        ("dog", False),
        ("stick", False),
        ("beach", True),
    ]


WORDS = st.sampled_from(
    ["a", "two", "dog", "dogs", "red", "in", "of", "the", "left", "on", "and", "runs", "it", "with", "3", "é", "group"]
)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, max_size=12))
def test_positions_are_words_of_the_caption(reader: FactReader, words: list[str]):
    """Any words whatever are read, and every fact points to words that are there."""
    facts = reader.read(" ".join(words))
    assert [one.word for one in facts.words] == words
    assert all(0 <= one.start <= one.head.position < one.stop <= len(words) for one in facts.things)
    assert all(0 <= one.start < one.stop <= len(words) for one in facts.relations)
    indices = [one.subject for one in facts.actions if one.subject is not None]
    indices += [index for one in facts.relations for index in (one.subject, one.other)]
    assert all(0 <= index < len(facts.things) for index in indices)


def test_a_relation_to_it_before_anything_is_named_states_nothing(reader: FactReader):
    """Nobody knows what "it" is there."""
    assert reader.read("in it a left").relations == ()
