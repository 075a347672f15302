"""The stage `audit`: find wrong captions in the data that the captioner learned, and propose what to do about them."""

import json
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from captiongen.analysis.labels.audit_page import AuditCard, render_audit
from captiongen.analysis.labels.caption_audit import CaptionAudit, audit_captions, find_plain_errors
from captiongen.analysis.labels.caption_evidence import EvidenceReader
from captiongen.analysis.labels.hard_images import propose_hard_images
from captiongen.analysis.labels.suspects import Suspect, propose
from captiongen.analysis.slicing.pictures import embed_picture
from captiongen.data.corrections import write_proposals
from captiongen.data.manifest import read_manifest
from captiongen.data.shards import ProcessedData, decode_row_image, open_processed
from captiongen.data.validation_report import read_validation
from captiongen.files import atomic_folder
from captiongen.likelihood import CaptionLikelihood
from captiongen.model.checkpoint import LoadedCaptioner, load_captioner
from captiongen.params import AuditParams
from captiongen.training.inputs import load_features
from captiongen.types import SPLITS, Split

TABLE_FILE, PAGE_FILE, SUMMARY_FILE = "label_errors.parquet", "index.html", "audit.json"

LABEL_ERRORS_SCHEMA = pa.schema(
    [
        ("split", pa.string()),
        ("image_id", pa.string()),
        ("place", pa.int32()),
        ("caption", pa.string()),
        ("kind", pa.string()),
        ("probability", pa.float64()),
        ("reason", pa.string()),
        ("belongs_to", pa.string()),
    ]
)
#: What the data contract says of pictures that are there and should not be learned from as they are.
_PICTURE_CHECKS = ("damaged_pictures", "duplicate_files")


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What was found.

    Attributes:
        audits: by split; of splits that no captioner looked at, plain errors alone.
        pictures: sentences about damaged pictures and those in quarantine.
        num_proposals: corrections that were proposed.
        page: where it is shown.
    """

    audits: Mapping[Split, CaptionAudit]
    pictures: tuple[str, ...]
    num_proposals: int
    page: Path


def audit(
    params: AuditParams,
    *,
    model_folder: Path,
    data_folder: Path,
    interim_folder: Path,
    validation_report: Path,
    state_folder: Path,
    out_folder: Path,
    proposals: Path,
) -> AuditResult:
    """Audits the captions; writes label_errors.parquet, index.html, audit.json and the proposals.

    Args:
        params: the section `audit`.
        model_folder: the captioner, best the one that learned these captions.
        data_folder: what `preprocess` wrote.
        interim_folder: what `ingest` wrote: captions that are in no split are looked through as well.
        validation_report: what `validate` found of the pictures.
        state_folder: the cache of features.
        out_folder: replaced as a whole.
        proposals: the file of corrections of the train split that are proposed.

    Raises:
        CheckpointError: the captioner is damaged.
        DataError: an input is missing.
        ShardError: the data are damaged.
    """
    data, loaded = open_processed(data_folder), load_captioner(model_folder)
    audits: dict[Split, CaptionAudit] = {
        split: _audit(params, data, split, loaded, state_folder / "cache") for split in params.splits
    }
    table = read_manifest(interim_folder / "manifest.parquet")
    for split in (split for split in SPLITS if split not in audits):
        rows = table[table["split"] == split]
        captions = dict(zip(rows["image_id"], rows["captions"], strict=True))
        audits[split] = CaptionAudit(tuple(find_plain_errors(captions, min_words=params.min_words)), {})
    pictures = _pictures(interim_folder / "quarantine.parquet", validation_report)
    proposed = [*propose(audits["train"].suspects), *propose_hard_images(audits["train"].hard)]
    write_proposals(proposals, proposed)
    with atomic_folder(out_folder) as part:
        (part / TABLE_FILE).write_bytes(_table(audits))
        (part / SUMMARY_FILE).write_text(json.dumps(_summary(audits, pictures), indent=2) + "\n", encoding="utf-8")
        page = render_audit(_cards(audits, data, params.num_shown), audits, pictures, dataset=data.dataset)
        (part / PAGE_FILE).write_text(page, encoding="utf-8")
    return AuditResult(audits, pictures, len(proposed), out_folder / PAGE_FILE)


def _audit(
    params: AuditParams, data: ProcessedData, split: Split, loaded: LoadedCaptioner, cache: Path
) -> CaptionAudit:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    captioner = loaded.captioner.to(device)
    captions = data.references(split)
    features = load_features(data, split, captioner.encoder, cache, device=device)
    places = sorted(
        random.Random(params.seed).sample(  # noqa: S311 - no secret
            range(len(features)), min(params.num_background_images, len(features))
        )
    )
    background = torch.from_numpy(np.ascontiguousarray(features[places])).to(device)
    likelihood = CaptionLikelihood(captioner.decoder, loaded.tokenizer)
    reader = EvidenceReader(likelihood, background, places, list(captions.values()))
    return audit_captions(captions, features, reader, params)


def _pictures(quarantine: Path, validation_report: Path) -> tuple[str, ...]:
    rejected = pq.read_table(quarantine, columns=["path", "reason"]).to_pylist()
    found = [finding for finding in read_validation(validation_report).findings if finding.check in _PICTURE_CHECKS]
    return (
        *(f"In quarantine: {row['path']}: {row['reason']}." for row in rejected),
        *(finding.message for finding in found),
    )


def _table(audits: Mapping[Split, CaptionAudit]) -> bytes:
    # Rounded: the last digits differ between machines, and with them the table's hash would.
    rows = [
        {"split": split, **asdict(one), "probability": round(one.probability, 4)}
        for split, found in audits.items()
        for one in found.suspects
    ]
    buffer = BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=LABEL_ERRORS_SCHEMA), buffer, compression="zstd")
    return buffer.getvalue()


def _summary(audits: Mapping[Split, CaptionAudit], pictures: Sequence[str]) -> dict[str, object]:
    return {
        "suspects": {split: dict(Counter(one.kind.value for one in found.suspects)) for split, found in audits.items()},
        "estimated_share": {
            split: {kind.value: round(share, 6) for kind, share in found.frequencies.items()}
            for split, found in audits.items()
            if found.frequencies
        },
        "num_hard_images": {split: len(found.hard) for split, found in audits.items()},
        "num_picture_findings": len(pictures),
    }


def _cards(audits: Mapping[Split, CaptionAudit], data: ProcessedData, num_shown: int) -> list[AuditCard]:
    """The most probable errors of all splits, with pictures where the split has any."""
    ranked: list[tuple[Split, Suspect]] = sorted(
        ((split, one) for split, found in audits.items() for one in found.suspects),
        key=lambda pair: -pair[1].probability,
    )[:num_shown]
    wanted = {(split, one.image_id) for split, one in ranked}
    rows = {
        (split, row.image_id): row
        for split in {split for split, _ in wanted}
        for row in data.rows(split)
        if (split, row.image_id) in wanted
    }
    return [
        AuditCard(
            split,
            one,
            picture=embed_picture(decode_row_image(row)) if row else "",
            others=tuple(text for place, text in enumerate(row.captions) if place != one.place) if row else (),
        )
        for split, one in ranked
        for row in [rows.get((split, one.image_id))]
    ]
