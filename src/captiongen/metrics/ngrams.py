"""Tokens and n-grams: what BLEU and CIDEr count."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from captiongen.errors import DataError
from captiongen.text.normalise import metric_tokens
from captiongen.types import Captions

MAX_ORDER = 4

Tokens = Sequence[str]
Ngram = tuple[str, ...]


def count_ngrams(tokens: Tokens) -> Counter[Ngram]:
    """Counts the n-grams of orders 1..4 of a caption."""
    # Shifted copies of the tokens, zipped, are the n-grams of one order.
    orders = (zip(*(tokens[start:] for start in range(order)), strict=False) for order in range(1, MAX_ORDER + 1))
    return Counter(chain.from_iterable(orders))


def tokenise_pairs(
    hypotheses: Mapping[str, str], references: Captions
) -> tuple[dict[str, list[str]], dict[str, list[list[str]]]]:
    """Splits captions into metric tokens, both in the order of the references' image ids.

    Raises:
        DataError: there is no image, an image has no reference, or the two name different images: a metric over a
            silently smaller set is another metric.
    """
    if not references:
        raise DataError("Scoring needs at least one image with references, found none.")
    for verb, unmatched in (
        ("have no hypothesis", references.keys() - hypotheses.keys()),
        ("have a hypothesis but no references", hypotheses.keys() - references.keys()),
        ("have an empty list of references", {image_id for image_id, texts in references.items() if not texts}),
    ):
        if unmatched:
            shown = ", ".join(sorted(unmatched)[:5])
            raise DataError(
                f"Every image needs one hypothesis and at least one reference; {len(unmatched)} {verb} ({shown}). "
                "Give both for the same images."
            )
    return (
        {image_id: metric_tokens(hypotheses[image_id]) for image_id in references},
        {image_id: [metric_tokens(text) for text in texts] for image_id, texts in references.items()},
    )
