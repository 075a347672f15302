"""The captions a model wrote for a split, scored and kept: what `evaluate` and every later look at a model share."""

from dataclasses import dataclass
from pathlib import Path

from captiongen.data.captions_table import write_captions
from captiongen.files import write_atomically
from captiongen.metrics.reliability import format_curve, with_reliability
from captiongen.metrics.report import score_captions, write_report
from captiongen.model.checkpoint import CaptionerManifest
from captiongen.params import EvaluateParams
from captiongen.types import CaptionedImage, MetricsReport, Split


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Captions and metrics of one split."""

    captions: tuple[CaptionedImage, ...]
    report: MetricsReport


def write_evaluation(
    captions: tuple[CaptionedImage, ...],
    manifest: CaptionerManifest,
    params: EvaluateParams,
    *,
    split: Split,
    split_hash: str,
    out_folder: Path,
) -> Evaluation:
    """Scores captions that a model wrote for a split; writes captions.parquet, metrics.json, risk_coverage.csv.

    Args:
        captions: of every image of the split.
        manifest: of the model.
        params: how to score; its own `split` is not looked at.
        split: name of the split.
        split_hash: its identity.
        out_folder: receives the files.
    """
    report = score_split(captions, manifest, params, split_hash=split_hash)
    facts = {
        "model_sha256": manifest.weights_sha256,
        "split": split,
        "split_hash": split_hash,
        "decoding": manifest.decode.describe(),
    }
    write_captions(out_folder / "captions.parquet", captions, facts=facts)
    write_report(out_folder / "metrics.json", report)
    if report.reliability is not None:
        write_atomically(out_folder / "risk_coverage.csv", format_curve(report.reliability.curve))
    return Evaluation(captions, report)


def score_split(
    captions: tuple[CaptionedImage, ...], manifest: CaptionerManifest, params: EvaluateParams, *, split_hash: str
) -> MetricsReport:
    """Scores captions that a model wrote for a split; arguments as of `write_evaluation`."""
    report = score_captions(
        {row.image_id: row.hypotheses[0].caption for row in captions},
        {row.image_id: row.references for row in captions},
        decoding=manifest.decode.describe(),
        split_hash=split_hash,
        num_resamples=params.num_resamples,
        seed=params.seed,
    )
    return with_reliability(report, captions, min_confidence=manifest.decode.min_confidence)
