"""`validation.json`: what the data contract found, for people and for the stages that come after."""

import json
from dataclasses import asdict
from pathlib import Path

from captiongen.errors import DataError
from captiongen.files import write_atomically
from captiongen.types import Finding, ValidationReport


def write_validation(path: Path, report: ValidationReport) -> None:
    """Writes a report; equal reports give equal bytes."""
    severities = [finding.severity for finding in report.findings]
    content = {
        "passed": report.is_passed,
        "num_images": report.num_images,
        "num_checks": report.num_checks,
        "num_errors": severities.count("error"),
        "num_warnings": severities.count("warning"),
        "findings": [asdict(finding) for finding in report.findings],
    }
    write_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_validation(path: Path) -> ValidationReport:
    """Reads a report.

    Raises:
        DataError: the file is missing, or is no report of this version.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        findings = [Finding(**{**finding, "rows": tuple(finding["rows"])}) for finding in content["findings"]]
        return ValidationReport(content["num_images"], content["num_checks"], tuple(findings))
    except FileNotFoundError:
        raise DataError(f"Expected a validation report at {path}, found none. Run `captiongen validate`.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path} is no validation report of this version ({error!r}). Run `captiongen validate`."
        ) from error
