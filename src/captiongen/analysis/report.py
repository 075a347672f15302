"""The findings as one self-contained HTML page: pictures, styles and script inside, nothing fetched from anywhere.

The page draws a caption's card when it comes into view, from data that stand in the page as JSON: a thousand cards open
as fast as ten.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import numpy.typing as npt

from captiongen.analysis import pages
from captiongen.analysis.findings import AnalysedCaption, Findings
from captiongen.analysis.search_errors import Fault
from captiongen.analysis.slicing.slices import MIN_IMAGES
from captiongen.metrics.report import METRIC_LABELS
from captiongen.text.normalise import normalise_caption
from captiongen.types import Hypothesis, JsonObject, MetricsReport

_NUM_BINS = 24
_NUM_LISTED = 3  # captions of an n-best list, beside the best of it
_ATTENTION_LEVELS = 255


def render_page(
    findings: Findings,
    shown: Sequence[tuple[AnalysedCaption, str]],
    report: MetricsReport,
    thumbnails: Mapping[str, str],
    *,
    dataset: str,
    model: str,
) -> str:
    """Renders the page.

    Args:
        findings: of the whole split.
        shown: the captions to show, worst first, each with the `data:` URI of its picture.
        report: metrics of the split.
        thumbnails: of training images, by image id, as `data:` URIs; the nearest one is shown where it is among them.
        dataset: name of the data set and split.
        model: that wrote the captions.
    """
    cards = [_card(rank, one, picture, thumbnails) for rank, (one, picture) in enumerate(shown, start=1)]
    return pages.render(
        "analysis.html",
        findings=findings,
        # No "<" may stand in a script element's text: a caption could end it.
        cards=json.dumps(cards, separators=(",", ":")).replace("<", "\\u003c"),
        num_shown=len(cards),
        num_images=len(findings.captions),
        slices=[
            (group, list(some)) for group, some in groupby(findings.slices.singles, lambda one: one.properties[0].group)
        ],
        min_images=MIN_IMAGES,
        faults={fault.value: findings.search.share(fault) for fault in Fault},
        report=report,
        labels=METRIC_LABELS,
        dataset=dataset,
        model=model,
        bins=_histogram([one.judged.badness for one in findings.captions]),
    )


def _card(rank: int, one: AnalysedCaption, picture: str, thumbnails: Mapping[str, str]) -> JsonObject:
    """What the page's script needs to draw a caption; short names, because a page holds a thousand."""
    judged, neighbour = one.judged, one.facts.inspection.neighbour
    image, scores = judged.image, judged.scores
    return {
        "rank": rank,
        "id": image.image_id,
        "badness": round(judged.badness, 3),
        "cider": round(scores.cider, 1),
        "human": None if scores.human_cider is None else round(scores.human_cider, 1),
        "bleu": round(scores.bleu_4, 1),
        "rouge": round(scores.rouge_l, 1),
        "cut": not image.hypotheses[0].is_complete,
        "words": _words(image.hypotheses[0]),
        "errors": [
            [error.type.value, list(error.positions), error.said, list(error.instead), round(error.support, 2)]
            for error in judged.judgement.errors
        ],
        "references": list(image.references),
        "nbest": [
            [place, each.caption, round(each.score, 3)]
            for place, each in enumerate(image.hypotheses)
            if place < _NUM_LISTED or place == one.oracle
        ],
        "oracle": one.oracle,
        "fault": one.fault or "",
        "near": [
            neighbour.image_id,
            round(neighbour.similarity, 2),
            neighbour.captions[0] if neighbour.captions else "",
            thumbnails.get(neighbour.image_id, ""),
        ],
        "slices": list(one.properties),
        "rival": None if one.rival is None else [one.rival, round(one.rival_cider, 1)],
        "change": one.change,
        "picture": picture,
        "aspect": None if np.isnan(one.facts.aspect) else round(one.facts.aspect, 3),
        "grid": one.facts.inspection.attention.shape[-1],
        "attention": _pack(one.facts.inspection.attention),
    }


def _words(best: Hypothesis) -> list[tuple[str, float | None, float | None]]:
    """(word, probability, confidence); positions of errors count the words of the normalised caption."""
    words = normalise_caption(best.caption).split()
    if words == [one.word for one in best.words]:
        return [
            (one.word, round(one.probability, 3), None if one.confidence is None else round(one.confidence, 3))
            for one in best.words
        ]
    return [(word, None, None) for word in words]


def _pack(attention: npt.NDArray[np.float32]) -> str:
    """Attention maps, (words, G, G), as base64 of bytes; each map's highest value is 255."""
    if not attention.size:
        return ""
    highest = attention.max(axis=(1, 2), keepdims=True)
    levels = np.rint(attention / np.maximum(highest, 1e-12) * _ATTENTION_LEVELS).astype(np.uint8)
    return base64.b64encode(levels.tobytes()).decode("ascii")


def _histogram(values: Sequence[float]) -> list[tuple[float, int]]:
    """Counts values in 0..1 in equal bins: (lower end, how many)."""
    counts = [0] * _NUM_BINS
    for value in values:
        counts[min(int(value * _NUM_BINS), _NUM_BINS - 1)] += 1
    return [(index / _NUM_BINS, count) for index, count in enumerate(counts)]
