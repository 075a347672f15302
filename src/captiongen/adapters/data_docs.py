"""Data Docs of a validation: a start page with the findings, and Great Expectations' own rendering of every table.

The site builder of Great Expectations fetches styles, scripts and images from half a dozen hosts, shows an empty start
page without them, and prints the time. These pages need no network, run no script, and are equal for equal data, so
that DVC sees no change where there is none.
"""

import json
import re
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from captiongen.files import atomic_folder
from captiongen.types import Finding, ValidationReport

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem }
td, th { border: 1px solid #ddd; padding: .35rem .6rem; text-align: left; vertical-align: top }
th { background: #f5f5f5 } h5 { font-size: 1.1rem } table table { width: auto }
code, .rows { font-family: ui-monospace, monospace; font-size: 13px; overflow-wrap: anywhere }
.error { color: #b00020; font-weight: 600 } .warning { color: #8a5a00; font-weight: 600 } .passed { color: #1b6e2f }
.fa-check-circle::before { content: "\\2713"; color: #1b6e2f } .fa-times::before { content: "\\2717"; color: #b00020 }
.fa-exclamation-triangle::before { content: "\\26a0"; color: #8a5a00 }
.cooltip .top, [data-toggle=collapse] { display: none }
"""
_RANDOM_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def write_data_docs(folder: Path, report: ValidationReport, results: Mapping[str, Any]) -> None:
    """Writes index.html and one page per table.

    Args:
        folder: replaced as a whole.
        report: what was found.
        results: table -> great_expectations' ExpectationSuiteValidationResult.
    """
    from great_expectations.render.view.view import DefaultJinjaSectionView

    with atomic_folder(folder) as target:
        (target / "index.html").write_text(_start_page(report, results), encoding="utf-8")
        view = DefaultJinjaSectionView()  # one for all tables: it compiles its templates only once
        for table, result in results.items():
            (target / f"{table}.html").write_text(_table_page(table, result, view), encoding="utf-8")


def _start_page(report: ValidationReport, results: Mapping[str, Any]) -> str:
    verdict = '<span class="passed">passed</span>' if report.is_passed else '<span class="error">failed</span>'
    tables = [
        f'<tr><td><a href="{table}.html">{table}</a></td><td>{result.statistics["evaluated_expectations"]}</td>'
        f"<td>{result.statistics['unsuccessful_expectations']}</td></tr>"
        for table, result in results.items()
    ]
    body = [
        f"<p>{report.num_images} images, {report.num_checks} expectations: the data contract has {verdict}.</p>",
        "<h2>Findings</h2>",
        _findings_table(report.findings) if report.findings else "<p>None.</p>",
        "<h2>Tables</h2><table><tr><th>table</th><th>expectations</th><th>not met</th></tr>",
        *tables,
        "</table>",
    ]
    return _page("Data contract", "\n".join(body))


def _findings_table(findings: Sequence[Finding]) -> str:
    rows = [
        f'<tr><td class="{finding.severity}">{finding.severity}</td><td><code>{finding.check}</code></td>'
        f'<td>{escape(finding.message)}</td><td class="rows">{"<br>".join(map(escape, finding.rows))}</td></tr>'
        for finding in findings
    ]
    return "\n".join(
        ["<table><tr><th>severity</th><th>check</th><th>message</th><th>rows</th></tr>", *rows, "</table>"]
    )


def _table_page(table: str, result: Any, view: Any) -> str:
    from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    # The renderers expect results as they come from a store: plain numbers, not numpy's.
    stored = expectationSuiteValidationResultSchema.loads(json.dumps(result.to_json_dict()))
    # The first section tells of run times and fingerprints of the data frame.
    sections = ValidationResultsPageRenderer().render(stored).sections[1:]
    html = [
        view.render({"section": section.to_json_dict(), "section_loop": {"index": number}})
        for number, section in enumerate(sections, start=1)
    ]
    return _page(f"Data contract: {table}", '<p><a href="index.html">All findings</a></p>' + _settled("\n".join(html)))


def _page(title: str, body: str) -> str:
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>\n'
        f"<body><h1>{title}</h1>\n{body}\n</body></html>\n"
    )


def _settled(html: str) -> str:
    """Replaces random element ids by running numbers, the same for the same one."""
    numbers: dict[str, str] = {}
    return _RANDOM_ID.sub(lambda match: numbers.setdefault(match[0], str(len(numbers))), html)
