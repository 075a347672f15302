"""The page of the worst captions in a real browser: it filters, orders, works by keyboard, and fetches nothing."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from evaluated import evaluated

from captiongen.params import AnalyseParams
from captiongen.stages.analyse import analyse

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("analysis")
    done = evaluated(folder)
    folders = {"evaluation_folder": done.evaluation_folder, "data_folder": done.data_folder}
    return analyse(AnalyseParams(num_worst=3), split="test", out_folder=folder / "out", **folders).page.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator["playwright.Browser"]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no browser here: install chromium, or set CHROMIUM to one")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: "playwright.Browser", address: str) -> Iterator["playwright.Page"]:
    """The page; at the end no error was reported and no address but its own was asked for."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(address)
    yield page
    assert problems == []
    assert [url for url in requests if url != address and not url.startswith("data:")] == []
    page.close()


def _visible(page: "playwright.Page") -> list[str]:
    return page.locator("#cards > li:visible .head code").all_inner_texts()


def test_the_filter_finds_words_of_captions_and_references(page: "playwright.Page"):
    """The slash key leads to the filter; all words must appear; the count is announced."""
    assert len(_visible(page)) == 8
    page.keyboard.press("/")
    page.keyboard.type("green looks box")
    assert _visible(page) == ["green_box.png"]
    assert page.get_by_role("status").inner_text() == "1 caption"
    page.get_by_role("searchbox").fill("nothing says this")
    assert _visible(page) == []


def test_order_and_group_can_be_chosen(page: "playwright.Page"):
    """Best first turns the order round; best only hides the worst."""
    worst_first = _visible(page)
    page.get_by_label("Order").select_option(label="best first")
    assert _visible(page)[-3:] == worst_first[2::-1]
    page.get_by_label("Show").select_option(label="best only")
    assert set(_visible(page)) == set(worst_first[3:])


def test_pictures_are_shown_and_confidence_has_words(page: "playwright.Page"):
    """Every picture decodes, and the probabilities that shading shows can be read as text from the keyboard."""
    assert page.locator("#cards img").evaluate_all("all => all.every(one => one.alt)")
    page.locator("#cards img").first.wait_for()
    assert page.locator("#cards img").first.evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
    summary = page.locator("#cards summary").first
    summary.focus()
    page.keyboard.press("Enter")
    assert "box 30 %" in page.locator("#cards details").first.inner_text()


def test_nothing_is_cut_off_on_a_telephone(page: "playwright.Page"):
    """At 390 px there is no sideways scrolling."""
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_theme_can_be_switched(page: "playwright.Page"):
    """The button turns light into dark and back."""
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(colour)
    button = page.get_by_role("button", name="Switch between light and dark")
    button.click()
    assert page.evaluate(colour) != light
    button.click()
    assert page.evaluate(colour) == light


def test_a_screenshot_can_be_kept(page: "playwright.Page", tmp_path: Path):
    """The page draws something, in both themes."""
    shots = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        shots.append(page.screenshot(path=tmp_path / f"{scheme}.png"))
    assert shots[0] != shots[1]
