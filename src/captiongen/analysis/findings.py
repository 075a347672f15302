"""All that the error analysis finds of one split: the value that the table, the page and the tracking server show."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from captiongen.analysis.cost import ErrorCost, error_costs
from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.inspection import Inspection
from captiongen.analysis.judging.judge import CaptionEmbedder, Judge
from captiongen.analysis.judging.ranking import JudgedCaption, judge_captions, worst_first
from captiongen.analysis.search_errors import Fault, SearchReport, find_faults
from captiongen.analysis.slicing.clusters import cluster_pictures
from captiongen.analysis.slicing.comparison import Comparison, compare
from captiongen.analysis.slicing.pictures import PictureFacts
from captiongen.analysis.slicing.properties import Members, labelled, text_properties, thirds
from captiongen.analysis.slicing.slices import SliceReport, SplitScores, find_slices
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray
from captiongen.metrics.ngrams import tokenise_pairs
from captiongen.types import CaptionedImage, Captions, MetricsReport


class _Bootstrap(TypedDict):
    num_resamples: int
    seed: int


_BOOTSTRAP: _Bootstrap = {"num_resamples": 1000, "seed": 0}


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image beside its captions.

    Attributes:
        inspection: what the captioner had in mind.
        pooled: mean features, (C,).
        picture: brightness and sharpness.
        aspect: width over height of the original, NaN where nobody knows.
    """

    inspection: Inspection
    pooled: npt.NDArray[np.float32]
    picture: PictureFacts
    aspect: float


@dataclass(frozen=True, slots=True)
class AnalysedCaption:
    """A caption with everything that was found of it.

    Attributes:
        judged: the caption, its scores, badness and errors.
        facts: what else is known of the image.
        fault: whose it is, None where the caption is as good as people's.
        oracle: place of the best caption in the n-best list, 0 for the chosen one.
        properties: names of the slices that it is in.
        rival: what another model says, None where none was compared with.
        rival_cider: its CIDEr-D, NaN likewise.
        change: "fixed" or "broken" against it, "" for neither.
    """

    judged: JudgedCaption
    facts: ImageFacts
    fault: Fault | None
    oracle: int
    properties: tuple[str, ...]
    rival: str | None = None
    rival_cider: float = float("nan")
    change: str = ""


@dataclass(frozen=True, slots=True)
class Findings:
    """The error analysis of one split.

    Attributes:
        captions: of all images, worst first.
        costs: of the types of errors, the dearest first, all together last.
        slices: where it fails.
        search: whose fault it is.
        comparison: with another model, None without one.
    """

    captions: tuple[AnalysedCaption, ...]
    costs: tuple[ErrorCost, ...]
    slices: SliceReport
    search: SearchReport
    comparison: Comparison | None = None

    @property
    def mean_badness(self) -> float:
        """Of all captions, 0..1."""
        return sum(one.judged.badness for one in self.captions) / len(self.captions)


def find_all(
    images: Sequence[CaptionedImage],
    report: MetricsReport,
    facts: Sequence[ImageFacts],
    training: CaptionCorpus,
    *,
    reader: FactReader,
    embedder: CaptionEmbedder | None = None,
    rival: Mapping[str, str] | None = None,
) -> Findings:
    """Finds everything.

    Args:
        images: captions of a whole split.
        report: their metrics.
        facts: of the images, in the same order.
        training: captions of the training data.
        reader: reads facts.
        embedder: the captioner's matcher, where it has one: compares captions with people's. Nobody looks at the
            picture, for a captioner likes its own captions.
        rival: another model's captions of the same images, by image id.

    Raises:
        DataError: captions and metrics, or the rival's captions, are not of the same images.
    """
    references: Captions = {one.image_id: one.references for one in images}
    judge = Judge(references, reader, embedder=embedder, training=training)
    judged = judge_captions(images, report.per_image, judge)
    scores = SplitScores.of(judged)
    members = _members(references, facts, scores, reader, training)
    slices = find_slices(scores, members, **_BOOTSTRAP)
    thought = [one.inspection.scores for one in facts]
    search = find_faults(images, thought, [one.scores.human_cider for one in judged], **_BOOTSTRAP)
    comparison, rival_cider = None, np.full(len(images), np.nan)
    if rival is not None:
        rival_cider = _cider(rival, references)
        comparison = compare(scores.image_ids, scores.cider, rival_cider, scores.human_cider, members, **_BOOTSTRAP)
    shown = [one.properties[0] for one in slices.singles]
    captions = (
        AnalysedCaption(
            judged[i],
            facts[i],
            search.faults[i],
            search.oracle[i],
            tuple(str(name) for name in shown if members[name][i]),
            None if rival is None else rival[images[i].image_id],
            float(rival_cider[i]),
            _change(images[i].image_id, comparison),
        )
        for i in worst_first(judged)
    )
    return Findings(tuple(captions), error_costs(judged, reader, **_BOOTSTRAP), slices, search, comparison)


def _change(image_id: str, comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    return "fixed" if image_id in comparison.fixed else "broken" if image_id in comparison.broken else ""


def _members(
    references: Captions,
    facts: Sequence[ImageFacts],
    scores: SplitScores,
    reader: FactReader,
    training: CaptionCorpus,
) -> Members:
    """Everything that images of the split are or are not."""

    def measured(group: str, values: Sequence[float], *names: str) -> Members:
        return thirds(group, np.array(values), names)

    pooled = np.stack([one.pooled for one in facts])
    return {
        **text_properties(references, reader, training),
        **thirds("people's agreement", scores.human_cider, ("low", "middling", "high")),
        **measured("brightness", [one.picture.brightness for one in facts], "dark", "middling", "bright"),
        **measured("sharpness", [one.picture.sharpness for one in facts], "blurred", "middling", "sharp"),
        **labelled("shape", [_shape(one.aspect) for one in facts]),
        **measured(
            "nearest training picture",
            [one.inspection.neighbour.similarity for one in facts],
            "far",
            "middling",
            "near",
        ),
        **labelled("look-alikes", cluster_pictures(pooled, references, reader)),
    }


def _shape(aspect: float) -> str:
    if np.isnan(aspect):
        return "unknown"
    return "upright" if aspect < 0.9 else "wide" if aspect > 1.1 else "square"


def _cider(captions: Mapping[str, str], references: Captions) -> FloatArray:
    tokens, tokenised = tokenise_pairs(captions, references)
    return CiderScorer(tokenised).score_all(list(tokens), list(tokens.values()))
