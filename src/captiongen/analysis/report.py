"""The ranked captions as one self-contained HTML page: pictures and styles inside, nothing fetched from anywhere."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from captiongen.analysis.ranking import BADNESS_WEIGHTS, RankedCaption
from captiongen.metrics.report import METRIC_LABELS
from captiongen.types import ImageArray, MetricsReport

_JPEG_QUALITY = 85
_NUM_BINS = 24


@dataclass(frozen=True, slots=True)
class Card:
    """One caption on the page.

    Attributes:
        group: which part of the ranking it is shown for, `worst` or `best`.
        rank: its place, 1 is the worst of all.
        ranked: the caption.
        picture: `data:` URI of the picture.
    """

    group: str
    rank: int
    ranked: RankedCaption
    picture: str


def embed_picture(pixels: ImageArray) -> str:
    """Encodes a picture as JPEG in a `data:` URI."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=_JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def render_page(
    cards: Sequence[Card],
    ranked: Sequence[RankedCaption],
    report: MetricsReport,
    *,
    dataset: str,
    facts: Mapping[str, str],
) -> str:
    """Renders the page.

    Args:
        cards: the captions to show, in the order of the page.
        ranked: all captions of the split, for the overview.
        report: metrics of the split.
        dataset: name of the data set.
        facts: what else identifies the evaluation, such as the model's hash; shown as they are.
    """
    environment = Environment(
        loader=PackageLoader("captiongen.analysis"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("worst.html").render(
        cards=cards,
        report=report,
        labels=METRIC_LABELS,
        weights=BADNESS_WEIGHTS,
        dataset=dataset,
        facts=facts,
        num_images=len(ranked),
        bins=_histogram([one.badness for one in ranked]),
    )


def _histogram(values: Sequence[float]) -> list[tuple[float, int]]:
    """Counts values in 0..1 in equal bins: (lower end, how many)."""
    counts = [0] * _NUM_BINS
    for value in values:
        counts[min(int(value * _NUM_BINS), _NUM_BINS - 1)] += 1
    return [(index / _NUM_BINS, count) for index, count in enumerate(counts)]
