"""Errors of how a caption is worded: repetition, truncation, grammar; and of style: generic, copied from training."""

from collections.abc import Sequence

from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.errors.corpus import CaptionCorpus, is_content
from captiongen.analysis.errors.facts import Facts, Thing
from captiongen.language.tagging import TaggedWord
from captiongen.text.function_words import FUNCTION_WORDS

_JOINTS = frozenset({"and", "or", "with", "of", "in", "on", "a", "the", "to"})
_LONGEST_REPEAT = 6
# Share of all images of which a word is said, from which it says little of any one of them.
_COMMON = 0.08
# A caption without a rarer word is generic where each reference has so many of them.
_MIN_RARE = 2.0
# A caption does not end with these, whatever follows them was cut off.
_UNFINISHED_TAGS = ("AT", "DPS", "PRF", "CJ", "VB", "VM", "TO")


def errors(facts: Facts, *, is_complete: bool = True) -> list[CaptionError]:
    """Returns the errors of wording of a caption."""
    return [*_repetitions(facts), *_truncation(facts, is_complete=is_complete), *_grammar(facts)]


def errors_of_style(
    caption: str, facts: Facts, references: Sequence[Facts], corpus: CaptionCorpus
) -> list[CaptionError]:
    """Returns what is known of a caption by the captions of the training data."""
    found = []
    if facts.words and caption in corpus:
        found.append(_whole(ErrorType.COPIED, facts))
    rare = [sum(_is_rare(word, corpus) for word in one.words) for one in references]
    is_plain = bool(facts.words) and not any(_is_rare(word, corpus) for word in facts.words)
    if is_plain and rare and sum(rare) / len(rare) >= _MIN_RARE:
        found.append(_whole(ErrorType.GENERIC, facts))
    return found


def _is_rare(word: TaggedWord, corpus: CaptionCorpus) -> bool:
    return is_content(word.word, word.tag) and corpus.share(word.lemma) < _COMMON


def _whole(kind: ErrorType, facts: Facts) -> CaptionError:
    return CaptionError(kind, tuple(range(len(facts.words))), " ".join(word.word for word in facts.words))


def _repetitions(facts: Facts) -> list[CaptionError]:
    """Finds a phrase that is said again at once, or after one joining word: "a dog and a dog", "red red"."""
    words = [word.word for word in facts.words]
    for length in range(_LONGEST_REPEAT, 0, -1):
        for start in range(len(words) - 2 * length + 1):
            phrase = words[start : start + length]
            gap = 1 if start + length < len(words) and words[start + length] in _JOINTS and length > 1 else 0
            for again in {start + length, start + length + gap}:
                is_phrase = length > 1 or again == start + length
                if is_phrase and words[again : again + length] == phrase and not set(phrase) <= FUNCTION_WORDS:
                    positions = tuple(range(again, again + length))
                    return [CaptionError(ErrorType.REPETITION, positions, " ".join(phrase))]
    doubled = next((i for i in range(1, len(words)) if words[i] == words[i - 1]), None)
    return [] if doubled is None else [CaptionError(ErrorType.REPETITION, (doubled,), words[doubled])]


def _truncation(facts: Facts, *, is_complete: bool) -> list[CaptionError]:
    """Finds a caption that stops in the middle: by the search's own account, or by its last word."""
    if not facts.words:
        return []
    last = facts.words[-1]
    if is_complete and not _is_unfinished(facts.words):
        return []
    return [CaptionError(ErrorType.TRUNCATION, (len(facts.words) - 1,), last.word)]


def _is_unfinished(words: tuple[TaggedWord, ...]) -> bool:
    last = words[-1]
    if last.tag == "PRP":  # "a dog jumping in" is whole, "a dog in the water with" is not
        return len(words) < 2 or not words[-2].tag.startswith("V") or last.word in ("with", "of", "at", "into", "from")
    return last.tag.startswith(_UNFINISHED_TAGS)


def _grammar(facts: Facts) -> list[CaptionError]:
    """Finds numbers and articles that do not fit their noun, two articles in a row, verbs that do not agree."""
    errors = [error for thing in facts.things for error in _disagreement(thing, facts.words)]
    doubled = (i for i in range(1, len(facts.words)) if facts.words[i].tag == facts.words[i - 1].tag == "AT0")
    errors.extend(_at(facts, i) for i in doubled)
    for action in facts.actions:
        thing = None if action.subject is None else facts.things[action.subject]
        if thing is not None and thing.stop == action.verb.position:
            tag, head = facts.words[action.verb.position].tag, facts.words[thing.head.position].tag
            if (tag, head) in (("VVZ", "NN2"), ("VVB", "NN1")) and not _is_joined(thing, facts):
                errors.append(_at(facts, action.verb.position))
    return errors


def _disagreement(thing: Thing, words: tuple[TaggedWord, ...]) -> list[CaptionError]:
    head, first = words[thing.head.position], words[thing.start]
    is_counted = first.tag == "CRD" and first.word not in ("one", "1")
    if (
        is_counted
        and head.tag == "NN1"
        and thing.stop == thing.head.position + 1
        and thing.start + 1 <= thing.head.position
    ):
        return [CaptionError(ErrorType.GRAMMAR, (thing.start, thing.head.position), f"{first.word} {head.word}")]
    between = {word.tag[:2] for word in words[thing.start + 1 : thing.head.position]}
    # Behind another noun a plural is rather a verb that the tagger missed: "a man bowls".
    if first.word in ("a", "an") and head.tag == "NN2" and head.word.endswith("s") and between <= {"AJ"}:
        return [CaptionError(ErrorType.GRAMMAR, (thing.start, thing.head.position), f"{first.word} {head.word}")]
    return []


def _is_joined(thing: Thing, facts: Facts) -> bool:
    return thing.start > 0 and facts.words[thing.start - 1].tag == "CJC"


def _at(facts: Facts, position: int) -> CaptionError:
    return CaptionError(ErrorType.GRAMMAR, (position,), facts.words[position].word)
