"""The stage `evaluate`: caption a held-out split as the service would, and score it."""

from pathlib import Path

from captiongen.data.shards import open_processed
from captiongen.evaluation import Evaluation, write_evaluation
from captiongen.inference import CaptionEngine, caption_split
from captiongen.params import EvaluateParams


def evaluate(
    params: EvaluateParams, *, model_folder: Path, data_folder: Path, out_folder: Path, device: str = "cpu"
) -> Evaluation:
    """Captions and scores a split; writes captions.parquet, metrics.json, risk_coverage.csv.

    Args:
        params: the section `evaluate`.
        model_folder: a captioner folder.
        data_folder: what `preprocess` wrote; pictures are prepared again when the captioner wants another size.
        out_folder: receives the files.
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
