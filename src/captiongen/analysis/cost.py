"""What errors cost: the CIDEr-D that a split would gain if all errors of one type were mended.

After TIDE (Bolya et al., ECCV 2020): each type is mended alone, so that its figure says what work on it alone could
bring; the figures do not add up, which is why the last row mends all at once. Document frequencies stay those of the
split. An oracle changes as few words as it can (`captiongen.analysis.errors.mending`), so the figures are lower bounds.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from captiongen.analysis.errors.caption_error import ErrorType
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.errors.mending import MENDABLE, mend
from captiongen.analysis.judging.ranking import JudgedCaption
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray, PairedDifference, paired_bootstrap
from captiongen.metrics.ngrams import tokenise_pairs
from captiongen.text.normalise import metric_tokens


@dataclass(frozen=True, slots=True)
class ErrorCost:
    """What errors of one type cost.

    Attributes:
        type: None for all types together.
        num_errors: of that type.
        num_captions: that have one.
        gain: CIDEr-D (0..1000) that mending them would bring to the mean of the split, with its 95 % interval; None for
            types without an oracle.
    """

    type: ErrorType | None
    num_errors: int
    num_captions: int
    gain: PairedDifference | None


def error_costs(
    captions: Sequence[JudgedCaption], reader: FactReader, *, num_resamples: int, seed: int
) -> tuple[ErrorCost, ...]:
    """Prices every type that occurs, the dearest first; types without an oracle, then all together, come last.

    Args:
        captions: of a whole split: CIDEr's frequencies are counted over it.
        reader: that the errors were found with.
        num_resamples: of the bootstrap over images.
        seed: of the bootstrap.
    """
    tokens, references = tokenise_pairs(
        {one.image.image_id: one.image.hypotheses[0].caption for one in captions},
        {one.image.image_id: one.image.references for one in captions},
    )
    scorer = CiderScorer(references)
    base = scorer.score_all(list(tokens), list(tokens.values()))

    def price(kind: ErrorType | None, types: Collection[ErrorType]) -> ErrorCost:
        chosen = [[error for error in one.judgement.errors if error.type in types] for one in captions]
        gain = None
        if mendable := MENDABLE.intersection(types):
            mended = base + _gains(captions, mendable, scorer, dict(zip(tokens, base, strict=True)), reader)
            gain = paired_bootstrap(mended, base, num_resamples=num_resamples, seed=seed)
        return ErrorCost(kind, sum(map(len, chosen)), sum(map(bool, chosen)), gain)

    occurring = {error.type for one in captions for error in one.judgement.errors}
    costs = [price(kind, {kind}) for kind in sorted(occurring)]
    costs.sort(key=lambda cost: -np.inf if cost.gain is None else cost.gain.mean, reverse=True)
    return (*costs, price(None, occurring))


def _gains(
    captions: Sequence[JudgedCaption],
    types: Collection[ErrorType],
    scorer: CiderScorer,
    base: Mapping[str, float],
    reader: FactReader,
) -> FloatArray:
    """CIDEr that each caption gains by mending, (captions,); below 0 where mending costs it words that it got right."""
    gains = np.zeros(len(captions))
    for index, one in enumerate(captions):
        if errors := [error for error in one.judgement.errors if error.type in types]:
            facts = reader.read(one.image.hypotheses[0].caption)
            mended = mend(facts, errors, [reader.read(text) for text in one.image.references])
            image_id = one.image.image_id
            gains[index] = scorer.score(image_id, metric_tokens(mended)) - base[image_id]
    return gains
