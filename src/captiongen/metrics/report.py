"""Scores a set of captions into one report: metrics with intervals, human ceiling, floor and signature."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from captiongen.errors import DataError
from captiongen.files import write_atomically
from captiongen.metrics.baselines import TokenisedHypotheses, TokenisedReferences, constant_captions, leave_one_out
from captiongen.metrics.bleu import BleuReferences, bleu_from_statistics, bleu_statistics
from captiongen.metrics.cider import CiderScorer
from captiongen.metrics.interval import FloatArray, bootstrap_interval
from captiongen.metrics.meteor import Meteor
from captiongen.metrics.ngrams import tokenise_pairs
from captiongen.metrics.rouge import rouge_l
from captiongen.types import Captions, ImageScores, MetricsReport, MetricsSignature, MetricValue, Reliability

BLEU_NAMES = ("bleu_1", "bleu_2", "bleu_3", "bleu_4")
TOKENIZER = "captiongen.metric_tokens"
#: How papers write the metrics.
METRIC_LABELS = dict(zip(BLEU_NAMES, ("BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4"), strict=True)) | {
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr-D",
    "meteor": "METEOR",
}


@dataclass(frozen=True, slots=True)
class _Family:
    """Metrics that are one function of statistics summed over images."""

    names: tuple[str, ...]
    statistics: FloatArray  # (images, statistics)
    metric: Callable[[FloatArray], FloatArray]  # (sets, statistics) -> (sets, names)


def score_captions(
    hypotheses: Mapping[str, str],
    references: Captions,
    *,
    decoding: str,
    split_hash: str,
    num_resamples: int,
    seed: int,
    with_meteor: bool = False,
) -> MetricsReport:
    """Scores one caption per image against its references.

    The human ceiling is the average of `leave_one_out` passes (None unless every image has two references), the floor
    the best value that any one of `constant_captions` reaches, metric by metric.

    Args:
        hypotheses: image id -> caption; may be empty.
        references: image id -> captions, of the same images.
        decoding: how the captions were searched, such as `DecodeParams.describe()`.
        split_hash: identity of the images and references.
        num_resamples: of the bootstrap over images.
        seed: of the bootstrap.
        with_meteor: also METEOR, which needs Java and takes about a minute per 1,000 images.

    Raises:
        DataError: the two are not of the same images, or an image has no reference.
        ServiceError: METEOR was asked for and cannot run.
    """
    tokenised, tokenised_references = tokenise_pairs(hypotheses, references)
    with Meteor() if with_meteor else nullcontext() as meteor:
        scorer = _Scorer(tokenised_references, meteor)
        families = scorer.score(tokenised)
        values = _values(families)
        human, human_cider = _score_people(tokenised_references, meteor)
        floors = [
            _values(scorer.score(dict.fromkeys(references, caption)))
            for caption in constant_captions(tokenised_references)
        ]
        low, high = _intervals(families, num_resamples=num_resamples, seed=seed)
    metrics = {
        name: MetricValue(value, low[name], high[name], human.get(name), max(floor[name] for floor in floors))
        for name, value in values.items()
    }
    return MetricsReport(
        metrics=metrics,
        per_image=_per_image(list(references), families, human_cider),
        signature=_sign(references, decoding=decoding, split_hash=split_hash),
    )


def write_report(path: Path, report: MetricsReport) -> None:
    """Writes a report as JSON, atomically."""
    write_atomically(path, TypeAdapter(MetricsReport).dump_json(report, indent=1) + b"\n")


def read_report(path: Path) -> MetricsReport:
    """Reads what `write_report` wrote.

    Raises:
        DataError: the file is missing or no metrics report.
    """
    try:
        return TypeAdapter(MetricsReport).validate_json(path.read_bytes())
    except FileNotFoundError:
        raise DataError(
            f"Expected a metrics report at {path}, found nothing. Run `captiongen evaluate` first."
        ) from None
    except ValidationError as error:
        raise DataError(f"{path} is no metrics report: {error}. Run `captiongen evaluate` again.") from error


def format_report(report: MetricsReport) -> str:
    """Returns the report as a plain-text table, the signature below it."""
    lines = [f"{'metric':<8} {'value':>7}   {'95 % interval':<15} {'human':>6} {'floor':>6}"]
    for name, metric in report.metrics.items():
        interval = f"{metric.low:6.1f} .. {metric.high:5.1f}"
        human = "-" if metric.human is None else f"{metric.human:.1f}"
        lines.append(
            f"{METRIC_LABELS.get(name, name):<8} {metric.value:7.1f}   {interval:<15} {human:>6} {metric.floor:6.1f}"
        )
    signature = report.signature
    lines += [
        *(_format_reliability(report.reliability) if report.reliability else []),
        "",
        f"{signature.num_images} images, {signature.references_per_image} references each, {signature.decoding}",
        f"split {signature.split_hash[:12]}, tokenizer {signature.tokenizer}, df from {signature.df_source}",
    ]
    return "\n".join(lines)


def flat_metrics(report: MetricsReport) -> dict[str, float]:
    """Returns the numbers of a report that a tracker draws over models, by name."""
    numbers: dict[str, float | None] = {name: metric.value for name, metric in report.metrics.items()}
    if (found := report.reliability) is not None:
        numbers |= {"truncated": found.truncated, "coverage": found.coverage, "covered_cider": found.covered_cider}
        numbers |= {f"repeating_{name}": share for name, share in found.repeating.items()}
        for kind, error in (("word", found.word_error), ("caption", found.caption_error)):
            if error is not None:
                numbers |= {f"{kind}_ece_probability": error.probability, f"{kind}_ece_confidence": error.confidence}
    return {name: number for name, number in numbers.items() if number is not None}


def _format_reliability(found: Reliability) -> list[str]:
    repeating = ", ".join(f"{name} {share:.1%}" for name, share in found.repeating.items())
    lines = ["", f"cut mid-sentence {found.truncated:.1%}; repeating a {repeating}"]
    for kind, error in (("words", found.word_error), ("captions", found.caption_error)):
        if error is not None:
            calibrated = "not calibrated" if error.confidence is None else f"{error.confidence:.3f} calibrated"
            lines.append(f"calibration error of {kind}: {error.probability:.3f} as the model has it, {calibrated}")
    half = next(point for point in found.curve if point.coverage >= 0.5)
    lines.append(f"CIDEr-D of the surer half {half.cider:.1f}")
    if found.coverage < 1.0:
        score = "-" if found.covered_cider is None else f"{found.covered_cider:.1f}"
        lines.append(f"not doubtful {found.coverage:.1%}, their CIDEr-D {score}")
    return lines


class _Scorer:
    """Scores any number of hypothesis sets against one set of references, which is prepared once."""

    def __init__(self, references: TokenisedReferences, meteor: Meteor | None) -> None:
        self._references = references
        self._meteor = meteor
        self._bleu = {image_id: BleuReferences.of(captions) for image_id, captions in references.items()}
        self._cider = CiderScorer(references)

    def score(self, hypotheses: TokenisedHypotheses) -> dict[str, _Family]:
        """Returns the families of metrics, their statistics in the order of the references' image ids."""
        image_ids = list(self._references)
        captions = [hypotheses[image_id] for image_id in image_ids]
        references = [self._references[image_id] for image_id in image_ids]
        bleu = np.array([bleu_statistics(hypotheses[image_id], self._bleu[image_id]) for image_id in image_ids])
        rouge = np.array([rouge_l(*pair) for pair in zip(captions, references, strict=True)])
        cider = self._cider.score_all(image_ids, captions)
        families = {
            "bleu": _Family(BLEU_NAMES, bleu, bleu_from_statistics),
            "rouge_l": _Family(("rouge_l",), rouge[:, None], lambda sums: sums / len(rouge)),
            "cider": _Family(("cider",), cider[:, None], lambda sums: sums / len(cider)),
        }
        if self._meteor is not None:
            statistics = [self._meteor.statistics(*pair) for pair in zip(captions, references, strict=True)]
            families["meteor"] = _Family(("meteor",), np.array(statistics), self._meteor.scores)
        return families


