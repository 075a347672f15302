"""`POST /feedback` of the built Bento: from a caption to a record on the disk."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import bentoml
import requests
from PIL import ExifTags, Image
from served import ServedProcess
from tiny import encoded, tiny_picture

from captiongen.data.feedback import FeedbackFolder
from captiongen.types import Lineage

MB = 1024**2


def caption(served: ServedProcess, data: bytes) -> dict[str, Any]:
    response = requests.post(f"{served.url}/caption", files={"image": data}, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def report(served: ServedProcess, *, picture: bytes | None = None, **fields: str) -> requests.Response:
    form = [(name, (None, value)) for name, value in fields.items()]
    files = form if picture is None else [*form, ("image", ("photo.jpg", picture))]
    return requests.post(f"{served.url}/feedback", files=files, timeout=60)


def test_a_report_becomes_a_record(
    served: ServedProcess, feedback: FeedbackFolder, lineage: Lineage, bento_tag: str
) -> None:
    """The words are the person's, caption and model the service's, the picture a copy that tells no place."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSDateStamp] = "2026:11:23"
    photo = encoded(tiny_picture("green", size=(2000, 1000)), "JPEG", exif=exif)
    answer = caption(served, photo)
    response = report(
        served,
        receipt=answer["receipt"],
        correction="a green <b>ball</b>",
        reason="colour",
        consent="yes",
        picture=photo,
    )
    assert response.status_code == 200, response.text
    kept = feedback.record(response.json()["id"])
    assert (kept.caption, kept.correction, kept.reason) == (answer["caption"], "a green <b>ball</b>", "colour")
    assert kept.upload_sha256 == hashlib.sha256(photo).hexdigest()
    assert kept.model.model_dump() == {
        "name": "captiongen",
        "version": "7",
        "weights_sha256": lineage.model_sha256,
        "bento": bento_tag,
    }
    copy = feedback.picture(kept)
    assert copy is not None
    assert b"2026:11:23" not in copy
    assert Image.open(feedback.root / f"{kept.id}.jpg").size == (1024, 512)


def test_the_endpoint_refuses_as_captioning_does(served: ServedProcess, feedback: FeedbackFolder) -> None:
    """Forged receipts, other pictures, bodies over the limit and foreign hosts: one `error` each, and no record."""
    picture = encoded(tiny_picture("red"))
    before = feedback.usage()
    good = {"receipt": caption(served, picture)["receipt"], "consent": "yes"}
    answers = [
        (report(served, receipt="forged"), 400, "receipt"),
        (report(served, **good, picture=encoded(tiny_picture("blue"))), 400, "the file that was captioned"),
        (report(served, **good, picture=bytes(11 * MB)), 413, "10 MB"),
        (requests.post(f"{served.url}/feedback", json=good, timeout=60), 400, "multipart"),
        (requests.post(f"{served.url}/feedback", headers={"Host": "evil.example"}, timeout=60), 421, "ALLOWED_HOSTS"),
    ]
    for response, status, word in answers:
        assert response.status_code == status, response.text
        assert word in response.json()["error"]
    assert feedback.usage() == before


def test_many_clients_report_while_others_are_captioned(served: ServedProcess, feedback: FeedbackFolder) -> None:
    """Reports at once are kept one by one, each once; captions go on beside them."""
    picture = encoded(tiny_picture("yellow"))
    receipts = [caption(served, picture)["receipt"] for _ in range(8)]
    before = num_kept(served, "place")
    with ThreadPoolExecutor(12) as pool:
        captions = [pool.submit(caption, served, picture) for _ in range(4)]
        reports = list(pool.map(lambda receipt: report(served, receipt=receipt, reason="place"), receipts * 2))
        assert len({one.result()["caption"] for one in captions}) == 1
    assert sorted(one.status_code for one in reports) == [200] * 8 + [409] * 8
    ids = {one.json()["id"] for one in reports if one.status_code == 200}
    assert ids <= {kept.id for kept in feedback.records()}
    assert num_kept(served, "place") - before == 8


def num_kept(served: ServedProcess, reason: str) -> float:
    """Reports of a reason that were kept, from the service's own metrics."""
    lines = requests.get(f"{served.url}/metrics", timeout=10).text.splitlines()
    start = f'captiongen_feedback_total{{reason="{reason}"}}'
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def test_a_full_folder_stops_no_caption(served: ServedProcess, feedback: FeedbackFolder) -> None:
    """Where there is no room for feedback the report is a 507 in words, and pictures are captioned as before."""
    picture = encoded(tiny_picture("red"))
    receipt = caption(served, picture)["receipt"]
    filler = feedback.root / ("0" * 32 + ".json")
    with filler.open("wb") as file:
        file.truncate(1024**3)  # takes no room on the disk
    try:
        response = report(served, receipt=receipt)
        assert response.status_code == 507
        assert "captiongen feedback purge" in response.json()["error"]
        assert caption(served, picture)["caption"]
    finally:
        filler.unlink()
    assert report(served, receipt=receipt).status_code == 200


def test_the_api_describes_reports(bento_tag: str) -> None:
    """The Bento's OpenAPI document names the fields and the reasons."""
    document = bentoml.bentos.get(bento_tag).path_of("apis/openapi.yaml")
    with open(document, encoding="utf-8") as file:  # noqa: PTH123
        text = file.read()
    assert "/feedback:" in text
    assert all(word in text for word in ("receipt", "correction", "consent", "offensive"))
