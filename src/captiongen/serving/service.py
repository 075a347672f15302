"""The HTTP service: `POST /caption`, `POST /feedback`, the page at `/`; BentoML's /healthz, /readyz and /metrics.

`bentoml serve captiongen:latest` serves a built Bento, `bentoml serve .` the source tree with the newest model of the
model store. One process does it all, so that a SIGTERM finds every request under way beside the model that answers it.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, cast

import anyio
import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.validators import ContentType
from PIL import Image
from pydantic import WithJsonSchema
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from captiongen.data.feedback import Reason, ReportedModel
from captiongen.errors import CheckpointError
from captiongen.model.release import Release, read_release
from captiongen.serving.answer import CaptionAnswer, ModelCard
from captiongen.serving.batching import Batcher
from captiongen.serving.feedback import FEEDBACK_FOLDER, FeedbackAnswer, FeedbackDesk, feedback_folder
from captiongen.serving.hosts import KnownHosts
from captiongen.serving.limits import (
    DEADLINE_SECONDS,
    MAX_DECODING,
    MAX_WAITING,
    BodyLimit,
    DeadlineExceeded,
    FeedbackOff,
    Overloaded,
    Refused,
)
from captiongen.serving.result_view import Captioned
from captiongen.serving.server_process import end_with_server, name_server
from captiongen.serving.uploads import Seen, read_upload, see
from captiongen.types import CaptionResult, ImageArray

#: bentofile.yaml gives the served model this name. A built Bento resolves it to the version it was built with, while
#: `captiongen:latest` would be whatever model came last into the store.
MODEL_ALIAS = "captioner"
MAX_BATCH = 16

web = Starlette()


class Asked(NamedTuple):
    """What the model is asked: a prepared picture, and whether to say where each word looked."""

    pixels: ImageArray
    with_attention: bool


def served_model_folder() -> Path:
    """Returns the folder of the model that this process serves.

    Raises:
        BentoMLException: the model store has no such model.
    """
    try:
        return Path(bentoml.models.get(MODEL_ALIAS).path)
    except NotFound as error:
        raise BentoMLException(
            "Expected a released model in BentoML's model store, found none. Run `make run` (or `captiongen release`), "
            f"then serve `captiongen:latest`, or `.` in the project folder. ({error})"
        ) from error


def served_bento() -> str:
    """Returns the tag of the Bento that this process serves, `source` when it serves the source tree."""
    context = bentoml.server_context
    return "source" if context.bento_version == "not available" else f"{context.bento_name}:{context.bento_version}"


class Unread:
    """A request as BentoML hands arguments to an endpoint: here the one argument `request`, its body unread."""

    model_fields = ("request",)

    def __init__(self, request: Request) -> None:
        self.request = request


class UnreadForm(bentoml.IODescriptor):
    """What an endpoint takes, as the API describes itself; the endpoint reads the form."""

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> Any:
        """Leaves reading to the endpoint."""
        return Unread(request)


class ImageUpload(UnreadForm):
    """What `POST /caption` takes, see `uploads`."""

    image: Annotated[Path, ContentType("image/*")]


class ReportUpload(UnreadForm):
    """What `POST /feedback` takes, see `report_form`."""

    receipt: str
    correction: str | None = None
    reason: Reason | None = None
    consent: Literal["yes", "no"] = "no"
    # BentoML does not take a file type of its own that may be left out.
    image: Annotated[Path | None, WithJsonSchema({"type": "file", "format": "image", "content_type": "image/*"})] = None


@bentoml.asgi_app(web, path="/")
@bentoml.service(
    name="captiongen",
    traffic={"timeout": DEADLINE_SECONDS + 10},
    # Several lines for each picture on the page; /metrics counts requests. BentoML's own settings switch it on again.
    logging={"access": {"enabled": False}},
    envs=[{"name": "GRADIO_ANALYTICS_ENABLED", "value": "False"}, {"name": "HF_HUB_OFFLINE", "value": "1"}],
)
class CaptionService:
    """Captions photographs."""

    def __init__(self) -> None:
        import torch

        from captiongen.inference import CaptionEngine
        from captiongen.serving import page

        end_with_server()
        folder = served_model_folder()
        release = read_release(folder)
        self._card = ModelCard.of(release, bento=served_bento())
        self._engine = CaptionEngine.load(folder, device="cuda" if torch.cuda.is_available() else "cpu")
        self._preprocessing = self._engine.manifest.preprocessing
        # The first caption pays for lazy set-up. Until it is made this process accepts no connection, and /readyz is
        # silent.
        side_px = self._preprocessing.image_size_px
        self._caption_batch([Asked(np.zeros((side_px, side_px, 3), dtype=np.uint8), with_attention=True)])
        sizes = bentoml.metrics.Histogram(
            "captiongen_batch_size", "Pictures that the model captioned together", buckets=(1, 2, 4, 8, MAX_BATCH)
        )
        self._ask = Batcher(self._caption_batch, max_batch=MAX_BATCH, observe=sizes.observe)
        self._decoding = anyio.CapacityLimiter(MAX_DECODING)
        self._num_waiting = 0
        self._desk = _open_desk(release, self._card)
        page.mount(web, self.explain, card=self._card, preprocessing=self._preprocessing)

    @bentoml.on_deployment
    @staticmethod
    def refuse_damaged_model() -> None:
        """Runs once before any worker is started: a worker that fails would only be started again."""
        name_server()
        try:
            read_release(served_model_folder())
        except CheckpointError as error:
            raise BentoMLException(str(error)) from error

    @bentoml.on_deployment
    @staticmethod
    def refuse_unwritable_feedback() -> None:
        """As `refuse_damaged_model`: whoever turned feedback on is told at once that it cannot be kept."""
        feedback_folder()

    @bentoml.api(route="/caption", input_spec=ImageUpload, output_spec=CaptionAnswer)
    async def caption(self, request: Request) -> Response:
        """Captions one picture: the file `image` of a multipart form (JPEG, PNG, GIF, WebP, TIFF or BMP)."""
        try:
            seen, result = await self._describe(await read_upload(request), for_page=False)
        except Refused as refused:
            return refused.response()
        return JSONResponse(CaptionAnswer.of(result, self._card, receipt=self._receipt(seen, result)).model_dump())

    @bentoml.api(route="/feedback", input_spec=ReportUpload, output_spec=FeedbackAnswer)
    async def feedback(self, request: Request) -> Response:
        """Keeps the report of a caption, under the `receipt` that came with it; the picture with consent=yes only."""
        try:
            if self._desk is None:
                raise FeedbackOff(
                    f"This service takes no feedback. Who runs it turns it on: {FEEDBACK_FOLDER}=/a/folder"
                )
            return JSONResponse((await self._desk.take(request)).model_dump())
        except Refused as refused:
            return refused.response()

    async def explain(self, data: bytes) -> Captioned:
        """Captions the bytes of a picture for the page: with a small copy of it, and where each word looked.

        Raises:
            Refused: as `POST /caption` answers.
        """
        seen, result = await self._describe(data, for_page=True)
        return Captioned(cast(Image.Image, seen.preview), result, self._receipt(seen, result))

    def _receipt(self, seen: Seen, result: CaptionResult) -> str | None:
        return None if self._desk is None else self._desk.receipt(result.best.caption, seen.sha256)

    async def _describe(self, data: bytes, *, for_page: bool) -> tuple[Seen, CaptionResult]:
        if self._num_waiting >= MAX_WAITING:
            raise Overloaded(f"{self._num_waiting} pictures are waiting for their caption. Try again in a second.")
        self._num_waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                look = partial(see, data, self._preprocessing, with_preview=for_page)
                seen = await anyio.to_thread.run_sync(look, limiter=self._decoding)
                del data, look  # not to be kept while it waits for the model
                return seen, await self._ask(Asked(seen.pixels, with_attention=for_page))
        except TimeoutError as error:
            raise DeadlineExceeded(f"No caption within {DEADLINE_SECONDS:.0f} s. Try again later.") from error
        finally:
            self._num_waiting -= 1

    def _caption_batch(
        self, batch: Sequence[Asked], is_wanted: Callable[[], bool] = lambda: True
    ) -> list[CaptionResult]:
        pixels = np.stack([one.pixels for one in batch])
        with_attention = any(one.with_attention for one in batch)
        return self._engine.caption_arrays(pixels, with_attention=with_attention, is_wanted=is_wanted)


def _open_desk(release: Release, card: ModelCard) -> FeedbackDesk | None:
    folder = feedback_folder()
    if folder is None:
        return None
    kept = bentoml.metrics.Counter("captiongen_feedback_total", "Reports of captions that were kept", ["reason"])
    model = ReportedModel(
        name=card.name, version=card.version, weights_sha256=release.lineage.model_sha256, bento=card.bento
    )
    return FeedbackDesk(folder, model, observe=lambda reason: kept.labels(reason=reason).inc())


CaptionService.add_asgi_middleware(KnownHosts)  # type: ignore[attr-defined]  # the decorator made it a Service
CaptionService.add_asgi_middleware(BodyLimit)  # type: ignore[attr-defined]  # the decorator made it a Service
