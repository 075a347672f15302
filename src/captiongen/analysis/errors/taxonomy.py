"""Errors of a caption by name: what kind, which words, and what people say instead.

A caption is held against the union of what people say of the image: what one of five names is no error. A statement
that nobody shares becomes an error when people state something else in its place; where they are silent it is left
alone, but for things that nobody sees (a hallucination in the sense of CHAIR, Rohrbach et al., 2018).
"""

from collections.abc import Sequence

from captiongen.analysis.errors import agreement, wording
from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader

_BROKEN = frozenset({ErrorType.TRUNCATION, ErrorType.REPETITION})


def find_errors(
    hypothesis: str,
    references: Sequence[str],
    reader: FactReader,
    *,
    corpus: CaptionCorpus | None = None,
    is_complete: bool = True,
) -> tuple[CaptionError, ...]:
    """Returns the errors of a caption against its references, in the order of the words they concern.

    Args:
        hypothesis: the caption, in any spelling.
        references: what people say of the image; with none, errors of wording alone are found.
        reader: reads facts.
        corpus: the captions of the training data: tells what is generic, what is copied, and which things go together.
            Without it the first two are not looked for, and every thing that nobody else names is a hallucination.
        is_complete: False when the search stopped at its length limit.
    """
    facts = reader.read(hypothesis)
    stated = [reader.read(reference) for reference in references]
    found = wording.errors(facts, is_complete=is_complete)
    if corpus is not None:
        found += wording.errors_of_style(hypothesis, facts, stated, corpus)
    if stated:
        broken = {position for error in found for position in error.positions if error.type in _BROKEN}
        # What is said twice would count twice.
        is_repeated = any(error.type is ErrorType.REPETITION for error in found)
        compared = [
            *agreement.objects(facts, stated, reader.lexicon, corpus),
            *agreement.scenes(facts, stated, reader.lexicon, corpus),
            *agreement.colours(facts, stated, reader.lexicon),
            *agreement.attributes(facts, stated, reader.lexicon),
            *([] if is_repeated else agreement.counts(facts, stated, reader.lexicon)),
            *agreement.actions(facts, stated, reader.lexicon),
            *agreement.relations(facts, stated, reader.lexicon),
        ]
        # What is repeated or broken off states nothing of its own.
        found += [error for error in compared if not broken.intersection(error.positions)]
    return tuple(sorted(found, key=lambda error: (error.positions or (len(facts.words),), error.type)))
