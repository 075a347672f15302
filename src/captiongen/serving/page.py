"""The web page at `/`: drop, paste or take a photo, and see its caption, the model's doubts, and where it looked.

It captions through the same door as `POST /caption`, asks no other host for anything, and keeps no picture for long.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import gradio
from gradio.data_classes import ImageData
from gradio.utils import get_upload_folder
from PIL import Image
from starlette.applications import Starlette

from captiongen.serving.answer import ModelCard
from captiongen.serving.limits import MAX_BODY_BYTES, Refused
from captiongen.serving.page_calls import PageCalls
from captiongen.serving.page_routes import PageRoutes
from captiongen.serving.report_view import report_script
from captiongen.serving.result_view import WAITING, Captioned, caution_view, model_view, refusal_view, result_view
from captiongen.types import Preprocessing

#: From the bytes of a picture to a small copy of it, and what the model says of it.
Explain = Callable[[bytes], Awaitable[Captioned]]

_KEEP_SECONDS = 600  # how long Gradio may keep an uploaded picture on disk
_HEAD = """<div class="cg-head"><h1>CaptionGen</h1>
<p>Give it a photograph and it says what it sees, how sure it is of each word, and where it looked.</p></div>"""
_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif"]
_MONO_FONTS = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]


def picture_field() -> gradio.Image:
    """A picture field that hands on a file's bytes as they came, and fetches nothing.

    Gradio's own would download a URL or read any file of the machine that a client names in place of an upload, and
    open any format Pillow knows. Its methods are replaced on the one instance because a subclass makes Gradio write a
    .pyi file into the package.
    """
    field = gradio.Image(
        label="Photograph",
        sources=["upload", "clipboard", "webcam"],
        height=420,
        elem_id="photograph",
        buttons=["fullscreen"],
        webcam_options=gradio.WebcamOptions(mirror=False),
    )
    keep_file = field.async_move_resource_to_block_cache

    async def keep_file_only(url_or_path: str | Path | None) -> str | None:
        if url_or_path is None:
            return None
        return cast("str | None", await keep_file(str(uploaded_file(url_or_path))))

    def read_file(payload: ImageData | None) -> bytes | None:
        # Looked at again: a payload that calls itself a stream comes here without having passed the door above.
        return None if payload is None or payload.path is None else uploaded_file(payload.path).read_bytes()

    field.async_move_resource_to_block_cache, field.preprocess = keep_file_only, read_file
    return field


def uploaded_file(url_or_path: str | Path) -> Path:
    """Returns the real path of a file in the folder where Gradio puts uploads.

    Raises:
        gradio.Error: it is a URL, lies elsewhere or is not there; the words do not tell which of the last two.
    """
    if "://" in str(url_or_path):
        raise gradio.Error("Expected an uploaded picture, found a URL; URLs are not opened.", print_exception=False)
    try:
        path = Path(url_or_path).resolve()
        if path.is_relative_to(Path(get_upload_folder()).resolve()) and path.is_file():
            return path
    except (OSError, ValueError):  # no possible path: too long, or with a zero byte
        pass
    raise gradio.Error("Expected an uploaded picture, found none. Upload it again.", print_exception=False)


def example_pictures(*, num_examples: int = 4) -> list[bytes]:
    """Draws scenes, here and now, of the kind that the sample data set's model knows; PNG files."""
    from captiongen.data.scenes.compose import compose_scene
    from captiongen.data.scenes.render import draw_scene

    generators = [random.Random(f"example {index}") for index in range(num_examples)]  # noqa: S311 - no secret
    files = []
    for generator in generators:
        draw_scene(generator, compose_scene(generator))[0].save(file := BytesIO(), "PNG")
        files.append(file.getvalue())
    return files


def build(explain: Explain, *, card: ModelCard, preprocessing: Preprocessing) -> gradio.Blocks:
    """Builds the page.

    Args:
        explain: captions the bytes of a picture, with attention, and gives back a small copy of it.
        card: the model that answers.
        preprocessing: how that model wants its pictures, to place its attention.
    """

    async def show(data: bytes | None) -> str:
        return WAITING if data is None else await view(data, is_upload=True)

    async def view(data: bytes, *, is_upload: bool) -> str:
        try:
            captioned = await explain(data)
        except Refused as refused:
            return refusal_view(refused.message)
        return await asyncio.to_thread(result_view, captioned, preprocessing, is_upload=is_upload)

    examples = example_pictures() if card.dataset == "scenes" else []

    async def show_example(chosen: gradio.SelectData) -> str:
        if not 0 <= chosen.index < len(examples):
            raise gradio.Error(f"Expected one of {len(examples)} pictures, found none.", print_exception=False)
        return await view(examples[chosen.index], is_upload=False)

    with gradio.Blocks(
        title="CaptionGen", analytics_enabled=False, delete_cache=(_KEEP_SECONDS, _KEEP_SECONDS)
    ) as blocks:
        gradio.HTML(_HEAD + caution_view(card))
        with gradio.Row(equal_height=False):
            with gradio.Column(scale=5, min_width=320):
                picture = picture_field()
                gradio.HTML('<p class="cg-hint">Or try one of these.</p>', visible=bool(examples))
                gallery = gradio.Gallery(
                    [Image.open(BytesIO(example)) for example in examples],
                    label="Pictures to try",
                    show_label=False,
                    visible=bool(examples),
                    columns=4,
                    height=130,
                    allow_preview=False,
                    interactive=False,
                    buttons=[],
                    elem_id="examples",
                )
            with gradio.Column(scale=6, min_width=320):
                shown = gradio.HTML(WAITING, elem_id="result")
        gradio.HTML(model_view(card))
        picture.change(show, picture, shown, show_progress="minimal", api_visibility="private", concurrency_limit=8)
        # The field itself is never an output: for that session Gradio would make a fresh one, without its guards.
        gallery.select(show_example, None, shown, show_progress="minimal", api_visibility="private")
    return blocks


def mount(web: Starlette, explain: Explain, *, card: ModelCard, preprocessing: Preprocessing) -> None:
    """Mounts the page at `/` of a web application; arguments as `build`."""
    blocks = build(explain, card=card, preprocessing=preprocessing)
    web.add_middleware(PageCalls, num_inputs={index: len(one.inputs) for index, one in blocks.fns.items()})
    web.add_middleware(PageRoutes)
    theme_options: dict[str, Any] = {"font": _FONTS, "font_mono": _MONO_FONTS, "primary_hue": "indigo"}
    gradio.mount_gradio_app(
        web,
        blocks,
        path="/",
        theme=gradio.themes.Soft(**theme_options),
        css_paths=Path(__file__).with_name("page.css"),
        head=report_script(),
        max_file_size=MAX_BODY_BYTES,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,  # of errors that are not ours, whose words may name files of this machine
    )
    # Gradio keeps inputs inside its upload folder, and uploaded SVGs from running scripts, only in an app that it has
    # launched itself; a mounted one has to say that it runs.
    blocks.has_launched = blocks.is_running = True
