"""What the mounted page lets in over HTTP: uploaded pictures, and nothing else of the machine or of other hosts."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient
from tiny import encoded, tiny_picture

from captiongen.serving import page
from captiongen.serving.answer import ModelCard
from captiongen.serving.result_view import Captioned
from captiongen.types import CaptionResult, Hypothesis, Preprocessing

API = "/gradio_api"


class Visit:
    """A client of the mounted page, and the bytes that its model was asked for."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        web = Starlette()
        card = ModelCard(name="m", version="1", run_id="r", git_sha="g", dataset="tiny", data_hash="h", bento="b")
        page.mount(web, self.explain, card=card, preprocessing=Preprocessing(image_size_px=8, resize="squash"))
        self.http = TestClient(web, raise_server_exceptions=False)

    async def explain(self, data: bytes) -> Captioned:
        """A fake model that calls every picture a thing."""
        self.asked.append(data)
        thing = Hypothesis("thing", (), log_probability=-1.0, score=-1.0)
        return Captioned(Image.new("RGB", (8, 8)), CaptionResult((thing,)), receipt=None)

    def ask_of(self, path: str, **more: Any) -> str:
        """What the page answers when the picture field names this path."""
        file = {"path": path, "meta": {"_type": "gradio.FileData"}, **more}
        body = {"data": [file], "fn_index": 0, "session_hash": "s"}
        assert self.http.post(f"{API}/queue/join", json=body).status_code == 200
        events = self.http.get(f"{API}/queue/data", params={"session_hash": "s"}).text
        return next(line for line in events.splitlines() if "process_completed" in line)


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Visit]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads")))
        visit = Visit()
        with visit.http:
            yield visit


@pytest.fixture
def private(tmp_path: Path) -> Path:
    path = tmp_path / "private.png"
    path.write_bytes(encoded(tiny_picture()))
    return path


def test_an_uploaded_picture_is_captioned(visit: Visit) -> None:
    """What went through the page's own upload is handed to the model."""
    picture = encoded(tiny_picture("blue"))
    [path] = visit.http.post(f"{API}/upload", files={"files": ("a.png", picture)}).json()
    assert "thing" in visit.ask_of(path)
    assert visit.asked.pop() == picture


@pytest.mark.parametrize("more", [{}, {"is_stream": True}, {"url": "http://127.0.0.1:9/a.png"}])
def test_no_file_of_the_machine_is_read(visit: Visit, private: Path, more: dict[str, Any]) -> None:
    """A path outside the upload folder gets one answer, whether a file is there or not."""
    there, absent = str(private), str(private.with_name("absent0.png"))
    around = os.path.relpath(private, os.environ["GRADIO_TEMP_DIR"])
    around = f"{os.environ['GRADIO_TEMP_DIR']}/{around}"
    answers = {path: visit.ask_of(path, **more) for path in (there, absent, around)}
    assert not visit.asked
    assert '"success":false' in answers[there]
    assert len({_without_id(answer) for answer in answers.values()}) == 1


def test_naming_an_svg_does_not_publish_it(visit: Visit, private: Path) -> None:
    """Gradio counts SVG files that it meets before its start as public; a visitor cannot have it do so."""
    path = private.with_suffix(".svg")
    path.write_text("<svg/>")
    visit.ask_of(str(path), is_stream=True)
    assert visit.http.get(f"{API}/file={path}").status_code in (403, 404)


def test_a_direct_call_is_no_way_around_the_queue(visit: Visit, private: Path) -> None:
    """The routes for programs, which the page does not use, are closed."""
    body = {"data": [{"path": str(private), "meta": {"_type": "gradio.FileData"}}], "fn_index": 0, "session_hash": "s"}
    for route in ("run/predict", "api/predict", "call/predict", "call/v2/predict"):
        assert visit.http.post(f"{API}/{route}", json=body).status_code == 404
    assert not visit.asked


@pytest.mark.parametrize(
    "route",
    [
        "file=/etc/hostname",
        "file=http://127.0.0.1:9/a.png",
        "file=HTTPS://example.org/a.png",
        "file=%68ttp://example.org/a.png",
        "file/etc/hostname",
        "proxy=http://127.0.0.1:9/a.png",
        "deep_link?session_hash=s",
        "runs",
        "vibe-code",
    ],
)
def test_routes_hand_out_no_file_and_fetch_no_url(visit: Visit, route: str) -> None:
    """No route of Gradio reads a file that was not uploaded, or asks another host."""
    assert visit.http.get(f"{API}/{route}").status_code in (403, 404)


def test_the_routes_that_the_page_needs_are_open(visit: Visit) -> None:
    """The page, its settings and the picture that a visitor has just uploaded are served."""
    [path] = visit.http.post(f"{API}/upload", files={"files": ("a.png", encoded(tiny_picture()))}).json()
    for route in ("/", "/config", "/theme.css", f"{API}/info", f"{API}/file={path}"):
        assert visit.http.get(route).status_code == 200, route


def _without_id(event: str) -> str:
    start = event.index('"event_id"')
    return event[:start] + event[event.index(",", start) :] if "," in event[start:] else event[:start]


@pytest.mark.parametrize(
    "call",
    [
        b"{",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        {},
        {"fn_index": 999},
        {"fn_index": -1},
        {"fn_index": True},
        {"fn_index": "0"},
        {"session_hash": 5},
        {"data": 5},
        {"data": []},
        {"data": [5]},
        {"data": [{"x": {}, "path": 7}]},
        {"data": [None, None]},
        {"fn_index": 1, "data": []},
        {"fn_index": 1, "data": [], "event_data": {"index": "x", "value": 0}},
    ],
)
def test_a_call_that_the_page_would_not_make_is_refused(visit: Visit, call: bytes | dict[str, Any]) -> None:
    """Absent functions and malformed arguments are answered 400 in our words, which name no library."""
    good = {"data": [None], "fn_index": 0, "session_hash": "s"}
    content = call if isinstance(call, bytes) else json.dumps(good | call if call else {}).encode()
    response = visit.http.post(f"{API}/queue/join", content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 400
    assert "Expected" in response.json()["error"]
    assert "pydantic" not in response.text


def test_closed_routes_are_404_in_json(visit: Visit) -> None:
    """A route of Gradio's that the page does not use says so."""
    response = visit.http.post(f"{API}/component_server", json={"component_id": 1, "fn_name": "ls"})
    assert response.status_code == 404
    assert response.json()["error"]
