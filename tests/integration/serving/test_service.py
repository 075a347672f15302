"""The built Bento over HTTP: what it answers, what it refuses, and in which words."""

import json
import socket
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import bentoml
import numpy as np
import pytest
import requests
from PIL import Image
from served import ServedProcess
from tiny import encoded, tiny_picture

from captiongen.inference import CaptionEngine
from tests.datasets import ORIENTATIONS, encode_turned

MB = 1024**2
PICTURE = tiny_picture("blue", "box", seed=3, size=(96, 64))


def post(served: ServedProcess, data: bytes, **options: Any) -> requests.Response:
    return requests.post(f"{served.url}/caption", files={"image": ("photo", data)}, timeout=60, **options)


def caption(served: ServedProcess, data: bytes) -> dict[str, Any]:
    response = post(served, data)
    assert response.status_code == 200, response.text
    return response.json()


def assert_refused(response: requests.Response, status: int, word: str) -> None:
    assert response.status_code == status, response.text
    assert word in response.json()["error"]


def test_answer_names_caption_words_alternatives_and_every_ancestor(served: ServedProcess, bento_tag: str) -> None:
    """A picture is answered with its caption, the words' probabilities, the runners-up and the model's lineage."""
    answer = caption(served, encoded(PICTURE))
    assert answer["caption"] == " ".join(word["word"] for word in answer["words"])
    assert all(0.0 < word["probability"] <= 1.0 for word in answer["words"])
    assert (answer["confidence"], answer["is_doubtful"]) == (None, False)  # nobody has calibrated this model
    scores = [answer["score"], *(one["score"] for one in answer["alternatives"])]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    assert answer["model"] == {
        "name": "captiongen",
        "version": "7",
        "run_id": "run-of-the-test",
        "git_sha": "c0ffee",
        "dataset": "tiny",
        "data_hash": "d" * 64,
        "bento": bento_tag,
    }


def test_service_says_what_the_engine_says(served: ServedProcess, model_folder: Path) -> None:
    """A Bento captions with the model it was built with, a newer one in the store aside, exactly as evaluation does."""
    [result] = CaptionEngine.load(model_folder).caption([PICTURE])
    answer = caption(served, encoded(PICTURE))
    assert answer["caption"] == result.best.caption
    assert answer["score"] == pytest.approx(result.best.score, abs=1e-4)


@pytest.mark.parametrize(
    ("file_format", "mode", "options"),
    [
        ("JPEG", "RGB", {"quality": 95}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "L", {}),
        ("PNG", "P", {}),
        ("PNG", "LA", {}),
        ("PNG", "RGBA", {}),
        ("PNG", "1", {}),
        ("GIF", "P", {}),
        ("WEBP", "RGBA", {}),
        ("TIFF", "RGB", {}),
        ("BMP", "RGB", {}),
    ],
)
def test_every_accepted_kind_of_picture_is_captioned(
    served: ServedProcess, file_format: str, mode: str, options: dict[str, Any]
) -> None:
    """JPEG, PNG, GIF, WebP, TIFF and BMP are captioned in all their common colour modes."""
    assert caption(served, encoded(PICTURE.convert(mode), file_format, **options))["caption"]


def test_sixteen_bit_grey_is_seen_as_its_eight_bit_copy(served: ServedProcess) -> None:
    """A 16-bit PNG is scaled, not clipped to white."""
    grey = np.asarray(PICTURE.convert("L"))
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert caption(served, encoded(deep))["score"] == caption(served, encoded(Image.fromarray(grey)))["score"]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_exif_orientation_does_not_change_the_caption(served: ServedProcess, orientation: int) -> None:
    """The eight EXIF variants of one scene are the same pixels to the model; another scene is not."""
    turned, upright = caption(served, encode_turned(PICTURE, orientation)), caption(served, encoded(PICTURE))
    assert (turned["caption"], turned["score"]) == (upright["caption"], pytest.approx(upright["score"], abs=1e-5))
    other = caption(served, encoded(tiny_picture("red", "ball", seed=4)))
    assert other["score"] != pytest.approx(upright["score"], abs=1e-5)


def test_same_caption_alone_and_among_others(served: ServedProcess) -> None:
    """A picture gets the same caption alone and in a batch, and waiting pictures do form batches."""
    pictures = [encoded(tiny_picture(colour, "ball", seed=seed)) for seed in range(3) for colour in ("red", "green")]
    alone = [caption(served, picture) for picture in pictures]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda picture: caption(served, picture), pictures * 6))
    for answer, expected in zip(together, alone * 6, strict=True):
        assert answer["caption"] == expected["caption"]
        assert answer["score"] == pytest.approx(expected["score"], abs=1e-4)
    assert mean_batch_size(served) > 1


