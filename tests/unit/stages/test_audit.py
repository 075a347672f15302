"""The stage `audit`: a table, a page, a summary, and proposals for the train split."""

import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tiny
from colour_world import NUM_CAPTIONS, PATTERNS

from captiongen.data.corrections import Kind, read_proposals
from captiongen.data.manifest import ManifestRow, write_manifest, write_quarantine
from captiongen.data.shards import ProcessedData, ShardRow, open_processed, split_hash, write_index, write_shards
from captiongen.data.validation_report import write_validation
from captiongen.params import (
    AuditParams,
    DecodeParams,
    DecoderParams,
    EncoderParams,
    SelectionParams,
    TokenizerParams,
    TrainParams,
)
from captiongen.stages.audit import LABEL_ERRORS_SCHEMA, AuditResult, audit
from captiongen.stages.train import train
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Finding, Preprocessing, Rejection, Split, ValidationReport

_SPLITS: tuple[Split, ...] = ("train", "dev", "test")


def _row(image_id: str, split: str, captions: tuple[str, ...]) -> ManifestRow:
    return ManifestRow(image_id, image_id, "0" * 64, "0" * 16, 1, 64, 64, "RGB", "PNG", True, "", captions, split)


def _written(folder: Path, rows: list[ShardRow]) -> Path:
    """Writes rows as processed data, and what `ingest` and `validate` leave of them; an odd caption is in no split."""
    references = {split: {row.image_id: row.captions for row in rows if row.split == split} for split in _SPLITS}
    written = write_shards(rows, folder / "data" / "shards", images_per_shard=64)
    texts = (text for row in rows if row.split == "train" for text in row.captions)
    CaptionTokenizer.train(texts, TokenizerParams(min_count=1)).save(folder / "data" / "tokenizer.json")
    hashes = {split: split_hash(references[split], tiny.picture_sha256s(rows)) for split in _SPLITS}
    shape = Preprocessing(tiny.IMAGE_SIZE_PX, "squash")
    write_index(ProcessedData(folder / "data", "tiny", shape, written.counts, hashes, "0" * 64, written.picture_hashes))
    manifest = [_row(row.image_id, row.split, row.captions) for row in rows]
    write_manifest(
        folder / "interim" / "manifest.parquet", [*manifest, _row("odd.png", "unused", ("<b>", "a red ball"))]
    )
    gone = Rejection("gone.png", "gone.png", "the file is missing", ())
    write_quarantine(folder / "interim" / "quarantine.parquet", [gone])
    washed = "Expected no damage; found it in 1: washed.png (4.3)."
    damaged = Finding("damaged_pictures", "warning", washed, 1, ("washed.png",))
    write_validation(folder / "validation.json", ValidationReport(len(rows), 1, (damaged,)))
    return folder


