"""The stage `validate`, with a contract that says what the test wants."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from captiongen.data.manifest import ManifestRow, write_manifest
from captiongen.data.validation_report import read_validation
from captiongen.errors import DataError, ValidationFailed
from captiongen.params import ValidateParams
from captiongen.stages.validate import validate
from captiongen.types import Finding, ValidationReport

ERROR = Finding("decodable", "error", "Expected pictures; found otherwise in 1 of 1 images: a.jpg.", 1, ("a.jpg",))
WARNING = Finding("short_captions", "warning", "Expected 3 words; found 2 in a.jpg#0.", 1, ("a.jpg#0",))


@dataclass
class SaysAlways:
    """A contract with a fixed verdict."""

    findings: tuple[Finding, ...]
    seen: pd.DataFrame | None = None

    def check(self, manifest: pd.DataFrame, params: ValidateParams, *, docs_folder: Path) -> ValidationReport:
        self.seen = manifest
        docs_folder.mkdir(parents=True)
        return ValidationReport(num_images=len(manifest), num_checks=60, findings=self.findings)


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    row = ManifestRow("a.jpg", "a.jpg", "0" * 64, "0" * 16, 9, 64, 64, "RGB", "JPEG", True, "", ("a dog",), "train")
    write_manifest(tmp_path / "manifest.parquet", [row])
    return tmp_path / "manifest.parquet"


def test_warnings_let_the_run_go_on(manifest: Path, tmp_path: Path):
    """A report of warnings is returned and written."""
    contract = SaysAlways((WARNING,))
    report = validate(ValidateParams(), manifest=manifest, out_folder=tmp_path / "out", contract=contract)
    assert report == read_validation(tmp_path / "out" / "validation.json")
    assert report.is_passed
    assert contract.seen is not None
    assert contract.seen["image_id"].tolist() == ["a.jpg"]


def test_errors_stop_the_run_with_exit_code_4(manifest: Path, tmp_path: Path):
    """The refusal names check, message and row of each error, not the warnings, and what to do."""
    with pytest.raises(ValidationFailed) as stopped:
        validate(
            ValidateParams(), manifest=manifest, out_folder=tmp_path / "out", contract=SaysAlways((WARNING, ERROR))
        )
    assert stopped.value.exit_code == 4
    assert f"decodable: {ERROR.message}" in str(stopped.value)
    assert "short_captions" not in str(stopped.value)
    assert "params.yaml" in str(stopped.value)


def test_the_report_is_written_before_the_run_stops(manifest: Path, tmp_path: Path):
    """After a refusal validation.json and docs/ are there."""
    with pytest.raises(ValidationFailed):
        validate(ValidateParams(), manifest=manifest, out_folder=tmp_path / "out", contract=SaysAlways((ERROR,)))
    assert read_validation(tmp_path / "out" / "validation.json").findings == (ERROR,)
    assert (tmp_path / "out" / "docs").is_dir()


def test_a_missing_manifest_says_what_to_run(tmp_path: Path):
    """Without a manifest the error names the stage that writes it."""
    with pytest.raises(DataError, match="ingest"):
        validate(
            ValidateParams(), manifest=tmp_path / "none.parquet", out_folder=tmp_path / "out", contract=SaysAlways(())
        )
