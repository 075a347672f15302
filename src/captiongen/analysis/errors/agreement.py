"""Where a caption's facts disagree with those of its references, kind of fact by kind of fact.

Every function takes the facts of the hypothesis, those of the references, and what words mean.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.facts import INVERSES, Facts, Relation, Thing, Word
from captiongen.language.lexicon import Kinship, Lexicon

# Share of the references that must name a thing, or agree on an action, before its absence is an error.
_MAJORITY = 0.5
# So many references do not all miss what somebody does.
_MANY = 8
# Association from which a thing that only the caption names may well be there.
_ASSOCIATED = 0.2
# Share of the references that may count otherwise: people miscount, and so does who reads their captions.
_OUTLIERS = 0.2
# Relations of which at most one holds between two things; "on" and "in" are not opposed to what people also say there.
_OPPOSITES = {
    "left": {"right"}, "right": {"left"}, "front": {"behind"}, "behind": {"front"}, "over": {"under"},
    "on": {"under"}, "under": {"over", "on"}, "in": {"out"}, "out": {"in"},
}  # fmt: skip
# What is worn is compared as a thing with its colour.
_OF_CLOTHES = frozenset({"wear", "dress"})
# Where in the picture, not what is in it.
_PICTURE_PARTS = frozenset({"background", "foreground", "distance", "front", "side", "camera", "picture", "photo"})


def objects(
    facts: Facts, references: Sequence[Facts], lexicon: Lexicon, corpus: CaptionCorpus | None = None
) -> list[CaptionError]:
    """Finds things that nobody else names (wrong or hallucinated), and things that most name and the caption omits."""
    known = _lemmas(references)
    strange = [
        (i, thing) for i, thing in enumerate(facts.things)
        if _is_object(thing, lexicon) and not _is_named(thing, references, known, lexicon)
    ]  # fmt: skip
    omitted = _omitted(facts, references, lexicon)
    errors = []
    for i, thing in strange:
        # A thing of another kind takes the place of what people name only where it is what the caption is about.
        rival = _rival(thing, omitted, lexicon) or (next(iter(omitted), None) if i == 0 else None)
        if rival is None:
            if not _goes_with(thing, known, corpus):
                errors.append(_error(ErrorType.HALLUCINATED_OBJECT, facts, [thing.head]))
        else:
            errors.append(_error(ErrorType.WRONG_OBJECT, facts, [thing.head], [rival], omitted.pop(rival)))
    return errors + [
        CaptionError(ErrorType.MISSING_OBJECT, (), "", (lemma,), share) for lemma, share in omitted.items()
    ]


def scenes(
    facts: Facts, references: Sequence[Facts], lexicon: Lexicon, corpus: CaptionCorpus | None = None
) -> list[CaptionError]:
    """Finds places that nobody else names, where at least half of the references name another one."""
    places = Counter(
        lemma for one in references for lemma in _unique(thing.head.lemma for thing in one.things if thing.is_place)
    )
    share = sum(any(thing.is_place for thing in one.things) for one in references) / len(references)
    known = _lemmas(references)
    return [
        _error(ErrorType.SCENE, facts, [thing.head], _most_common(places), share)
        for thing in facts.things
        if thing.is_place
        and share >= _MAJORITY
        and not _is_named(thing, references, known, lexicon)
        and not _goes_with(thing, places, corpus)
    ]


def colours(facts: Facts, references: Sequence[Facts], lexicon: Lexicon) -> list[CaptionError]:
    """Finds colours that nobody gives to a thing to which others give another one."""
    errors = []
    for thing in facts.things:
        given = [[colour.lemma for colour in _colours_of(thing, one, lexicon)] for one in references]
        others = Counter(colour for one in given for colour in _unique(one))
        wrong = [
            colour for colour in thing.colours
            if others and not any(lexicon.same_colour(colour.lemma, other) for other in others)
        ]  # fmt: skip
        if wrong:
            support = sum(map(bool, given)) / len(references)
            errors.append(_error(ErrorType.COLOUR, facts, wrong, _most_common(others), support))
    return errors


def attributes(facts: Facts, references: Sequence[Facts], lexicon: Lexicon) -> list[CaptionError]:
    """Finds adjectives of which others say the opposite of the same thing, and nobody the same."""
    errors = []
    for thing in facts.things:
        said = Counter(
            attribute.lemma for one in references for other in one.things if _are_kin(thing, other, lexicon)
            for attribute in other.attributes
        )  # fmt: skip
        for attribute in thing.attributes:
            against = Counter({word: n for word, n in said.items() if lexicon.are_opposites(attribute.lemma, word)})
            agreed = any(lexicon.kinship(attribute.lemma, word, "adj") >= Kinship.KIND for word in said)
            if against and not agreed:
                support = min(1.0, against.total() / len(references))
                errors.append(_error(ErrorType.ATTRIBUTE, facts, [attribute], _most_common(against), support))
    return errors


def counts(facts: Facts, references: Sequence[Facts], lexicon: Lexicon) -> list[CaptionError]:
    """Finds numbers that hardly any reference that names the thing can agree with."""
    errors = []
    for thing in facts.things:
        if lexicon.is_place(thing.head.lemma) or not _is_object(thing, lexicon):
            continue
        # Who counts knows better than who says "girls".
        counting = [one for one in references if _is_counted(_alike(thing, one.things, lexicon))]
        totals = [
            total for one in counting or references
            if (total := _total(thing, facts, one, lexicon)) is not None
        ]  # fmt: skip
        agreeing = sum(ours == theirs for ours, theirs in totals)
        if totals and agreeing < _OUTLIERS * len(totals):
            numbers = Counter(str(theirs) for _, theirs in totals)
            words = [Word(thing.head.lemma, position) for position in range(thing.start, thing.stop)]
            said = words[:1] if words[0].position != thing.head.position else [thing.head]
            errors.append(_error(ErrorType.COUNT, facts, said, _most_common(numbers), len(totals) / len(references)))
    return errors


def actions(facts: Facts, references: Sequence[Facts], lexicon: Lexicon) -> list[CaptionError]:
    """Finds actions that nobody else states, where most agree on another one that the caption does not state."""
    known = _lemmas(references)
    ours = [action.verb.lemma for action in facts.actions]
    agreed = _agreed_actions(references, lexicon)
    num_stating = sum(bool(one.actions) for one in references)
    rivals = {
        lemma: share for lemma, share in agreed.items()
        if (share > _MAJORITY or num_stating >= _MANY) and lemma not in _OF_CLOTHES
        and not any(_are_kin_verbs(lemma, one, lexicon) for one in ours)
    }  # fmt: skip
    errors = []
    for action in facts.actions:
        is_stated = action.verb.lemma in known or any(
            _are_kin_verbs(action.verb.lemma, other.verb.lemma, lexicon) for one in references for other in one.actions
        )
        if rivals and not is_stated and action.verb.lemma not in _OF_CLOTHES:
            errors.append(_error(ErrorType.ACTION, facts, [action.verb], list(rivals)[:3], max(rivals.values())))
    return errors


def relations(facts: Facts, references: Sequence[Facts], lexicon: Lexicon) -> list[CaptionError]:
    """Finds relations of which others state the opposite for the same two things, and nobody the same."""
    errors = []
    for relation in facts.relations:
        stated = [_names_between(relation, facts, one, lexicon) for one in references]
        opposites = _OPPOSITES.get(relation.name, set())
        against = Counter(name for names in stated for name in sorted(names & opposites))
        if against and not any(relation.name in names for names in stated):
            words = [Word(relation.name, position) for position in range(relation.start, relation.stop)]
            support = sum(bool(names & opposites) for names in stated) / len(references)
            errors.append(_error(ErrorType.RELATION, facts, words, _most_common(against), support))
    return errors


def _error(
    kind: ErrorType, facts: Facts, words: Iterable[Word], instead: Sequence[str] = (), support: float = 1.0
) -> CaptionError:
    positions = tuple(word.position for word in words)
    said = " ".join(facts.words[position].word for position in positions)
    return CaptionError(kind, positions, said, tuple(instead), support)


def _most_common(counts: Counter[str]) -> tuple[str, ...]:
    return tuple(word for word, _ in counts.most_common(3))


def _unique(words: Iterable[str]) -> list[str]:
    """Each word once, in the order of the words: a set's order would break ties in another way in each process."""
    return list(dict.fromkeys(words))