def _audited(folder: Path) -> AuditResult:
    return audit(
        AuditParams(),
        model_folder=folder / "model",
        data_folder=folder / "data",
        interim_folder=folder / "interim",
        validation_report=folder / "validation.json",
        state_folder=folder / "state",
        out_folder=folder / "out",
        proposals=folder / "audit.jsonl",
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[AuditResult, Path]:
    """An audit of tiny pictures by an untrained captioner; one caption in no split is empty, one picture damaged."""
    data = open_processed(tiny.tiny_processed(tmp_path_factory.mktemp("tiny")))
    folder = _written(tmp_path_factory.mktemp("audit"), [row for split in _SPLITS for row in data.rows(split)])
    tiny.tiny_model_folder(folder / "model")
    return _audited(folder), folder


def test_plain_errors_of_every_split_are_listed(done: tuple[AuditResult, Path]):
    """The nearly empty caption of an image in no split stands in the table, and no correction of it is proposed."""
    _, folder = done
    table = pq.read_table(folder / "out" / "label_errors.parquet")
    assert table.schema.equals(LABEL_ERRORS_SCHEMA)
    unused = [row for row in table.to_pylist() if row["split"] == "unused"]
    assert [(row["image_id"], row["place"], row["caption"], row["kind"]) for row in unused] == [
        ("odd.png", 0, "<b>", "empty")
    ]
    assert all(one.image_ids != ("odd.png",) for one in read_proposals(folder / "audit.jsonl"))


def test_what_is_found_in_train_is_proposed(done: tuple[AuditResult, Path]):
    """Each suspect of the train split but the merely unlikely has its proposal, with its probability as score."""
    result, folder = done
    proposed = {(one.image_ids[0], one.caption): one for one in read_proposals(folder / "audit.jsonl")}
    suspects = [one for one in result.audits["train"].suspects if one.kind != "unlikely"]
    assert {(one.image_id, one.caption) for one in suspects} == set(proposed)
    assert {one.source for one in proposed.values()} <= {"audit"}
    assert all(one.kind in (Kind.DROP_CAPTION, Kind.MERGE_CAPTIONS) for one in proposed.values())


def test_pictures_are_told_of(done: tuple[AuditResult, Path]):
    """Quarantined and damaged pictures stand on the page, with what is wrong with them."""
    result, folder = done
    page = result.page.read_text(encoding="utf-8")
    assert "gone.png: the file is missing" in page
    assert "washed.png (4.3)" in page
    assert json.loads((folder / "out" / "audit.json").read_text())["num_picture_findings"] == 2


def test_the_page_needs_nothing_from_outside(done: tuple[AuditResult, Path]):
    """Pictures are embedded, no address is fetched, and captions are text whatever they hold."""
    page = done[0].page.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:|#)""", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "&lt;b&gt;" in page


@pytest.mark.slow
def test_captions_that_a_training_learned_swapped_are_found(tmp_path: Path):
    """A captioner is trained on captions some of which were exchanged between pictures, and finds most of those."""
    rng, rows = random.Random(0), []
    for split, num_images in (("train", 320), ("dev", 16), ("test", 8)):
        for number in range(num_images):
            colour, thing = rng.choice(list(tiny.COLOURS)), rng.choice(tiny.THINGS)
            texts = tuple(pattern.format(colour, thing) for pattern in rng.sample(PATTERNS, NUM_CAPTIONS))
            picture = tiny.encoded(tiny.tiny_picture(colour, thing, seed=tiny.hash_seed(split, number)))
            rows.append(ShardRow(f"{split}-{number:03d}-{colour}-{thing}", split, picture, texts))
    exchanged = {}
    for one, other in zip(rows[0:40:2], rows[1:40:2], strict=True):
        if not set(one.image_id.split("-")[2:]) & set(other.image_id.split("-")[2:]):
            exchanged[one.image_id], exchanged[other.image_id] = other.captions[0], one.captions[0]
    rows = [
        replace(row, captions=(exchanged[row.image_id], *row.captions[1:])) if row.image_id in exchanged else row
        for row in rows
    ]
    folder = _written(tmp_path, rows)
    train(
        TrainParams(
            encoder=EncoderParams(name="test_convnext", output_stride=16),
            decoder=DecoderParams(width=64, num_layers=2, num_heads=4),
            phases=[{"kind": "finetuned", "num_epochs": 8, "batch_size": 16, "learning_rate": 2e-3}],
            selection=SelectionParams(every_num_epochs=8),
            decode=DecodeParams(num_beams=2, max_tokens=14),
        ),
        data_folder=folder / "data",
        out_folder=folder / "model",
        report_folder=folder / "report",
        state_folder=folder / "state",
    )
    suspects = _audited(folder).audits["train"].suspects
    found = {(one.image_id, one.place) for one in suspects if one.kind == "swapped"}
    wrong = {(image_id, 0) for image_id in exchanged}
    assert len(found & wrong) >= 0.75 * len(wrong)
    assert len(found & wrong) >= 0.75 * len(found)
