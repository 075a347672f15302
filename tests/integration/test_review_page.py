"""The page on which corrections are reviewed, in a real browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import requests
import yaml
from corrected import drop, relabel, weigh
from datasets import write_table_dataset

from captiongen.data.corrections import CorrectionsFolder, Decision, read_decisions, write_decisions, write_proposals
from captiongen.data.validation_report import write_validation
from captiongen.params import load_params
from captiongen.stages.ingest import ingest
from captiongen.stages.preprocess import preprocess
from captiongen.types import ValidationReport

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.slow
WAIT_MS = 60_000
CAPTION, OTHER = "A dog number 0 , running .", "A dog number 1 , running ."
DROP, RELABEL = drop("0.png", CAPTION), relabel("1.png", OTHER, "A cat .")
SLICE = weigh(*sorted(f"{number}.png" for number in range(7)), weight=2.0)


@dataclass
class Served:
    """A project whose corrections are being reviewed."""

    url: str
    corrections: CorrectionsFolder
    process: subprocess.Popen


@pytest.fixture
def served(project: Path, tmp_path: Path) -> Iterator[Served]:
    """`captiongen corrections review` in a project of ten pictures with three proposals."""
    write_table_dataset(tmp_path / "data" / "raw" / "mine")
    source = {"source": "table", "path": "data/raw/mine", "name": "mine", "table": {"split_column": "split"}}
    settings = yaml.safe_load((project / "params.yaml").read_text()) | {"ingest": source}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(settings))
    params, corrections = load_params(tmp_path / "params.yaml"), CorrectionsFolder(tmp_path / "corrections")
    ingest(params.ingest, source_folder=tmp_path / "data/raw/mine", out_folder=tmp_path / "data/interim")
    write_validation(tmp_path / "validation.json", ValidationReport(10, 1, ()))
    preprocess(
        params.preprocess,
        ingest=params.ingest,
        manifest=tmp_path / "data/interim/manifest.parquet",
        validation_report=tmp_path / "validation.json",
        source_folder=tmp_path / "data/raw/mine",
        corrections=corrections,
        near_duplicate_distance=0,
        out_folder=tmp_path / "data/processed",
        card_folder=tmp_path / "card",
    )
    write_proposals(corrections.proposals("audit"), [DROP, RELABEL])
    write_proposals(corrections.proposals("analysis"), [SLICE])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "captiongen", "corrections", "review", "--port", str(port), "--by", "Ada"]
    process = subprocess.Popen(command, cwd=tmp_path)
    try:
        _wait_for(f"http://127.0.0.1:{port}/", process)
        yield Served(f"http://127.0.0.1:{port}/", corrections, process)
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: subprocess.Popen) -> None:
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        assert process.poll() is None
        try:
            if requests.get(url, timeout=5).ok:
                return
        except requests.RequestException:
            time.sleep(0.1)
    raise AssertionError("the page never came")


@pytest.fixture
def page(served: Served) -> Iterator["playwright.Page"]:
    """The page, open; at the end no error was reported, and no host but its own was asked."""
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no browser here: install chromium, or set CHROMIUM to one")
    problems, foreign = [], []
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith((served.url, "data:", "blob:")) else foreign.append(request.url)
            ),
        )
        page.goto(served.url)
        page.wait_for_selector(".cr-proposal", timeout=WAIT_MS)
        yield page
        browser.close()
    assert problems == []
    assert foreign == []


def wait_for(page: "playwright.Page", words: str) -> None:
    page.wait_for_function(
        "words => document.querySelector('#proposal').innerText.includes(words)", arg=words, timeout=WAIT_MS
    )


def test_proposals_are_decided_by_mouse_and_keyboard(served: Served, page: "playwright.Page"):
    """Each is shown with picture, captions and reason; a decision is on the disk before the next one is shown.

    Skipped ones come last, the last decision can be undone, what was written of a proposal that others decided on
    stays in its field, and at the end the page says what to run.
    """
    assert page.inner_text("#cr-question") == "Drop this caption?"
    assert page.locator(".cr-single li").all_inner_texts() == [CAPTION, OTHER]
    assert page.inner_text(".cr-single mark") == CAPTION
    assert DROP.reason in page.inner_text("#proposal")
    assert page.evaluate("document.querySelector('.cr-single img').naturalWidth") == 40
    assert page.get_attribute("#proposal", "aria-live") == "polite"

    page.keyboard.press("s")
    wait_for(page, "Replace this caption?")
    assert read_decisions(served.corrections.accepted) == ()
    page.get_by_role("button", name="Accept").click()
    wait_for(page, "Show these 7 images 2 times")
    [accepted] = read_decisions(served.corrections.accepted)
    assert (accepted.proposal, accepted.decided_by) == (RELABEL, "Ada")
    assert page.locator(".cr-slice img").count() == 7

    page.keyboard.press("r")
    wait_for(page, "Drop this caption?")
    assert [one.proposal for one in read_decisions(served.corrections.rejected)] == [SLICE]
    page.keyboard.press("u")
    wait_for(page, "Show these 7 images 2 times")
    assert read_decisions(served.corrections.rejected) == ()
    assert not page.locator("#instead").is_visible()
    page.keyboard.press("a")
    wait_for(page, "Drop this caption?")
    page.keyboard.press("w")
    assert page.locator("#instead textarea, #instead input").input_value() == CAPTION
    page.keyboard.type("Rain and a dog .")  # over what stood there; its letters press no button
    elsewhere = served.corrections.rejected.read_bytes()
    write_decisions(served.corrections.rejected, [Decision(DROP, datetime.now(UTC))])
    page.keyboard.press("Enter")
    page.get_by_text("Nothing was kept: this proposal was decided elsewhere").wait_for(timeout=WAIT_MS)
    assert page.locator("#instead textarea, #instead input").input_value() == "Rain and a dog ."
    served.corrections.rejected.write_bytes(elsewhere)
    page.keyboard.press("Enter")
    wait_for(page, "Nothing is left to decide")
    # A page of another site whose name points to this machine is answered nothing.
    assert requests.get(served.url, headers={"Host": "evil.example"}, timeout=10).status_code == 421
    # Nor is another page's script, though it knows this machine's name, nor a call of a size that no call has.
    call = f"{served.url}gradio_api/queue/join"
    assert requests.post(call, json={}, headers={"Origin": "http://localhost:1"}, timeout=10).status_code == 403
    assert requests.post(call, data=bytes(2**21), timeout=10).status_code == 413
    assert "frame-ancestors 'none'" in requests.get(served.url, timeout=10).headers["Content-Security-Policy"]
    served.process.kill()
    assert {one.id for one in read_decisions(served.corrections.accepted)} == {
        *(one.id for one in DROP.rewritten("Rain and a dog .")),
        RELABEL.id,
        SLICE.id,
    }