def mean_batch_size(served: ServedProcess) -> float:
    """Mean size of the batches the model has seen, from the service's own metrics."""
    lines = requests.get(f"{served.url}/metrics", timeout=10).text.splitlines()
    total, count = (
        sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"captiongen_batch_size_{kind}"))
        for kind in ("sum", "count")
    )
    return total / count


@pytest.mark.parametrize(
    ("name", "data", "status", "word"),
    [
        ("empty", b"", 400, "empty"),
        ("half a JPEG", encoded(PICTURE, "JPEG")[:900], 400, "damaged"),
        ("half a PNG", encoded(PICTURE)[:-2000], 400, "damaged"),
        ("noise", np.random.default_rng(0).bytes(5000), 415, "JPEG"),
        ("SVG", b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', 415, "JPEG"),
        ("EPS", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", 415, "JPEG"),
        ("PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", 415, "JPEG"),
        ("HTML", b"<!doctype html><img src=x>", 415, "JPEG"),
        ("pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00.", 415, "JPEG"),
        ("ICO", encoded(PICTURE, "ICO"), 415, "JPEG"),
    ],
)
def test_what_is_no_picture_is_refused(served: ServedProcess, name: str, data: bytes, status: int, word: str) -> None:
    """Empty and damaged files are 400, kinds that are not opened are 415, each with a reason, never 5xx."""
    assert_refused(post(served, data), status, word)


def test_pixel_bomb_is_refused_without_being_decoded(served: ServedProcess) -> None:
    """A small file of 400 megapixels is 413, and the service's memory does not grow by 200 MB."""
    before = served.rss_bytes()
    for _ in range(4):
        assert_refused(post(served, bomb(20_000, 20_000)), 413, "megapixels")
    assert served.rss_bytes() - before < 200 * MB


def bomb(width: int, height: int) -> bytes:
    """A valid PNG of one colour that is small on disk and huge when decoded."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return len(body).to_bytes(4, "big") + kind + body + zlib.crc32(kind + body).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([1, 0, 0, 0, 0])
    rows = zlib.compress(bytes(height * (1 + width // 8)), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_announced_body_over_the_limit_is_refused_unread(served: ServedProcess) -> None:
    """A request that announces 12 MB is 413 although its body never comes."""
    host, port = served.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        head = f"POST /caption HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        connection.sendall(f"{head}Content-Length: {12 * MB}\r\n\r\n".encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    assert answer.startswith("HTTP/1.1 413")
    assert "10 MB" in answer


@pytest.mark.parametrize("path", ["/caption", "/gradio_api/upload"])
def test_chunked_body_over_the_limit_is_cut_off(served: ServedProcess, path: str) -> None:
    """A body without announced length is 413 as soon as it is over 10 MB, at the endpoint and on the page alike."""

    def chunks() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        for _ in range(12):
            yield bytes(MB)
        yield b"\r\n--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = requests.post(f"{served.url}{path}", data=chunks(), headers=headers, timeout=30)
    assert_refused(response, 413, "10 MB")


@pytest.mark.parametrize(
    "request_options",
    [
        {"files": {"image": (None, "http://127.0.0.1:9/a.png")}},
        {"files": {"image": (None, "/etc/passwd")}},
        {"data": {"image": "file:///etc/passwd"}},
        {"json": {"image": "http://127.0.0.1:9/a.png"}},
        {"data": "http://127.0.0.1:9/a.png"},
        {"files": {"picture": ("a.png", encoded(PICTURE))}},
        {"files": [("image", ("a.png", encoded(PICTURE))), ("image", ("b.png", encoded(PICTURE)))]},
        {"data": b"no form", "headers": {"Content-Type": "multipart/form-data"}},
        {"data": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {},
    ],
    ids=["url", "path", "urlencoded", "json", "bare url", "other field", "two files", "no boundary", "cut", "nothing"],
)
def test_only_a_file_in_the_field_image_is_taken(served: ServedProcess, request_options: dict[str, Any]) -> None:
    """URLs, paths, other fields and broken forms are 400 and say what is expected; nothing is fetched."""
    response = requests.post(f"{served.url}/caption", timeout=30, **request_options)
    assert_refused(response, 400, "image")


def test_pickle_is_never_read(served: ServedProcess) -> None:
    """BentoML's own pickle content type is refused."""
    headers = {"Content-Type": "application/vnd.bentoml+pickle"}
    assert requests.post(f"{served.url}/caption", data=b"cos\n", headers=headers, timeout=30).status_code == 415


def test_page_fetches_no_url(served: ServedProcess) -> None:
    """The page's own interface answers a URL in place of an uploaded file with an error."""
    answer = ask_page(served, "http://127.0.0.1:9/a.png")
    assert answer["success"] is False


def test_page_reads_no_file_of_the_machine(served: ServedProcess, tmp_path: Path) -> None:
    """A path that was not uploaded gets one answer, whether a picture is there or not; the model is not asked."""
    there = tmp_path / "private.png"
    there.write_bytes(encoded(PICTURE))
    there.chmod(0o644)
    answers = [ask_page(served, str(path)) for path in (there, tmp_path / "absent0.png")]
    assert [answer["success"] for answer in answers] == [False, False]
    assert answers[0]["output"] == answers[1]["output"]


def test_page_captions_what_was_uploaded_to_it(served: ServedProcess) -> None:
    """The way of a browser, without one: upload, ask, and get the caption as a piece of the page."""
    files = {"files": ("a.png", encoded(PICTURE))}
    [path] = requests.post(f"{served.url}/gradio_api/upload", files=files, timeout=30).json()
    answer = ask_page(served, path)
    assert answer["success"] is True
    assert caption(served, encoded(PICTURE))["caption"] in answer["output"]["data"][0]


@pytest.mark.parametrize(
    "route", ["file=/etc/hostname", "file=http://127.0.0.1:9/a.png", "proxy=http://127.0.0.1:9/a.png", "run/predict"]
)
def test_page_has_no_other_ways_in(served: ServedProcess, route: str) -> None:
    """Gradio's routes that read files, fetch URLs or go around the queue are closed."""
    assert requests.get(f"{served.url}/gradio_api/{route}", timeout=10).status_code in (403, 404)


def ask_page(served: ServedProcess, path: str) -> dict[str, Any]:
    """What the page answers when its picture field names this path."""
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [file], "fn_index": 0, "session_hash": "test"}
    joined = requests.post(f"{served.url}/gradio_api/queue/join", json=body, timeout=10)
    assert joined.ok, joined.text
    with requests.get(f"{served.url}/gradio_api/queue/data?session_hash=test", stream=True, timeout=30) as stream:
        events = [json.loads(line[5:]) for line in stream.iter_lines() if line.startswith(b"data:")]
    return next(event for event in events if event["msg"] == "process_completed")


@pytest.mark.parametrize("path", ["/healthz", "/livez", "/readyz"])
def test_health_is_told(served: ServedProcess, path: str) -> None:
    """A ready service says that it lives and is ready."""
    assert requests.get(f"{served.url}{path}", timeout=10).status_code == 200


def test_metrics_count_requests(served: ServedProcess) -> None:
    """/metrics counts the answers of the endpoint."""
    caption(served, encoded(PICTURE))
    text = requests.get(f"{served.url}/metrics", timeout=10).text
    assert 'bentoml_service_request_total{endpoint="/caption",http_response_code="200"' in text


def test_api_describes_itself(bento_tag: str) -> None:
    """The Bento's OpenAPI document names the endpoint, its file field and its answer."""
    document = Path(bentoml.bentos.get(bento_tag).path_of("apis/openapi.yaml")).read_text(encoding="utf-8")
    assert "/caption:" in document
    assert "multipart/form-data" in document
    assert "alternatives" in document


def test_a_site_that_takes_this_machines_address_reads_nothing(served: ServedProcess) -> None:
    """Asked under another host's name, neither captions nor the page are given, and no origin is allowed in."""
    headers = {"Host": "evil.example", "Origin": "http://evil.example"}
    for response in (
        post(served, encoded(PICTURE), headers=headers),
        requests.get(served.url, headers=headers, timeout=60),
    ):
        assert_refused(response, 421, "CAPTIONGEN_ALLOWED_HOSTS")
        assert "access-control-allow-origin" not in response.headers


def test_content_type_that_is_no_ascii_is_refused_in_words(served: ServedProcess) -> None:
    """Other bytes in the Content-Type give a 400 with its reason, and no traceback in the log."""
    before = served.output()
    response = requests.post(f"{served.url}/caption", data=b"x", headers={"Content-Type": b"image/p\xe9g"}, timeout=60)
    assert_refused(response, 400, "ASCII")
    assert served.output() == before


def test_requests_leave_no_lines_in_the_log(served: ServedProcess) -> None:
    """A captioned picture is counted in the metrics and not logged."""
    before = served.output()
    caption(served, encoded(PICTURE))
    assert served.output() == before