def _lemmas(references: Sequence[Facts]) -> frozenset[str]:
    words = [word for one in references for word in one.words]
    return frozenset(word.lemma for word in words) | frozenset(word.word for word in words)


def _is_object(thing: Thing, lexicon: Lexicon) -> bool:
    """Whether a thing can be seen and is not the place itself."""
    lemma = thing.head.lemma
    return not thing.is_place and lemma not in _PICTURE_PARTS and lexicon.is_visible(lemma)


def _are_kin(one: Thing, other: Thing, lexicon: Lexicon) -> bool:
    return lexicon.kinship(one.head.lemma, other.head.lemma, "noun") >= Kinship.KIND


def _are_kin_verbs(one: str, other: str, lexicon: Lexicon) -> bool:
    return lexicon.kinship(one, other, "verb") >= Kinship.KIND


def _goes_with(thing: Thing, lemmas: Iterable[str], corpus: CaptionCorpus | None) -> bool:
    """Whether the thing is often said of pictures of which the references' words are said: a ball, of dogs in grass."""
    lemma = thing.head.lemma
    return corpus is not None and any(corpus.association(lemma, other) >= _ASSOCIATED for other in lemmas)


def _is_named(thing: Thing, references: Sequence[Facts], known: frozenset[str], lexicon: Lexicon) -> bool:
    if thing.head.lemma in known:
        return True
    return any(_are_kin(thing, other, lexicon) for one in references for other in one.things)


