"""The page on which people decide on proposed corrections: on this machine only, by mouse or keyboard."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Thread
from typing import Any, Literal

import gradio
import uvicorn
from fastapi import FastAPI

from captiongen.data.decisions import Verdict
from captiongen.errors import CaptionGenError
from captiongen.serving.hosts import KnownHosts
from captiongen.serving.limits import BodyLimit
from captiongen.serving.page_routes import PageRoutes
from captiongen.serving.review import Desk, Review, Visit
from captiongen.serving.review_view import DONE, proposal_view
from captiongen.serving.same_origin import SameOrigin

_HEAD = '<div class="cr-head"><h1>Corrections</h1><p>Each decision is kept at once. Keys: A, R, S, U, W.</p></div>'
#: Presses the button whose key was pressed, or goes where a caption is written, but for keys that the browser or a text
#: field wants.
_KEYS = """<script>
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("input, textarea")) return;
  if (event.key.toLowerCase() === "w") {
    event.preventDefault();
    document.querySelector("#instead textarea, #instead input")?.select();
  }
  const button = { a: "accept", r: "reject", s: "skip", u: "undo" }[event.key.toLowerCase()];
  if (button) document.getElementById(button).click();
});
</script>"""
#: What changes in the view is read out by screen readers.
_READ_OUT = "() => document.getElementById('proposal').setAttribute('aria-live', 'polite')"
_GRACE_SECONDS = 1  # an open page keeps a connection, which would keep the server from ending
_START_SECONDS = 0.05
_MAX_CALL_BYTES = 1024**2  # a call is an id and a few words

_Variant = Literal["primary", "secondary", "stop"]
#: From what a person did so far, and the id that was shown, to what the person did with it.
_Change = Callable[[Visit, str], Visit]
#: What a handler answers: the view, the id that it shows, what the person did so far, the field to write a caption in.
_Shown = tuple[str, str, Visit, gradio.Textbox]


def build(desk: Desk) -> gradio.Blocks:
    """Builds the page."""
    review = Review(desk)

    def then_show(change: _Change, visit: Visit, shown_id: str) -> _Shown:
        try:
            after = change(visit, shown_id)
            queue = review.queue(after)
            if not queue:
                return DONE, "", after, gradio.Textbox(visible=False)
            first = queue[0]
            instead = gradio.Textbox(first.instead or first.caption or "", visible=first.weight is None)
            return proposal_view(first, desk.images(first), num_left=len(queue)), first.id, after, instead
        except CaptionGenError as error:
            raise gradio.Error(str(error), print_exception=False) from error

    def then_rewrite(visit: Visit, shown_id: str, text: str) -> _Shown:
        return then_show(lambda visit, shown_id: review.rewrite(visit, shown_id, text), visit, shown_id)

    with gradio.Blocks(title="Corrections", analytics_enabled=False) as blocks:
        gradio.HTML(_HEAD)
        visit = gradio.State(Visit())
        # Sent back by the page: a second click on a button decides on what was seen, not on what came after it.
        shown_id = gradio.Textbox(visible="hidden")
        buttons: dict[str, tuple[_Variant, _Change]] = {
            "Accept": ("primary", partial(review.decide, verdict=Verdict.ACCEPTED)),
            "Reject": ("stop", partial(review.decide, verdict=Verdict.REJECTED)),
            "Skip": ("secondary", review.skip),
            "Undo": ("secondary", lambda visit, _: review.undo(visit)),
        }
        with gradio.Row():  # above the view, whose height differs: who clicks need not follow them
            pressed = [
                (gradio.Button(f"{name} ({name[0]})", variant=variant, elem_id=name.lower()), change)
                for name, (variant, change) in buttons.items()
            ]
        with gradio.Row(equal_height=True):
            instead = gradio.Textbox(
                label="Or write the right caption (W)", elem_id="instead", max_length=1000, scale=5
            )
            rewrite = gradio.Button("Rewrite (Enter)", elem_id="rewrite", scale=1)
        view = gradio.HTML(elem_id="proposal")
        options: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        shown = [view, shown_id, visit, instead]
        for button, change in pressed:
            button.click(partial(then_show, change), [visit, shown_id], shown, **options)
        for write in (rewrite.click, instead.submit):
            write(then_rewrite, [visit, shown_id, instead], shown, **options)
        blocks.load(partial(then_show, _stay), [visit, shown_id], shown, **options)
        blocks.load(js=_READ_OUT)
    return blocks


def _stay(visit: Visit, _: str) -> Visit:
    return visit


def run(desk: Desk, *, port: int, announce: Callable[[], object]) -> None:
    """Serves the page on 127.0.0.1 until Ctrl-C.

    Args:
        desk: where proposals come from and decisions go to.
        port: of 127.0.0.1.
        announce: called when the page can be opened.
    """
    web = FastAPI(openapi_url=None)
    web.add_middleware(PageRoutes)
    web.add_middleware(BodyLimit, max_bytes=_MAX_CALL_BYTES)
    web.add_middleware(SameOrigin)
    web.add_middleware(KnownHosts, allowed="")
    theme_options: dict[str, Any] = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    gradio.mount_gradio_app(
        web,
        build(desk),
        path="/",
        theme=gradio.themes.Soft(**theme_options),
        css_paths=Path(__file__).with_name("review.css"),
        head=_KEYS,
        max_file_size=1,  # byte: nothing is uploaded here, and other sites' pages could ask for it
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        show_error=False,  # of errors that are not ours; they stand in the log
    )
    config = uvicorn.Config(
        web, host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=_GRACE_SECONDS
    )
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            thread.join(_START_SECONDS)
        announce()
        thread.join()
    except KeyboardInterrupt:
        pass
    finally:
        server.should_exit = True
        thread.join()
