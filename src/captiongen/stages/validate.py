"""Validate: the manifest against the data contract; the gate in front of everything that learns."""

from pathlib import Path

from captiongen.data.manifest import read_manifest
from captiongen.data.validation_report import write_validation
from captiongen.errors import ValidationFailed
from captiongen.params import ValidateParams
from captiongen.ports import DataContract
from captiongen.types import ValidationReport


def validate(params: ValidateParams, *, manifest: Path, out_folder: Path, contract: DataContract) -> ValidationReport:
    """Holds a manifest against the data contract.

    Args:
        params: the limits, and the checks that only warn.
        manifest: what `ingest` wrote.
        out_folder: receives validation.json and docs/, also when the contract is broken.
        contract: the judge.

    Returns:
        The report, whose findings are warnings.

    Raises:
        DataError: there is no readable manifest.
        ParamsError: `params.warn` names a check that does not exist.
        ValidationFailed: a check of severity `error` found something.
    """
    report = contract.check(read_manifest(manifest), params, docs_folder=out_folder / "docs")
    write_validation(out_folder / "validation.json", report)
    if not report.is_passed:
        errors = [finding for finding in report.findings if finding.severity == "error"]
        raise ValidationFailed(
            f"The data break {len(errors)} of {report.num_checks} expectations:\n"
            + "\n".join(f"  {finding.check}: {finding.message}" for finding in errors)
            + f"\nSee {out_folder / 'docs' / 'index.html'}. Mend the data, change a limit in the section `validate` of "
            "params.yaml, or name a check there under `warn` to be warned only."
        )
    return report
