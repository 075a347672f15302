"""The page's callbacks and its picture field, without a browser."""

import threading
from pathlib import Path
from typing import Any

import anyio
import gradio
import numpy as np
import pytest
from gradio.data_classes import ImageData
from PIL import Image

from captiongen.serving import page
from captiongen.serving.answer import ModelCard
from captiongen.serving.limits import BadUpload
from captiongen.serving.result_view import Captioned
from captiongen.serving.uploads import decode_upload
from captiongen.types import CaptionResult, Hypothesis, Preprocessing, WordScore


async def explain(data: bytes) -> Captioned:
    """A fake model that calls every picture a thing."""
    thing = Hypothesis("thing", (WordScore("thing", 0.5),), log_probability=-1.0, score=-1.0)
    return Captioned(Image.new("RGB", (8, 8)), CaptionResult((thing,), np.ones((1, 1, 2), dtype=np.float32)), "receipt")


async def refuse(data: bytes) -> Captioned:
    raise BadUpload("cut off")


def build(explain: page.Explain, *, dataset: str = "tiny") -> gradio.Blocks:
    card = ModelCard(name="m", version="1", run_id="r", git_sha="g", dataset=dataset, data_hash="h", bento="b")
    return page.build(explain, card=card, preprocessing=Preprocessing(image_size_px=8, resize="squash"))


def show(blocks: gradio.Blocks, data: bytes | None) -> str:
    [function] = [one.fn for one in blocks.fns.values() if one.fn is not None and one.fn.__name__ == "show"]
    return anyio.run(function, data)


def test_picture_becomes_its_caption() -> None:
    """What the model says is shown."""
    assert "thing" in show(build(explain), b"picture")


def test_the_result_is_drawn_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing and encoding take a while, in which other requests are still answered."""
    threads = []

    def draw(*_: object, **__: object) -> str:
        threads.append(threading.current_thread())
        return "drawn"

    monkeypatch.setattr(page, "result_view", draw)
    assert show(build(explain), b"picture") == "drawn"
    assert threads != [threading.main_thread()]


def test_only_uploads_can_be_sent_along_with_a_report() -> None:
    """A report of a picture that the page itself offers asks for no consent: it is nobody's."""
    blocks = build(explain, dataset="scenes")
    [choose] = [one.fn for one in blocks.fns.values() if one.fn is not None and one.fn.__name__ == "show_example"]
    chosen = gradio.SelectData(None, {"index": 0, "value": None})
    assert "Report this caption" in (example := anyio.run(choose, chosen))
    assert "consent" not in example
    assert "consent" in show(blocks, b"picture")


def test_refusal_is_shown_in_its_own_words() -> None:
    """A refused picture shows why, where the caption would be."""
    assert "cut off" in show(build(refuse), b"picture")


def test_cleared_field_waits_again() -> None:
    """Without a picture the model is not asked."""
    assert "appears here" in show(build(refuse), None)


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of uploads; a private file lies beside it, and a link to that one inside."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    (tmp_path / "uploads").mkdir()
    (tmp_path / "private.png").write_bytes(b"private")
    (tmp_path / "uploads" / "link.png").symlink_to(tmp_path / "private.png")
    return tmp_path / "uploads"


def test_field_hands_on_the_bytes_of_the_file(uploads: Path) -> None:
    """The uploaded file arrives as it is, undecoded; decoding and its limits are the service's."""
    path = uploads / "a.svg"
    path.write_bytes(b"<svg/>")
    assert page.picture_field().preprocess(ImageData(path=str(path), orig_name="a.svg")) == b"<svg/>"


@pytest.mark.parametrize(
    "name", ["../private.png", "../absent.png", "../uploads2/a.png", "link.png", ".", "absent.png", "a\0b", "a" * 5000]
)
def test_field_takes_nothing_but_an_upload(uploads: Path, name: str) -> None:
    """What lies elsewhere, leads elsewhere or is absent is refused in the same words, at both doors of the field."""
    field = page.picture_field()
    with pytest.raises(gradio.Error, match="found none"):
        field.preprocess(ImageData(path=f"{uploads}/{name}"))
    with pytest.raises(gradio.Error, match="found none"):
        anyio.run(field.async_move_resource_to_block_cache, f"{uploads}/{name}")


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.png", "https://example.org/a.png", "ftp://h/a", "data://x"])
def test_field_fetches_no_url(url: str) -> None:
    """A URL in place of a file is an error."""
    with pytest.raises(gradio.Error, match="URLs are not opened"):
        anyio.run(page.picture_field().async_move_resource_to_block_cache, url)


def test_field_is_never_an_output() -> None:
    """Gradio makes a fresh field, without our guards, for a session in which a function returns one."""
    blocks = build(explain, dataset="scenes")
    outputs: list[Any] = [output for function in blocks.fns.values() for output in function.outputs]
    assert outputs
    assert not [one for one in outputs if isinstance(one, gradio.Image)]


def test_examples_are_drawn_scenes() -> None:
    """The sample's model is offered new scenes of its own kind, and only it."""
    pictures = [decode_upload(data) for data in page.example_pictures()]
    assert len({picture.tobytes() for picture in pictures}) == 4
    galleries = [
        [one for one in build(explain, dataset=name).blocks.values() if isinstance(one, gradio.Gallery)]
        for name in ("scenes", "tiny")
    ]
    assert [one.visible for [one] in galleries] == [True, False]


def test_importing_the_page_writes_nothing() -> None:
    """Gradio writes a stub beside a module that subclasses its components; ours does not."""
    assert not Path(page.__file__).with_suffix(".pyi").exists()
