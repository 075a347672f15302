"""The stage `analyse`: rank what `evaluate` captioned, worst first, and show it."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from captiongen.analysis.ranking import RankedCaption, rank_captions
from captiongen.analysis.report import Card, embed_picture, render_page
from captiongen.data.captions_table import read_captions, read_facts
from captiongen.data.shards import ProcessedData, decode_row_image, open_processed
from captiongen.errors import DataError
from captiongen.files import atomic_folder
from captiongen.metrics.report import read_report
from captiongen.params import AnalyseParams
from captiongen.types import ImageArray, Split

WORST_FILE, PAGE_FILE = "worst.parquet", "index.html"
#: Good captions on the page, to hold the bad ones against.
NUM_BEST = 10

WORST_SCHEMA = pa.schema(
    [
        ("rank", pa.int32()),
        ("image_id", pa.string()),
        ("badness", pa.float64()),
        ("shortfall", pa.float64()),
        ("doubt", pa.float64()),
        ("repetition", pa.float64()),
        ("is_truncated", pa.bool_()),
        ("cider", pa.float64()),
        ("human_cider", pa.float64()),
        ("bleu_4", pa.float64()),
        ("rouge_l", pa.float64()),
        ("caption", pa.string()),
        ("log_probability", pa.float64()),
        ("alternatives", pa.list_(pa.string())),
        ("references", pa.list_(pa.string())),
    ]
)


@dataclass(frozen=True, slots=True)
class AnalysisResult:
    """All captions of the split, worst first, and where they are shown."""

    ranked: tuple[RankedCaption, ...]
    page: Path


def analyse(
    params: AnalyseParams, *, evaluation_folder: Path, data_folder: Path, split: Split, out_folder: Path
) -> AnalysisResult:
    """Ranks all captions; writes worst.parquet (all of them) and index.html (the worst, and a few of the best).

    Args:
        params: the section `analyse`.
        evaluation_folder: what `evaluate` wrote.
        data_folder: what `preprocess` wrote, for the pictures.
        split: the split that was evaluated.
        out_folder: replaced as a whole.

    Raises:
        DataError: captions, metrics and data are not of the same images.
        ShardError: a file is missing or damaged.
    """
    captions_file = evaluation_folder / "captions.parquet"
    facts = read_facts(captions_file)
    report = read_report(evaluation_folder / "metrics.json")
    data = open_processed(data_folder)
    if (
        facts.get("split_hash") != data.split_hashes.get(split)
        or facts.get("split_hash") != report.signature.split_hash
    ):
        raise DataError(
            f"Expected captions, metrics and data of the same {split} split, found different split hashes. "
            "Run `dvc repro evaluate`."
        )
    ranked = rank_captions(read_captions(captions_file), report.per_image)
    with atomic_folder(out_folder) as part:
        (part / WORST_FILE).write_bytes(_worst_table(ranked))
        page = render_page(
            _cards(ranked, data, split, params.num_worst),
            ranked,
            report,
            dataset=f"{data.dataset}, {split} split",
            facts={"model": facts.get("model_sha256", "")},
        )
        (part / PAGE_FILE).write_text(page, encoding="utf-8")
    return AnalysisResult(ranked, out_folder / PAGE_FILE)


def _cards(ranked: Sequence[RankedCaption], data: ProcessedData, split: Split, num_worst: int) -> list[Card]:
    num_best = min(NUM_BEST, max(0, len(ranked) - num_worst))
    places = list(enumerate(ranked, start=1))
    worst, best = places[:num_worst], places[::-1][:num_best]
    pictures = _pictures(data, split, {one.image.image_id for _, one in worst + best})
    return [
        Card(group, rank, one, embed_picture(pictures[one.image.image_id]))
        for group, some in (("worst", worst), ("best", best))
        for rank, one in some
    ]


def _pictures(data: ProcessedData, split: Split, image_ids: Collection[str]) -> dict[str, ImageArray]:
    return {row.image_id: decode_row_image(row) for row in data.rows(split) if row.image_id in image_ids}


def _worst_table(ranked: Sequence[RankedCaption]) -> bytes:
    rows = [
        {
            "rank": rank,
            "image_id": one.image.image_id,
            "badness": one.badness,
            "shortfall": one.shortfall,
            "doubt": one.doubt,
            "repetition": one.repetition,
            "is_truncated": one.is_truncated,
            "cider": one.scores.cider,
            "human_cider": one.scores.human_cider,
            "bleu_4": one.scores.bleu_4,
            "rouge_l": one.scores.rouge_l,
            "caption": one.image.hypotheses[0].caption,
            "log_probability": one.image.hypotheses[0].log_probability,
            "alternatives": [hypothesis.caption for hypothesis in one.image.hypotheses[1:]],
            "references": list(one.image.references),
        }
        for rank, one in enumerate(ranked, start=1)
    ]
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=WORST_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()
