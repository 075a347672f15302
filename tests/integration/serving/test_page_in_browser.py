"""The page in a real browser: what a person does and sees."""

import os
import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from served import ServedProcess
from tiny import encoded, tiny_picture

from captiongen.data.feedback import FeedbackFolder

WAIT_MS = 60_000
FILE_INPUT = "#photograph input[type=file]"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("no browser here: install chromium, or set CHROMIUM to one")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
        )
        yield browser
        browser.close()


class Visit:
    """A visit to the page that keeps what the browser asked other hosts for, and what it complained about."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.foreign: list[str] = []
        self.errors: list[str] = []
        page.on("request", lambda request: self._note(request.url, url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.goto(url)
        page.wait_for_selector(FILE_INPUT, state="attached", timeout=WAIT_MS)

    def _note(self, requested: str, url: str) -> None:
        if not requested.startswith((url, "data:", "blob:")):
            self.foreign.append(requested)

    def upload(self, picture: bytes, *, name: str = "photo.png") -> None:
        self.page.set_input_files(FILE_INPUT, {"name": name, "mimeType": "image/png", "buffer": picture})


@pytest.fixture
def visit(browser: Browser, served: ServedProcess) -> Iterator[Visit]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        yield Visit(context.new_page(), served.url)


def test_uploaded_picture_is_captioned_without_another_host(visit: Visit, tmp_path: Path) -> None:
    """A picture goes in; caption, words, candidates, model and attention come out; no other host is asked."""
    visit.upload(encoded(tiny_picture("red", size=(400, 300))))
    visit.page.wait_for_selector(".cg-caption", timeout=WAIT_MS)
    words = visit.page.locator(".cg-word")
    sentence = visit.page.inner_text(".cg-caption").rstrip(" …").lower()
    assert sentence == " ".join(words.locator("span").all_inner_texts())
    assert visit.page.locator(".cg-candidates li").count() == 3
    assert "captiongen 7" in visit.page.inner_text(".cg-model")
    assert visit.foreign == []
    assert visit.errors == []

    shot = tmp_path / "page.png"
    visit.page.screenshot(path=str(shot), full_page=True)
    assert len(Image.open(shot).convert("RGB").getcolors(2**24) or ()) > 100, "the page looks blank"


def test_chosen_word_shows_where_the_model_looked(visit: Visit) -> None:
    """The picture is bright at first; choosing a word, by mouse or arrow key, lights up where it looked."""
    visit.upload(encoded(tiny_picture("blue", size=(300, 300))))
    visit.page.wait_for_selector(".cg-caption", timeout=WAIT_MS)
    num_words = visit.page.locator(".cg-word").count()
    assert visit.page.locator(".cg-spotlight").count() == num_words > 2
    choices = [
        (None, lambda: visit.page.locator(".cg-whole input").focus()),
        (0, lambda: visit.page.keyboard.press("ArrowRight")),
        (2, lambda: visit.page.locator(".cg-word").nth(2).click()),
        (None, lambda: visit.page.locator(".cg-whole").click()),
    ]
    for chosen, choose in choices:
        choose()
        visit.page.wait_for_function("() => !document.getAnimations().length")
        shown = visit.page.locator(".cg-spotlight").evaluate_all("all => all.map(one => getComputedStyle(one).opacity)")
        assert shown == ["1" if index == chosen else "0" for index in range(num_words)]
    picture = visit.page.locator(".cg-stage > img:first-child").bounding_box()
    assert visit.page.locator(".cg-spotlight").first.bounding_box() == pytest.approx(picture, abs=1.5)


def test_bad_file_is_explained_and_the_page_goes_on(visit: Visit) -> None:
    """A file that is no picture gives a reason where the caption would be; the next picture is captioned."""
    visit.upload(encoded(tiny_picture(), "JPEG")[:700])
    visit.page.wait_for_selector(".cg-refusal", timeout=WAIT_MS)
    assert "damaged" in visit.page.inner_text(".cg-refusal")
    visit.page.get_by_label("Remove Image").click()
    visit.page.wait_for_selector(".cg-empty", timeout=WAIT_MS)
    visit.upload(encoded(tiny_picture()))
    visit.page.wait_for_selector(".cg-caption", timeout=WAIT_MS)


def test_photo_from_the_camera_is_captioned(visit: Visit) -> None:
    """The camera's picture is captioned as an uploaded one."""
    visit.page.get_by_label("Capture from camera").click()
    visit.page.get_by_text("Click to Access Webcam").click()
    visit.page.wait_for_function("() => document.querySelector('#photograph video')?.videoWidth > 0", timeout=WAIT_MS)
    visit.page.get_by_label("capture photo").click(timeout=WAIT_MS)
    visit.page.wait_for_selector(".cg-caption", timeout=WAIT_MS)


