"""A caption without its errors of one type, changed as little as possible: the oracle behind what a type costs.

As in TIDE (Bolya et al., ECCV 2020), an oracle mends what was named and nothing else: a wrong word becomes the one that
people use, in the form that they use it in; what nobody sees is taken out; what most people name is added. The mended
caption need not be fine English: it shows what the words were worth.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.errors.facts import Facts
from captiongen.text.function_words import FUNCTION_WORDS

_NUMBER_WORDS = (
    "no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip
_JOINTS = frozenset({"and", "or"})
# What leads into a phrase, and hangs in the air without it.
_LEADING_TAGS = ("PRP", "PRF", "CJ", "AVP")
_VOWEL_NEXT = re.compile(r"\ba (?=[aeio])|\ba (?=u(?!ni))")
_CONSONANT_NEXT = re.compile(r"\ban (?=[^aeiouh])")

#: Words of a caption by position; an empty string takes a word out.
_Words = list[str]


def mend(facts: Facts, errors: Sequence[CaptionError], references: Sequence[Facts]) -> str:
    """Returns the caption without these errors.

    Args:
        facts: what the caption states.
        errors: of this caption, those to mend; of types in `MENDABLE`.
        references: what people state of the image: they lend the words.

    Raises:
        KeyError: an error is of a type that has no oracle.
    """
    words = [word.word for word in facts.words]
    added: list[str] = []
    for error in errors:
        added += _MENDERS[error.type](error, words, facts, references)
    return _with_articles(" ".join(word for word in [*words, *added] if word))


def _replace(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    """Puts what people say most in place of the first wrong word, in the wrong word's form where people use it."""
    if error.instead:
        first, *others = error.positions
        words[first] = _surface(error.instead[0], facts.words[first].tag, references)
        for position in others:
            words[position] = ""
    return []


def _replace_relation(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    said = Counter(
        " ".join(word.word for word in one.words[relation.start : relation.stop])
        for one in references for relation in one.relations if relation.name == error.instead[0]
    )  # fmt: skip
    _blank(words, error.positions)
    # Nobody says it so when they say the inverse: "the dog behind the man" against "the man in front of the dog".
    words[error.positions[0]] = said.most_common(1)[0][0] if said else error.instead[0]
    return []


def _recount(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    thing = next(one for one in facts.things if one.start <= error.positions[0] < one.stop)
    number = int(error.instead[0])
    word = _NUMBER_WORDS[number] if number < len(_NUMBER_WORDS) else str(number)
    head = thing.head.position
    noun = thing.head.lemma.rpartition("_")[2]  # of a tennis ball the ball is counted
    words[head] = _surface(noun, "NN1" if number == 1 else "NN2", references)
    if thing.start == head:
        words[head] = f"{word} {words[head]}"
    else:
        words[thing.start] = word
    return []


def _remove_thing(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    del references
    thing = next(one for one in facts.things if one.start <= error.positions[0] < one.stop)
    # With the words of relation in front of it: "in front of" a building that is not there.
    start = next((one.start for one in facts.relations if one.stop == thing.start), thing.start)
    while start and facts.words[start - 1].tag.startswith(_LEADING_TAGS):
        start -= 1
    _blank(words, range(start, thing.stop))
    return []


def _add_thing(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    del words, facts
    lemma = error.instead[0]
    phrases = Counter(
        " ".join(word.word for word in one.words[thing.start : thing.stop])
        for one in references for thing in one.things if thing.head.lemma == lemma
    )  # fmt: skip
    return ["with", min(phrases, key=lambda phrase: (len(phrase), phrase)) if phrases else f"a {lemma}"]


def _remove_repeated(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    del facts, references
    _blank(words, error.positions)
    before = error.positions[0] - 1
    if before >= 0 and words[before] in _JOINTS:
        words[before] = ""
    return []


def _remove_loose_end(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    del error, facts, references
    for position in reversed(range(len(words))):
        if words[position] and words[position] not in FUNCTION_WORDS:
            break
        words[position] = ""
    return []


def _agree(error: CaptionError, words: _Words, facts: Facts, references: Sequence[Facts]) -> list[str]:
    """Makes number, article or verb fit its noun."""
    last = error.positions[-1]
    tag, lemma = facts.words[last].tag, facts.words[last].lemma
    if tag == "AT0":
        words[last] = ""
    elif tag.startswith("NN"):
        words[last] = _surface(lemma, "NN2" if tag == "NN1" else "NN1", references) or words[last]
    else:
        words[last] = lemma if tag == "VVZ" else f"{lemma}s"
    return []


_MENDERS: Mapping[ErrorType, Callable[[CaptionError, _Words, Facts, Sequence[Facts]], list[str]]] = MappingProxyType(
    {
        ErrorType.WRONG_OBJECT: _replace,
        ErrorType.SCENE: _replace,
        ErrorType.COLOUR: _replace,
        ErrorType.ATTRIBUTE: _replace,
        ErrorType.ACTION: _replace,
        ErrorType.RELATION: _replace_relation,
        ErrorType.COUNT: _recount,
        ErrorType.HALLUCINATED_OBJECT: _remove_thing,
        ErrorType.MISSING_OBJECT: _add_thing,
        ErrorType.REPETITION: _remove_repeated,
        ErrorType.TRUNCATION: _remove_loose_end,
        ErrorType.GRAMMAR: _agree,
    }
)
#: Types that have an oracle: a generic or copied caption has no single word that is wrong.
MENDABLE = frozenset(_MENDERS)


def _surface(lemma: str, tag: str, references: Sequence[Facts]) -> str:
    """The form of a lemma that people use most, of this tag where they use one; else the lemma, plural as tagged."""
    forms = Counter(word for one in references for word in one.words if word.lemma == lemma or word.word == lemma)
    fitting = Counter({word: n for word, n in forms.items() if word.tag == tag})
    if fitting or (forms and not tag.startswith("NN")):
        return (fitting or forms).most_common(1)[0][0].word
    plain = lemma.replace("_", " ")
    return f"{plain}s" if tag == "NN2" and not plain.endswith("s") else plain


def _blank(words: _Words, positions: Sequence[int]) -> None:
    for position in positions:
        words[position] = ""


def _with_articles(caption: str) -> str:
    """Lets "a" and "an" fit the word that now follows."""
    return _CONSONANT_NEXT.sub("a ", _VOWEL_NEXT.sub("an ", caption))
