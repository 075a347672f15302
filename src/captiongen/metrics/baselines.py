"""What a score is held against: how well people do, and how well a caption does that never looks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from captiongen.metrics.ngrams import MAX_ORDER, Ngram, Tokens, count_ngrams

TokenisedHypotheses = Mapping[str, Tokens]
TokenisedReferences = Mapping[str, Sequence[Tokens]]


def leave_one_out(references: TokenisedReferences) -> Iterator[tuple[TokenisedHypotheses, TokenisedReferences]]:
    """Yields passes in which one human caption of each image is the hypothesis and the others are its references.

    With n references per image there are n passes, each an ordinary scoring with n - 1 references and its own document
    frequencies; human scores are averages over the passes. Images with fewer references take turns from the start
    again. BLEU and ROUGE grow with the number of references, so the ceiling reads a little low beside a hypothesis that
    is scored against all n; CIDEr does not.

    Args:
        references: images with two references or more.
    """
    for index in range(max((len(captions) for captions in references.values()), default=0)):
        turns = {image_id: index % len(captions) for image_id, captions in references.items()}
        yield (
            {image_id: references[image_id][turn] for image_id, turn in turns.items()},
            {
                image_id: [*references[image_id][:turn], *references[image_id][turn + 1 :]]
                for image_id, turn in turns.items()
            },
        )


def constant_captions(references: TokenisedReferences, *, num_captions: int = 10) -> Sequence[Tokens]:
    """Returns the most typical captions of a set: what a captioner that never looks would do well to say.

    Typical are captions of about median length whose n-grams of orders 1..4 appear in the references of most images.
    They are taken from the references that they are scored against, which makes the floor rather high than low.
    Deterministic: the order of images and references has no say.
    """
    frequencies: Counter[Ngram] = Counter()
    for captions in references.values():
        frequencies.update({ngram for caption in captions for ngram in count_ngrams(caption)})
    distinct = sorted({tuple(caption) for captions in references.values() for caption in captions})
    median = float(np.median([len(caption) for captions in references.values() for caption in captions]))
    candidates = [caption for caption in distinct if abs(len(caption) - median) <= 1]
    return sorted(candidates or distinct, key=lambda caption: -_typicality(caption, frequencies))[:num_captions]


def _typicality(caption: Tokens, frequencies: Mapping[Ngram, int]) -> float:
    """Mean over the orders of the mean number of images that share the caption's n-grams of that order."""
    sums, counts = [0] * MAX_ORDER, [0] * MAX_ORDER
    for ngram, count in count_ngrams(caption).items():
        sums[len(ngram) - 1] += count * frequencies[ngram]
        counts[len(ngram) - 1] += count
    return sum(total / max(1, count) for total, count in zip(sums, counts, strict=True)) / MAX_ORDER
