"""The page of the error analysis in a real browser: it filters, orders, works by keyboard, and fetches nothing."""

import base64
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlparse

import pytest
from evaluated import evaluated, hypothesis

from captiongen.data.captions_table import write_captions

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("analysis")
    done = evaluated(folder)
    # Another model that got the first image right and everything else wrong.
    said = [done.images[0].references[0], *("a man in a hat" for _ in done.images[1:])]
    rival = [replace(one, hypotheses=(hypothesis(text),)) for one, text in zip(done.images, said, strict=True)]
    write_captions(folder / "rival.parquet", rival)
    return done.analyse(folder / "out", rival=folder / "rival.parquet").page.as_uri()


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
    """The slash key leads to the filter; all words must appear; the count is announced; Escape clears it."""
    assert len(_visible(page)) == 8
    page.keyboard.press("/")
    page.keyboard.type("green looks box")
    assert _visible(page) == ["test_green_box.png"]
    assert page.get_by_role("status").inner_text() == "1 caption"
    page.get_by_role("searchbox").fill("nothing says this")
    assert _visible(page) == []
    page.keyboard.press("Escape")
    assert len(_visible(page)) == 8


def test_errors_slices_and_changes_can_be_chosen(page: "playwright.Page"):
    """A type of error, also from the table of costs, whose fault it is, and what another model got wrong."""
    page.get_by_label("Error", exact=True).select_option(label="truncation")
    assert _visible(page) == ["test_blue_box.png"]
    page.get_by_role("button", name="Clear").click()
    page.get_by_role("button", name="repetition").click()
    assert set(_visible(page)) == {"test_blue_box.png", "test_red_ball.png", "test_red_box.png"}
    assert page.get_by_label("Error", exact=True).input_value() == "repetition"
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("Change").select_option(label="broken")
    assert _visible(page) == ["test_red_ball.png"]


def test_order_can_be_chosen(page: "playwright.Page"):
    """Best first turns the order round."""
    worst_first = _visible(page)
    page.get_by_label("Order").select_option(label="best first")
    assert _visible(page) == worst_first[::-1]


def test_captions_are_walked_through_by_keyboard(page: "playwright.Page"):
    """The keys j and k go from caption to caption, and the one that has the focus says which it is."""
    ids = _visible(page)
    focused = "document.activeElement.querySelector('.head code').textContent"
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate(focused) == ids[1]
    page.keyboard.press("k")
    assert page.evaluate(focused) == ids[0]


def test_what_is_wrong_is_marked_and_said_in_words(page: "playwright.Page"):
    """The wrong words are underlined, the error names them and what people say; markup in a caption is text."""
    card = page.locator("#cards > li").filter(has_text="test_blue_box.png")
    assert card.locator(".word.error").count() >= 3
    assert "repetition: a box" in card.get_by_role("list", name="Errors").inner_text()
    red = page.locator("#cards > li").filter(has_text="test_red_ball.png")
    assert red.locator("b b").count() == 0
    assert "fault of the" in red.locator(".head").inner_text()


_IS_DRAWN = """one => {
  const copy = new OffscreenCanvas(one.width, one.height).getContext("2d");
  copy.drawImage(one, 0, 0);
  return copy.getImageData(0, 0, one.width, one.height).data.some(value => value > 0);
}"""


def test_a_word_shows_where_the_model_looked(page: "playwright.Page"):
    """Focus on a word draws its attention over the picture, and leaving it takes it away."""
    card = page.locator("#cards > li").filter(has_text="test_green_ball.png")
    card.locator(".word").first.focus()
    assert card.locator("canvas").evaluate(_IS_DRAWN)
    page.keyboard.press("Tab")
    page.get_by_role("searchbox").focus()
    assert not card.locator("canvas").evaluate(_IS_DRAWN)


def test_a_word_is_a_button_that_says_what_is_known_of_it(page: "playwright.Page"):
    """Its name is the word, its description what is wrong and how probable it was; pressed, the attention stays."""
    card = page.locator("#cards > li").filter(has_text="test_blue_box.png")
    assert card.get_by_role("heading", level=3).inner_text().split() == ["a", "box", "a", "box", "a", "box"]
    word = card.get_by_role("button", name="box", exact=True).nth(1)
    playwright.expect(word).to_have_accessible_description("repetition, 30 % probable")
    others = card.get_by_role("button", pressed=True)
    word.focus()
    page.keyboard.press("Enter")
    assert others.all_inner_texts() == ["box"]
    page.get_by_role("searchbox").focus()
    assert card.locator("canvas").evaluate(_IS_DRAWN)
    word.focus()
    page.keyboard.press(" ")
    assert others.count() == 0
    page.get_by_role("searchbox").focus()
    assert not card.locator("canvas").evaluate(_IS_DRAWN)


def test_pictures_are_shown_and_confidence_has_words(page: "playwright.Page"):
    """Every picture decodes, and the probabilities that shading shows can be read as text from the keyboard."""
    assert page.locator("#cards img").evaluate_all("all => all.every(one => one.alt)")
    assert page.locator("#cards img").first.evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
    summary = page.locator("#cards > li").filter(has_text="test_blue_box.png").locator("summary")
    summary.focus()
    page.keyboard.press("Enter")
    details = page.locator("#cards > li").filter(has_text="test_blue_box.png").locator("details").inner_text()
    assert "box 30 %" in details
    assert "train_blue_box.png" in details
    near = page.get_by_role("img", name="Training picture train_blue_box.png")
    assert near.evaluate("one => one.decode().then(() => one.naturalWidth)") == 80
    assert "a man in a hat" in details


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


def test_a_thousand_captions_open_in_two_seconds(browser: "playwright.Browser", address: str, tmp_path: Path):
    """Of photographs they are below 25 MB; cards are drawn as they come into view, and the last one can be reached."""
    text = Path(urlparse(address).path).read_text(encoding="utf-8")
    head, tail = text.split('<script type="application/json" id="data">', maxsplit=1)
    cards, tail = tail.split("</script>", maxsplit=1)
    picture, thumbnail, attention = (base64.b64encode(b"0" * size).decode() for size in (10_500, 2_300, 11 * 18**2))
    real = {"picture": f"data:image/jpeg;base64,{picture}", "grid": 18, "attention": attention}
    near = [f"data:image/jpeg;base64,{thumbnail}"]
    many = [
        card | real | {"rank": rank, "near": card["near"][:3] + near}
        for rank, card in enumerate(json.loads(cards) * 125, start=1)
    ]
    data = json.dumps(many).replace("<", "\\u003c")
    big = tmp_path / "big.html"
    big.write_text(f'{head}<script type="application/json" id="data">{data}</script>{tail}', encoding="utf-8")
    assert big.stat().st_size < 25e6
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(big.as_uri())
    assert page.get_by_role("status").inner_text() == "1,000 captions"
    timing = page.evaluate("performance.getEntriesByType('navigation')[0].domContentLoadedEventEnd")
    assert timing < 8_000  # the goal is 2 s; a busy machine is given its time
    assert page.locator("#cards > li").count() < 100
    page.get_by_label("Order").select_option(label="best first")
    assert page.locator("#cards > li .head").first.inner_text().split("\n")[0].startswith("badness")
    page.close()
