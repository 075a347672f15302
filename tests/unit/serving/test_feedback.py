"""`POST /feedback` behind a bare application: what is kept, what is refused, and that nothing else is."""

import errno
import hashlib
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from bentoml.exceptions import BentoMLException
from filelock import FileLock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient
from tiny import encoded, tiny_picture

from captiongen.data import feedback
from captiongen.data.feedback import FeedbackFolder, FeedbackRecord, ReportedModel
from captiongen.serving.feedback import FeedbackDesk, feedback_folder
from captiongen.serving.limits import Refused
from captiongen.serving.uploads import kept_copy

MODEL = ReportedModel(name="captiongen", version="7", weights_sha256="f" * 64, bento="captiongen:7")
PICTURE = encoded(tiny_picture("blue"))
CAPTION = "a red ball"


class Visit:
    """A client of a desk, and what the desk keeps."""

    def __init__(self, folder: FeedbackFolder) -> None:
        self.folder = folder
        self.reasons: list[str] = []
        self._desk = FeedbackDesk(folder, MODEL, observe=self.reasons.append)
        self.http = TestClient(Starlette(routes=[Route("/feedback", self._answer, methods=["POST"])]))

    async def _answer(self, request: Request) -> Response:
        try:
            return JSONResponse((await self._desk.take(request)).model_dump())
        except Refused as refused:
            return refused.response()

    def receipt(self, picture: bytes = PICTURE) -> str:
        return self._desk.receipt(CAPTION, hashlib.sha256(picture).hexdigest())

    def request(self, *, picture: bytes | None = None, **fields: Any) -> httpx.Request:
        """A report; a field None is left out."""
        given = {"receipt": self.receipt(), **fields}
        form = [(name, (None, value)) for name, value in given.items() if value is not None]
        files = form if picture is None else [*form, ("image", ("../../../etc/x.php", picture))]
        return self.http.build_request("POST", "/feedback", files=files)

    def send(self, **given: Any) -> httpx.Response:
        """Posts a report; arguments as `request`."""
        return self.http.send(self.request(**given))

    def send_raw(self, body: bytes, *, content_type: str) -> httpx.Response:
        """Posts any bytes."""
        return self.http.post("/feedback", content=body, headers={"Content-Type": content_type})

    def kept(self) -> list[FeedbackRecord]:
        return list(self.folder.records())


@pytest.fixture
def visit(tmp_path: Path) -> Visit:
    return Visit(FeedbackFolder(tmp_path / "feedback"))


def test_a_report_without_consent_keeps_words_and_a_hash(visit: Visit):
    """Caption, model and the file's hash come from the receipt, the correction from the person; no picture is kept."""
    answer = visit.send(correction="  A blue\nball ", reason="colour")
    assert answer.status_code == 200
    [kept] = visit.kept()
    assert answer.json() == {"id": kept.id}
    assert (kept.caption, kept.correction, kept.reason, kept.model) == (CAPTION, "A blue ball", "colour", MODEL)
    assert (kept.upload_sha256, kept.picture_sha256) == (hashlib.sha256(PICTURE).hexdigest(), None)
    assert {path.suffix for path in visit.folder.root.iterdir()} == {"", ".json"}
    assert visit.reasons == ["colour"]


def test_a_report_with_consent_keeps_a_copy_of_the_picture(visit: Visit):
    """The copy is the service's own, under the record's name, whatever the client called the file."""
    assert visit.send(consent="yes", picture=PICTURE).status_code == 200
    [kept] = visit.kept()
    assert visit.folder.picture(kept) == kept_copy(PICTURE)
    assert (kept.correction, kept.reason) == (None, None)
    assert {path.name for path in visit.folder.root.iterdir()} == {
        ".lock",
        ".secret",
        f"{kept.id}.jpg",
        f"{kept.id}.json",
    }
    assert visit.reasons == ["none"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"receipt": None, "reason": "count"}, "Expected a `receipt`"),
        ({"receipt": "forged"}, "receipt as this service gives it"),
        ({"receipt": "\u00e9"}, "receipt as this service gives it"),
        ({"reason": "boring"}, "as `reason`"),
        ({"consent": "maybe"}, "as `consent`"),
        ({"correction": "x" * 301}, "at most 300"),
        ({"correction": "x" * 20_000}, "maximum size"),
        ({"correction": "a\x1b[2J"}, "U\\+001B"),
        ({"caption": "invented"}, "found caption"),
        ({"model": "other"}, "found model"),
        ({"consent": "yes"}, "consent without a picture"),
        ({"picture": PICTURE}, "a picture without consent"),
        ({"picture": PICTURE, "consent": "no"}, "a picture without consent"),
        ({"consent": "yes", "image": "http://127.0.0.1:9/a.png"}, "URLs and paths are not opened"),
        ({"consent": "yes", "picture": encoded(tiny_picture("red"))}, "the file that was captioned, found another"),
        ({"consent": "yes", "picture": b""}, "the file that was captioned, found another"),
    ],
)
def test_what_is_not_as_it_should_be_is_refused_and_not_kept(visit: Visit, fields: dict[str, Any], words: str):
    """Each fault is a 400 that says what was expected; nothing is written."""
    answer = visit.send(**fields)
    assert answer.status_code == 400
    assert re.search(words, answer.json()["error"])
    assert visit.kept() == []
    assert visit.reasons == []


