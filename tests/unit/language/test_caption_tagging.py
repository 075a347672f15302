"""What a tagger of prose makes of captions, mended."""

import pytest

from captiongen.language.caption_tagging import CaptionTagger
from captiongen.language.lexicon import Lexicon
from captiongen.language.tagging import TaggedWord


class NounTagger:
    """A tagger of prose at its worst: nouns wherever they are possible."""

    def __call__(self, caption: str) -> tuple[TaggedWord, ...]:
        tags = {"a": "AT0", "in": "PRP", "red": "AJ0", "someone": "PNI", "two": "CRD"}
        return tuple(
            TaggedWord(word, word.removesuffix("s"), tags.get(word, "NN2" if word.endswith("s") else "NN1"))
            for word in caption.split()
        )


@pytest.fixture(scope="module")
def tagger() -> CaptionTagger:
    return CaptionTagger(NounTagger(), Lexicon())


@pytest.mark.parametrize(
    ("caption", "word"),
    [
        ("a dog runs", TaggedWord("runs", "run", "VVZ")),
        ("cats rest", TaggedWord("rest", "rest", "VVB")),
        ("a man climbing", TaggedWord("climbing", "climb", "VVG")),
        ("a boy waves two hands", TaggedWord("waves", "wave", "VVZ")),
        ("a boy in red runs", TaggedWord("runs", "run", "VVZ")),
    ],
)
def test_what_follows_who_does_it_is_a_verb(tagger: CaptionTagger, caption: str, word: TaggedWord):
    """A noun that can be a verb, where captions have their verb, becomes one, with its lemma and form."""
    assert word in tagger(caption)


def test_what_cannot_be_a_verb_stays_a_noun(tagger: CaptionTagger):
    """Words without a verb, and nouns in front of nouns, are left as they are."""
    plain = "a snow slope in a street"
    assert tagger(plain) == NounTagger()(plain)


def test_pronouns_of_persons_are_nouns(tagger: CaptionTagger):
    """Somebody is a thing to count and to compare."""
    assert tagger("someone")[0].tag == "NN1"