def _omitted(facts: Facts, references: Sequence[Facts], lexicon: Lexicon) -> dict[str, float]:
    """Returns lemma -> share of the references, of things that most name and the caption does not, most named first."""
    ours = frozenset(word.lemma for word in facts.words)
    shares: dict[str, float] = {}
    named = Counter(
        lemma for one in references
        for lemma in _unique(thing.head.lemma for thing in one.things if _is_object(thing, lexicon))
    )  # fmt: skip
    for lemma, _ in named.most_common():
        if lemma in ours or any(_is_kin_lemma(lemma, thing, lexicon) for thing in facts.things):
            continue
        if any(lexicon.kinship(lemma, other, "noun") >= Kinship.KIND for other in shares):
            continue  # the same thing by a less common name
        kin = sum(any(_is_kin_lemma(lemma, thing, lexicon) for thing in one.things) for one in references)
        if kin / len(references) > _MAJORITY:
            shares[lemma] = kin / len(references)
    return shares


def _is_kin_lemma(lemma: str, thing: Thing, lexicon: Lexicon) -> bool:
    return lexicon.kinship(lemma, thing.head.lemma, "noun") >= Kinship.KIND


def _rival(thing: Thing, omitted: dict[str, float], lexicon: Lexicon) -> str | None:
    """What people name in its place: the omitted thing that is most like it."""
    like = {lemma: lexicon.kinship(thing.head.lemma, lemma, "noun") for lemma in omitted}
    return next((lemma for lemma in omitted if like[lemma] is Kinship.ALTERNATIVE), None)


def _colours_of(thing: Thing, reference: Facts, lexicon: Lexicon) -> Iterable[Word]:
    """Colours that a reference gives to the thing; what a person wears and who wears it share theirs."""
    wears = _wears(thing, lexicon)
    for other in reference.things:
        same_outfit = wears and _wears(other, lexicon) and _is_person(thing, lexicon) != _is_person(other, lexicon)
        if _are_kin(thing, other, lexicon) or same_outfit:
            yield from other.colours


def _is_person(thing: Thing, lexicon: Lexicon) -> bool:
    return lexicon.is_kind_of(thing.head.lemma, "person")


def _wears(thing: Thing, lexicon: Lexicon) -> bool:
    return _is_person(thing, lexicon) or lexicon.is_kind_of(thing.head.lemma, "clothing")


def _total(thing: Thing, facts: Facts, reference: Facts, lexicon: Lexicon) -> tuple[int, int] | None:
    """How many of a kind both name, (ours, theirs); equal where they agree, None where a reference names none."""
    theirs = _alike(thing, reference.things, lexicon)
    # Both sides count all that either calls by such a name: "two people" and "a man and a woman" agree.
    ours = [one for one in facts.things if any(_alike(one, [other], lexicon) for other in theirs)]
    theirs = [other for other in reference.things if any(_alike(one, [other], lexicon) for one in ours)]
    if not theirs:
        return None
    if thing.count is not None and any(other.count == thing.count for other in theirs):
        return thing.count, thing.count  # of several that go by this name, it may be this one
    open_ours, open_theirs = (any(one.count is None for one in some) for some in (ours, theirs))
    num_ours, num_theirs = (sum(one.count or 2 for one in some) for some in (ours, theirs))
    if open_ours or open_theirs:  # several against several agree; several against one does not
        at_least = num_theirs if open_theirs else num_ours
        exact = num_ours if open_theirs else num_theirs
        both = open_ours and open_theirs
        return (num_theirs, num_theirs) if both or exact >= at_least else (num_ours, num_theirs)
    return num_ours, num_theirs


def _alike(thing: Thing, others: Iterable[Thing], lexicon: Lexicon) -> list[Thing]:
    lemma = thing.head.lemma
    return [
        other for other in others
        if not lexicon.is_place(other.head.lemma) and lexicon.are_called_alike(lemma, other.head.lemma)
    ]  # fmt: skip


def _is_counted(things: Sequence[Thing]) -> bool:
    return bool(things) and all(thing.count is not None for thing in things)


def _agreed_actions(references: Sequence[Facts], lexicon: Lexicon) -> dict[str, float]:
    """Returns verb -> share of the references that state it or the like, the most stated first."""
    verbs = [_unique(action.verb.lemma for action in one.actions) for one in references]
    named = Counter(verb for one in verbs for verb in one)
    return {
        verb: sum(any(_are_kin_verbs(verb, other, lexicon) for other in one) for one in verbs) / len(references)
        for verb, _ in named.most_common()
    }


def _names_between(relation: Relation, facts: Facts, reference: Facts, lexicon: Lexicon) -> set[str]:
    """Names of the relations that a reference states between the same two things, read in the same direction."""
    subject, other = facts.things[relation.subject], facts.things[relation.other]
    names = set()
    for one in reference.relations:
        their_subject, their_other = reference.things[one.subject], reference.things[one.other]
        if _are_kin(subject, their_subject, lexicon) and _are_kin(other, their_other, lexicon):
            names.add(one.name)
        if _are_kin(subject, their_other, lexicon) and _are_kin(other, their_subject, lexicon):
            names.add(INVERSES.get(one.name, ""))
    return names
