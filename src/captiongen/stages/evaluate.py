"""The stage `evaluate`: caption a held-out split as the service would, and score it."""

from dataclasses import dataclass
from pathlib import Path

from captiongen.data.captions_table import write_captions
from captiongen.data.shards import open_processed
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.report import score_captions, write_report
from captiongen.model.checkpoint import CaptionerManifest
from captiongen.params import EvaluateParams
from captiongen.types import CaptionedImage, MetricsReport, Split


@dataclass(frozen=True, slots=True)
class EvaluateResult:
    """Captions and metrics of one split."""

    captions: tuple[CaptionedImage, ...]
    report: MetricsReport


def evaluate(
    params: EvaluateParams, *, model_folder: Path, data_folder: Path, out_folder: Path, device: str = "cpu"
) -> EvaluateResult:
    """Captions and scores a split; writes captions.parquet and metrics.json.

    Args:
        params: the section `evaluate`.
        model_folder: a captioner folder.
        data_folder: what `preprocess` wrote; pictures are prepared again when the captioner wants another size.
        out_folder: receives the two files.
        device: where to compute.

    Raises:
        DataError: the split is empty.
        CheckpointError: the captioner is damaged.
    """
    engine = CaptionEngine.load(model_folder, device=device)
    data = open_processed(data_folder)
    captions = tuple(caption_split(engine, data, params.split, batch_size=params.batch_size))
    return write_evaluation(
        captions,
        engine.manifest,
        params,
        split=params.split,
        split_hash=data.split_hashes[params.split],
        out_folder=out_folder,
    )


def write_evaluation(
    captions: tuple[CaptionedImage, ...],
    manifest: CaptionerManifest,
    params: EvaluateParams,
    *,
    split: Split,
    split_hash: str,
    out_folder: Path,
) -> EvaluateResult:
    """Scores captions that a model wrote for a split; writes captions.parquet and metrics.json.

    Args:
        captions: of every image of the split.
        manifest: of the model.
        params: how to score; its own `split` is not looked at.
        split: name of the split.
        split_hash: its identity.
        out_folder: receives the two files.
    """
    report = score_captions(
        {row.image_id: row.hypotheses[0].caption for row in captions},
        {row.image_id: row.references for row in captions},
        decoding=manifest.decode.describe(),
        split_hash=split_hash,
        num_resamples=params.num_resamples,
        seed=params.seed,
    )
    facts = {
        "model_sha256": manifest.weights_sha256,
        "split": split,
        "split_hash": split_hash,
        "decoding": manifest.decode.describe(),
    }
    write_captions(out_folder / "captions.parquet", captions, facts=facts)
    write_report(out_folder / "metrics.json", report)
    return EvaluateResult(captions, report)
