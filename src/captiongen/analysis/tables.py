"""The findings as tables: of all captions and a summary for programs, and rows for people who see tables only."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from captiongen.analysis.errors.caption_error import CaptionError, ErrorType
from captiongen.analysis.findings import AnalysedCaption, Findings
from captiongen.analysis.search_errors import Fault
from captiongen.analysis.slicing.comparison import Comparison
from captiongen.analysis.slicing.slices import Slice
from captiongen.types import JsonObject

_NUM_DIGITS = 4
WORST_FILE, SUMMARY_FILE = "worst.parquet", "findings.json"
_ERROR = pa.struct(
    [
        ("type", pa.string()),
        ("positions", pa.list_(pa.int32())),
        ("said", pa.string()),
        ("instead", pa.list_(pa.string())),
        ("support", pa.float64()),
    ]
)
WORST_SCHEMA = pa.schema(
    [
        ("rank", pa.int32()),
        ("image_id", pa.string()),
        ("badness", pa.float64()),
        ("cider", pa.float64()),
        ("human_cider", pa.float64()),
        ("bleu_4", pa.float64()),
        ("rouge_l", pa.float64()),
        ("caption", pa.string()),
        ("mean_probability", pa.float64()),
        ("is_truncated", pa.bool_()),
        ("errors", pa.list_(_ERROR)),
        ("fault", pa.string()),
        ("oracle", pa.int32()),
        ("alternatives", pa.list_(pa.string())),
        ("references", pa.list_(pa.string())),
        ("nearest_training_image", pa.string()),
        ("similarity", pa.float64()),
        ("slices", pa.list_(pa.string())),
        ("rival", pa.string()),
        ("rival_cider", pa.float64()),
    ]
)


def worst_table(captions: Sequence[AnalysedCaption]) -> bytes:
    """Returns a Parquet table with one row a caption, worst first."""
    rows = [_rounded(_row(rank, one)) for rank, one in enumerate(captions, start=1)]
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=WORST_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def _row(rank: int, one: AnalysedCaption) -> JsonObject:
    image, scores, best = one.judged.image, one.judged.scores, one.judged.image.hypotheses[0]
    return {
        "rank": rank,
        "image_id": image.image_id,
        "badness": one.judged.badness,
        "cider": scores.cider,
        "human_cider": scores.human_cider,
        "bleu_4": scores.bleu_4,
        "rouge_l": scores.rouge_l,
        "caption": best.caption,
        "mean_probability": best.mean_probability,
        "is_truncated": not best.is_complete,
        "errors": [asdict(error) for error in one.judged.judgement.errors],
        "fault": one.fault,
        "oracle": one.oracle,
        "alternatives": [hypothesis.caption for hypothesis in image.hypotheses[1:]],
        "references": list(image.references),
        "nearest_training_image": one.facts.inspection.neighbour.image_id,
        "similarity": one.facts.inspection.neighbour.similarity,
        "slices": list(one.properties),
        "rival": one.rival,
        "rival_cider": None if one.rival is None else one.rival_cider,
    }


def summarise(findings: Findings) -> str:
    """Returns what was found over the whole split as JSON: costs, slices, faults, comparison."""
    summary = {
        "num_images": len(findings.captions),
        "mean_badness": findings.mean_badness,
        "costs": [asdict(cost) for cost in findings.costs],
        "slices": [_slice(one) for one in findings.slices.singles],
        "worse_slices": [_slice(one) for one in findings.slices.worse],
        "faults": {fault.value: findings.search.share(fault) for fault in Fault},
        "oracle_gain": asdict(findings.search.oracle_gain),
        "comparison": None if findings.comparison is None else _comparison(findings.comparison),
    }
    return json.dumps(_rounded(summary), indent=2, sort_keys=True) + "\n"


def _rounded(value: Any) -> Any:
    """The value with its numbers cut to what machines agree on: DVC hashes what is written."""
    if isinstance(value, float):
        return round(value, _NUM_DIGITS)
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _slice(one: Slice) -> JsonObject:
    kept = asdict(one)
    kept["num_images"] = len(kept.pop("image_ids"))
    return {**kept, "properties": [str(name) for name in one.properties], "is_worse": one.is_worse}


def _comparison(found: Comparison) -> JsonObject:
    slices = [{**asdict(one), "where": str(one.where), "is_broken": one.is_broken} for one in found.slices]
    return {**asdict(found), "slices": slices}


@dataclass(frozen=True, slots=True)
class ShownTable:
    """A part of an analysis as rows for people.

    Attributes:
        key: its name, lower case with hyphens.
        title: what it shows.
        rows: column -> value; none where there is nothing to show.
    """

    key: str
    title: str
    rows: tuple[JsonObject, ...]


def shown_tables(folder: Path, *, num_worst: int) -> tuple[ShownTable, ...]:
    """Reads an analysis for people who see tables only: worst captions, costs, slices, regressions.

    Args:
        folder: that holds `WORST_FILE` and `SUMMARY_FILE`.
        num_worst: captions to show.
    """
    worst = pq.read_table(folder / WORST_FILE).slice(0, num_worst).to_pylist()
    summary = json.loads((folder / SUMMARY_FILE).read_text(encoding="utf-8"))
    slices = [*summary["worse_slices"], *sorted(summary["slices"], key=lambda one: -one["difference"])]
    changes = (summary["comparison"] or {"slices": []})["slices"]
    return (
        ShownTable("worst-captions", "Worst captions", tuple(map(_shown_caption, worst))),
        ShownTable(
            "error-costs", "What each type of error costs, in CIDEr-D", tuple(map(_shown_cost, summary["costs"]))
        ),
        ShownTable("slices", "Where it fails: slices, those worse than chance first", tuple(map(_shown_slice, slices))),
        ShownTable("regressions", "Each slice against the other model", tuple(map(_shown_change, changes))),
    )


def _shown_caption(row: JsonObject) -> JsonObject:
    return {
        "rank": row["rank"],
        "image": row["image_id"],
        "badness": round(row["badness"], 3),
        "CIDEr": round(row["cider"], 1),
        "human CIDEr": None if row["human_cider"] is None else round(row["human_cider"], 1),
        "caption": row["caption"],
        "errors": "; ".join(str(CaptionError(**{**one, "type": ErrorType(one["type"])})) for one in row["errors"]),
        "references": " | ".join(row["references"]),
    }


def _shown_cost(cost: JsonObject) -> JsonObject:
    gain = cost["gain"]
    return {
        "error": cost["type"] or "all of them",
        "captions": cost["num_captions"],
        "CIDEr gained if mended": None if gain is None else round(gain["mean"], 1),
        "95 % interval": "" if gain is None else f"{gain['low']:.1f} to {gain['high']:.1f}",
    }


def _shown_slice(one: JsonObject) -> JsonObject:
    return {
        "images with": " and ".join(one["properties"]),
        "images": one["num_images"],
        "CIDEr": round(one["cider"]["mean"], 1),
        "95 % interval": f"{one['cider']['low']:.1f} to {one['cider']['high']:.1f}",
        "human CIDEr": None if one["human_cider"] is None else round(one["human_cider"], 1),
        "badness against the rest": round(one["difference"], 3),
        "worse beyond chance": one["is_worse"],
    }


def _shown_change(one: JsonObject) -> JsonObject:
    outcomes = one["outcomes"]
    return {
        "images with": one["where"],
        "images": one["num_images"],
        "captions fixed": outcomes["num_fixed"],
        "captions broken": outcomes["num_broken"],
        "unchanged": outcomes["num_right"] + outcomes["num_wrong"],
        "CIDEr": round(one["difference"]["mean"], 1),
        "95 % interval": f"{one['difference']['low']:.1f} to {one['difference']['high']:.1f}",
        "p": round(one["p_value"], 4),
        "broken beyond chance": one["is_broken"],
    }
