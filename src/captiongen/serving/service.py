"""The HTTP service: `POST /caption`, the page at `/`, and /healthz, /readyz and /metrics as BentoML has them.

`bentoml serve captiongen:latest` serves a built Bento, `bentoml serve .` the source tree with the newest model of the
model store. One process does it all, so that a SIGTERM finds every request under way beside the model that answers it.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, NamedTuple, cast

import anyio
import bentoml
import numpy as np
from bentoml.exceptions import BentoMLException, NotFound
from bentoml.validators import ContentType
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from captiongen.errors import CheckpointError
from captiongen.model.release import read_release
from captiongen.serving.answer import CaptionAnswer, ModelCard
from captiongen.serving.batching import Batcher
from captiongen.serving.hosts import KnownHosts
from captiongen.serving.limits import (
    DEADLINE_SECONDS,
    MAX_DECODING,
    MAX_WAITING,
    BodyLimit,
    DeadlineExceeded,
    Overloaded,
    Refused,
)
from captiongen.serving.server_process import end_with_server, name_server
from captiongen.serving.uploads import read_upload, see
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


class ImageUpload(bentoml.IODescriptor):
    """What `POST /caption` takes, as the API describes itself; the request goes on unread, see `uploads`."""

    image: Annotated[Path, ContentType("image/*")]

    @classmethod
    async def from_http_request(cls, request: Request, serde: object) -> "ImageUpload":
        """Leaves reading to the endpoint."""
        return cast(ImageUpload, cls.model_construct(image=request))


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
        self._card = ModelCard.of(read_release(folder), bento=served_bento())
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

    @bentoml.api(route="/caption", input_spec=ImageUpload, output_spec=CaptionAnswer)
    async def caption(self, image: Request) -> Response:
        """Captions one picture: the file `image` of a multipart form (JPEG, PNG, GIF, WebP, TIFF or BMP)."""
        try:
            _, result = await self._describe(await read_upload(image), for_page=False)
        except Refused as refused:
            return refused.response()
        return JSONResponse(CaptionAnswer.of(result, self._card).model_dump())

    async def explain(self, data: bytes) -> tuple[Image.Image, CaptionResult]:
        """Captions the bytes of a picture for the page: a small copy of it, and where each word looked.

        Raises:
            Refused: as `POST /caption` answers.
        """
        preview, result = await self._describe(data, for_page=True)
        return cast(Image.Image, preview), result

    async def _describe(self, data: bytes, *, for_page: bool) -> tuple[Image.Image | None, CaptionResult]:
        if self._num_waiting >= MAX_WAITING:
            raise Overloaded(f"{self._num_waiting} pictures are waiting for their caption. Try again in a second.")
        self._num_waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                look = partial(see, data, self._preprocessing, with_preview=for_page)
                seen = await anyio.to_thread.run_sync(look, limiter=self._decoding)
                del data, look  # not to be kept while it waits for the model
                return seen.preview, await self._ask(Asked(seen.pixels, with_attention=for_page))
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


CaptionService.add_asgi_middleware(KnownHosts)  # type: ignore[attr-defined]  # the decorator made it a Service
CaptionService.add_asgi_middleware(BodyLimit)  # type: ignore[attr-defined]  # the decorator made it a Service
