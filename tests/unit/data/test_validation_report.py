"""validation.json."""

from pathlib import Path

import pytest

from captiongen.data.validation_report import read_validation, write_validation
from captiongen.errors import DataError
from captiongen.types import Finding, ValidationReport

REPORT = ValidationReport(
    num_images=3,
    num_checks=60,
    findings=(
        Finding("captions_per_image", "error", "Expected 5; found 4.", num_rows=1, rows=("café.jpg",)),
        Finding("short_captions", "warning", "Expected 3 words; found 1.", num_rows=2, rows=("a#0", "b#1")),
    ),
)


def test_a_report_survives_writing(tmp_path: Path):
    """What is read equals what was written."""
    write_validation(tmp_path / "validation.json", REPORT)
    assert read_validation(tmp_path / "validation.json") == REPORT


def test_equal_reports_give_equal_bytes(tmp_path: Path):
    """DVC sees no change where there is none."""
    write_validation(tmp_path / "a.json", REPORT)
    write_validation(tmp_path / "b.json", REPORT)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_a_report_reads_well(tmp_path: Path):
    """The verdict and the counts stand first, and names keep their accents."""
    write_validation(tmp_path / "validation.json", REPORT)
    text = (tmp_path / "validation.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "passed": false,\n  "num_images": 3,\n  "num_checks": 60,\n  "num_errors": 1,')
    assert "café.jpg" in text


def test_a_missing_report_says_what_to_run(tmp_path: Path):
    """Without a report the error names the command that writes one."""
    with pytest.raises(DataError, match="captiongen validate"):
        read_validation(tmp_path / "validation.json")


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"passed": true}', '{"num_images": 1, "num_checks": 1, "findings": [1]}']
)
def test_something_else_is_no_report(text: str, tmp_path: Path):
    """Half a file or another format is a DataError."""
    path = tmp_path / "validation.json"
    path.write_text(text)
    with pytest.raises(DataError, match="no validation report"):
        read_validation(path)