def test_a_file_in_a_text_s_place_and_a_field_twice_are_refused(visit: Visit):
    """Each field has its kind and comes once."""
    as_file = visit.http.post("/feedback", files={"receipt": ("a.txt", visit.receipt())})
    twice = visit.http.post("/feedback", files=[("receipt", (None, visit.receipt()))] * 2)
    for answer, words in ((as_file, "Expected text as `receipt`"), (twice, "a field twice")):
        assert answer.status_code == 400
        assert words in answer.json()["error"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mangled_form_is_refused_or_kept_whole(visit: Visit, data: st.DataObject):
    """Whatever happens to a body on its way, the answer is a 200 with a record that reads, or a 4xx in words."""
    request = visit.request(picture=PICTURE, consent="yes", correction="a b", reason="count")
    body = bytearray(request.read())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, 900))  # forms begin with their fields; the picture follows
        length = data.draw(st.integers(0, 40))
        body[start : start + length] = data.draw(st.binary(max_size=20))
    answer = visit.send_raw(bytes(body), content_type=request.headers["content-type"])
    assert answer.status_code == 200 or 400 <= answer.status_code < 500
    if answer.status_code == 200:
        kept = visit.folder.record(answer.json()["id"])
        assert kept.caption == CAPTION
        assert (visit.folder.picture(kept) is None) == (kept.picture_sha256 is None)
    else:
        assert answer.json()["error"]


def test_a_caption_is_reported_once(visit: Visit):
    """A second report of the same answer is a 409 with the number of the first, which stays as it was."""
    receipt = visit.receipt()
    first = visit.send(receipt=receipt, correction="first")
    second = visit.send(receipt=receipt, correction="second")
    assert second.status_code == 409
    assert first.json()["id"] in second.json()["error"]
    assert [kept.correction for kept in visit.kept()] == ["first"]


def test_a_picture_that_cannot_be_kept_is_refused_as_elsewhere(visit: Visit):
    """Receipts are for any bytes: those that are no picture, or too large a one, are refused as captioning does."""
    for data, status in ((b"%PDF-1.7", 415), (encoded(Image.new("1", (6000, 5000))), 413)):
        assert visit.send(receipt=visit.receipt(data), consent="yes", picture=data).status_code == status
    assert visit.kept() == []


def test_a_full_folder_is_said_without_naming_it(tmp_path: Path):
    """507 says that nothing was kept and who can help; the folder's path is the operator's business."""
    visit = Visit(FeedbackFolder(tmp_path / "feedback", max_records=1))
    visit.send()
    answer = visit.send()
    assert answer.status_code == 507
    assert "was not kept; captions are given as before" in answer.json()["error"]
    assert str(tmp_path) not in answer.text
    assert len(visit.kept()) == 1


def test_a_full_disk_is_said_and_the_next_report_is_kept(visit: Visit, monkeypatch: pytest.MonkeyPatch):
    """A disk without room is a 507; nothing of the report stays, and when there is room again all is well."""

    def full(path: Path, data: bytes | str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(feedback, "write_atomically", full)
    answer = visit.send()
    assert answer.status_code == 507
    assert str(visit.folder.root) not in answer.text
    monkeypatch.undo()
    assert visit.send().status_code == 200
    assert len(visit.kept()) == 1


def test_a_folder_that_others_keep_busy_is_said(visit: Visit, monkeypatch: pytest.MonkeyPatch):
    """Where other processes hold the folder too long, the client is told to come back."""
    monkeypatch.setattr(feedback, "LOCK_SECONDS", 0.05)
    with FileLock(visit.folder.root / ".lock"):
        answer = visit.send()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")


def test_the_environment_turns_feedback_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without the variable there is no feedback; with it the folder is made at once, ready for writers."""
    monkeypatch.delenv("CAPTIONGEN_FEEDBACK", raising=False)
    assert feedback_folder() is None
    monkeypatch.setenv("CAPTIONGEN_FEEDBACK", str(tmp_path / "a" / "b"))
    assert (feedback_folder() is not None, (tmp_path / "a" / "b").is_dir()) == (True, True)


@pytest.mark.parametrize("named", ["feedback", "/dev/null/feedback"])
def test_a_folder_that_cannot_be_is_refused_at_the_start(named: str, monkeypatch: pytest.MonkeyPatch):
    """A relative path, or one that cannot be written, is said before anybody sends a report."""
    monkeypatch.setenv("CAPTIONGEN_FEEDBACK", named)
    with pytest.raises(BentoMLException, match="CAPTIONGEN_FEEDBACK"):
        feedback_folder()