def test_a_caption_is_reported_with_the_keyboard_alone(visit: Visit, feedback: FeedbackFolder) -> None:
    """Tab, words, choice and Enter send a report; the thanks name its number and are what a screen reader hears."""
    visit.upload(encoded(tiny_picture("blue", size=(300, 300))))
    visit.page.wait_for_selector(".cg-caption", timeout=WAIT_MS)
    visit.page.locator(".cg-report summary").focus()
    for key in ("Enter", "Tab"):
        visit.page.keyboard.press(key)
    visit.page.keyboard.type("<script>document.title='evil'</script> a blue ball")
    visit.page.keyboard.press("Tab")
    visit.page.keyboard.type("a colour")
    for key in ("Tab", "Tab", "Enter"):  # past the tick, to the button
        visit.page.keyboard.press(key)
    visit.page.wait_for_selector(".cg-report[data-state=sent]", timeout=WAIT_MS)
    said = visit.page.get_by_role("status").filter(has_text="Thank you")
    assert said.evaluate("one => one === document.activeElement")
    kept = feedback.record(said.inner_text().rsplit(" ", 1)[1])
    assert kept.correction == "<script>document.title='evil'</script> a blue ball"
    assert (kept.reason, kept.picture_sha256) == ("colour", None)
    assert kept.caption == visit.page.inner_text(".cg-caption").rstrip(" …").lower()
    assert visit.page.title() == "CaptionGen"
    assert visit.errors == []


def test_a_picture_goes_along_when_its_owner_says_so(visit: Visit, feedback: FeedbackFolder) -> None:
    """With the tick the picture is kept too; that of another caption is refused, in words, and the form stays."""
    visit.upload(encoded(tiny_picture("green", size=(300, 200))))
    visit.page.wait_for_selector(".cg-caption", timeout=WAIT_MS)
    visit.page.get_by_text("Report this caption").click()
    visit.page.get_by_label("What would you say instead?").fill("A green ball.")
    visit.page.get_by_label("What is wrong?").select_option("object")
    visit.page.get_by_label("Keep my picture").check()
    uploaded = visit.page.locator("#photograph img").get_attribute("src")
    show = "(one, source) => { one.src = source }"
    visit.page.locator("#photograph img").evaluate(show, visit.page.locator(".cg-stage img").first.get_attribute("src"))
    visit.page.get_by_role("button", name="Send report").click()
    visit.page.wait_for_selector(".cg-report[data-state=refused]", timeout=WAIT_MS)
    assert "the file that was captioned, found another" in visit.page.inner_text(".cg-sent")
    visit.page.locator("#photograph img").evaluate(show, uploaded)
    visit.page.get_by_role("button", name="Send report").click()
    visit.page.wait_for_selector(".cg-report[data-state=sent]", timeout=WAIT_MS)
    kept = feedback.record(visit.page.inner_text(".cg-sent").rsplit(" ", 1)[1])
    assert Image.open(BytesIO(feedback.picture(kept) or b"")).size == (300, 200)
    assert (kept.correction, kept.reason) == ("A green ball.", "object")
    assert visit.foreign == []


def test_page_fits_a_phone(browser: Browser, served: ServedProcess) -> None:
    """At 390 px nothing is cut off or scrolls sideways."""
    with browser.new_context(viewport={"width": 390, "height": 844}) as context:
        visit = Visit(context.new_page(), served.url)
        visit.upload(encoded(tiny_picture("green", size=(600, 400))))
        visit.page.wait_for_selector(".cg-caption", timeout=WAIT_MS)
        visit.page.get_by_text("Report this caption").click()
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= 390