def _values(families: Mapping[str, _Family]) -> dict[str, float]:
    """Returns metric -> its value over all images."""
    values: dict[str, float] = {}
    for family in families.values():
        row = family.metric(family.statistics.sum(axis=0, keepdims=True))[0]
        values.update(zip(family.names, row.tolist(), strict=True))
    return values


def _intervals(
    families: Mapping[str, _Family], *, num_resamples: int, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Returns metric -> lower end and metric -> upper end of its 95 % interval."""
    lows: dict[str, float] = {}
    highs: dict[str, float] = {}
    for family in families.values():
        low, high = bootstrap_interval(family.statistics, family.metric, num_resamples=num_resamples, seed=seed)
        lows.update(zip(family.names, low.tolist(), strict=True))
        highs.update(zip(family.names, high.tolist(), strict=True))
    return lows, highs


def _score_people(references: TokenisedReferences, meteor: Meteor | None) -> tuple[dict[str, float], dict[str, float]]:
    """Returns metric -> human ceiling (empty unless every image has two references) and image id -> human CIDEr."""
    comparable = {image_id: captions for image_id, captions in references.items() if len(captions) > 1}
    if not comparable:
        return {}, {}
    passes = [_Scorer(others, meteor).score(left_out) for left_out, others in leave_one_out(comparable)]
    cider = np.mean([families["cider"].statistics[:, 0] for families in passes], axis=0)
    human_cider = dict(zip(comparable, cider.tolist(), strict=True))
    if len(comparable) < len(references):
        return {}, human_cider
    values = [_values(families) for families in passes]
    return {name: sum(value[name] for value in values) / len(values) for name in values[0]}, human_cider


def _per_image(
    image_ids: Sequence[str], families: Mapping[str, _Family], human_cider: Mapping[str, float]
) -> tuple[ImageScores, ...]:
    cider, rouge = families["cider"].statistics[:, 0], families["rouge_l"].statistics[:, 0]
    bleu_4 = bleu_from_statistics(families["bleu"].statistics)[:, -1]
    return tuple(
        ImageScores(image_id, float(cider[i]), float(bleu_4[i]), float(rouge[i]), human_cider.get(image_id))
        for i, image_id in enumerate(image_ids)
    )


def _sign(references: Captions, *, decoding: str, split_hash: str) -> MetricsSignature:
    fewest, most = (limit(map(len, references.values())) for limit in (min, max))
    return MetricsSignature(
        split_hash=split_hash,
        num_images=len(references),
        references_per_image=f"{fewest}" if fewest == most else f"{fewest}-{most}",
        tokenizer=TOKENIZER,
        df_source=f"the references of these {len(references)} images",
        decoding=decoding,
    )
