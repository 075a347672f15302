"""The data contract, judged by Great Expectations."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from captiongen.adapters.data_docs import write_data_docs
from captiongen.adapters.expectation_suite import Check, content_checks, schema_checks
from captiongen.data.contract_tables import contract_tables
from captiongen.errors import ParamsError
from captiongen.params import ValidateParams
from captiongen.text.printable import printable
from captiongen.types import Finding, ValidationReport

_MAX_ROWS = 100
_MAX_EXAMPLES = 5
_UNITS = {"pairs_across_splits": "pairs", "pairs_within_split": "pairs", "images": "images", "captions": "captions"}
#: Columns that name a row; the others hold the values that broke an expectation.
_NAMES = ("row", "image_id")


class GreatExpectationsContract:
    """Judges manifests with the suites of `expectation_suite`; implements `captiongen.ports.DataContract`."""

    def check(self, manifest: pd.DataFrame, params: ValidateParams, *, docs_folder: Path) -> ValidationReport:
        """Returns what is broken, and writes browsable Data Docs.

        Args:
            manifest: as `captiongen.data.manifest` describes it.
            params: limits, and the names of checks that only warn.
            docs_folder: replaced as a whole; its start page is `index.html`.

        Raises:
            ParamsError: `params.warn` names a check that does not exist.
        """
        schema, content = list(schema_checks()), list(content_checks(params))
        _refuse_unknown_checks(params.warn, {check.name for check in [*schema, *content]})
        for number, check in enumerate([*schema, *content]):
            check.expectation.meta = {"number": number}
            check.expectation.description = f"{check.name}: {check.expected}"
            if check.name in params.warn:
                check.expectation.severity = "warning"
        context = _quiet_context()
        results = _validate_all(context, schema, {"manifest": _with_plain_strings(manifest)})
        judged = [*schema]
        # The tables can be derived from a manifest of the right schema only.
        if all(result.success for result in results.values()):
            tables = contract_tables(manifest, near_duplicate_distance=params.near_duplicate_distance)
            results |= _validate_all(context, content, {name: getattr(tables, name) for name in tables.__slots__})
            judged += content
        findings = tuple(_findings(judged, results))
        report = ValidationReport(num_images=len(manifest), num_checks=len(judged), findings=findings)
        write_data_docs(docs_folder, report, results)
        return report


def _refuse_unknown_checks(named: Iterable[str], known: set[str]) -> None:
    if unknown := sorted(set(named) - known):
        raise ParamsError(
            f"validate.warn names no check with {', '.join(unknown)}. The checks are: {', '.join(sorted(known))}."
        )


def _quiet_context() -> Any:
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = {"globally": False}
    return context


def _with_plain_strings(manifest: pd.DataFrame) -> pd.DataFrame:
    """Great Expectations 1.24 knows no pandas 3 strings; among plain objects it checks the type of every value."""
    is_string = [isinstance(dtype, pd.StringDtype) for dtype in manifest.dtypes]
    return manifest.astype(dict.fromkeys(manifest.columns[is_string], "object"))


def _validate_all(context: Any, checks: Sequence[Check], frames: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """Validates each table against the suite of its checks; table -> ExpectationSuiteValidationResult."""
    import great_expectations as gx

    results = {}
    for table, frame in frames.items():
        expectations = [check.expectation for check in checks if check.table == table]
        asset = context.data_sources.add_pandas(table).add_dataframe_asset(table)
        whole = asset.add_batch_definition_whole_dataframe("all")
        names = [column for column in _NAMES if column in frame][:1]
        results[table] = whole.get_batch(batch_parameters={"dataframe": frame}).validate(
            gx.ExpectationSuite(name=table, expectations=expectations),
            result_format={"result_format": "COMPLETE", "unexpected_index_column_names": names},
        )
    return results


def _findings(checks: Sequence[Check], results: Mapping[str, Any]) -> Iterator[Finding]:
    """Yields what is broken, in the order of the checks (Great Expectations groups its results by column)."""
    by_number = {
        result.expectation_config.meta["number"]: result for suite in results.values() for result in suite.results
    }
    for check in checks:
        result = by_number[check.expectation.meta["number"]]
        if result.success:
            continue
        entries = result.result.get("unexpected_index_list") or []
        yield Finding(
            check=check.name,
            severity="error" if result.expectation_config.severity == "critical" else "warning",
            message=f"Expected {check.expected}; found {_found(check.table, result, entries)}.",
            num_rows=int(result.result.get("unexpected_count", 0)),
            rows=tuple(dict.fromkeys(map(_row_of, entries)))[:_MAX_ROWS],
        )


def _row_of(entry: dict[str, Any]) -> str:
    """The row's name; a name with control characters must not garble a terminal."""
    return printable(str(entry.get("row", entry.get("image_id"))))


def _found(table: str, result: Any, entries: Sequence[dict[str, Any]]) -> str:
    """Says what was found: rows with their values, an observed value, or why nothing could be judged."""
    if problems := _exceptions(result.exception_info):
        return f"that it cannot be judged: {problems[0]}"
    facts = result.result
    if "missing" in (mismatched := facts.get("details", {}).get("mismatched", {})):
        return f"none named {', '.join(mismatched['missing'])}"
    if "unexpected_count" not in facts:
        return _shown(facts.get("observed_value"))
    examples = [_example(entry) for entry in entries[:_MAX_EXAMPLES]]
    more = f" and {rest} more" if (rest := len(entries) - _MAX_EXAMPLES) > 0 else ""
    counts = f"{facts['unexpected_count']} of {facts['element_count']} {_UNITS.get(table, 'rows')}"
    return f"otherwise in {counts}: {', '.join(examples)}{more}"


def _exceptions(info: dict[str, Any]) -> list[str]:
    """Great Expectations reports either one exception, or one per metric that failed."""
    parts = [info] if "raised_exception" in info else list(info.values())
    return [str(part["exception_message"]) for part in parts if part.get("raised_exception")]


def _example(entry: dict[str, Any]) -> str:
    values = [_shown(value) for column, value in entry.items() if column not in _NAMES and not _is_flag(value)]
    return _row_of(entry) + (f" ({', '.join(values)})" if values else "")


def _is_flag(value: object) -> bool:
    return isinstance(value, bool | np.bool_)


def _shown(value: Any) -> str:
    """A value for people: short, control characters escaped, numpy's wrapping removed."""
    plain = value.item() if hasattr(value, "item") else value
    text = f"{plain:.4g}" if isinstance(plain, float) else repr(plain)
    return text if len(text) <= 80 else text[:77] + "..."
