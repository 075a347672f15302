"""The stage `audit`: a table, a page, a summary, and proposals for the train split."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import tiny

from captiongen.data.corrections import Kind, read_proposals
from captiongen.data.manifest import ManifestRow, write_manifest, write_quarantine
from captiongen.data.shards import open_processed
from captiongen.data.validation_report import write_validation
from captiongen.params import AuditParams
from captiongen.stages.audit import LABEL_ERRORS_SCHEMA, AuditResult, audit
from captiongen.types import Finding, Rejection, ValidationReport


def _row(image_id: str, split: str, captions: tuple[str, ...]) -> ManifestRow:
    return ManifestRow(image_id, image_id, "0" * 64, "0" * 16, 1, 64, 64, "RGB", "PNG", True, "", captions, split)


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[AuditResult, Path]:
    """An audit of tiny pictures by an untrained captioner; one caption in no split is empty, one picture damaged."""
    folder = tmp_path_factory.mktemp("audit")
    data = open_processed(tiny.tiny_processed(folder / "data"))
    rows = [
        _row(name, split, texts) for split in ("train", "dev", "test") for name, texts in data.references(split).items()
    ]
    write_manifest(folder / "interim" / "manifest.parquet", [*rows, _row("odd.png", "unused", ("<b>", "a red ball"))])
    write_quarantine(
        folder / "interim" / "quarantine.parquet", [Rejection("gone.png", "gone.png", "the file is missing", ())]
    )
    damaged = Finding(
        "damaged_pictures", "warning", "Expected no damage; found it in 1: washed.png (4.3).", 1, ("washed.png",)
    )
    write_validation(folder / "validation.json", ValidationReport(len(rows), 1, (damaged,)))
    result = audit(
        AuditParams(num_background_images=2),
        model_folder=tiny.tiny_model_folder(folder / "model"),
        data_folder=data.folder,
        interim_folder=folder / "interim",
        validation_report=folder / "validation.json",
        state_folder=folder / "state",
        out_folder=folder / "out",
        proposals=folder / "audit.jsonl",
    )
    return result, folder


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
