"""The HTTP service: `POST /caption`, the page at `/`, and /healthz, /readyz and /metrics as BentoML has them.

Two BentoML services, so two processes. `CaptionService` speaks HTTP: it reads, checks and decodes pictures and holds no
torch. `Captioner` holds the model behind a local socket, and BentoML gathers what waits there into batches. A picture
that takes long to decode therefore never holds up the model, and the batch endpoint is not open to the outside.

    bentoml serve captiongen:latest --host 127.0.0.1      a built Bento
    bentoml serve . --host 127.0.0.1                      the source tree, with the newest model of the model store
"""

import asyncio
import json
from pathlib import Path
from typing import Annotated, cast

import anyio
import bentoml
import numpy as np
import numpy.typing as npt
from bentoml.exceptions import BentoMLException, NotFound, ServiceUnavailable
from bentoml.validators import ContentType
from PIL import Image
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from captiongen.data.images import Preprocessing, prepare
from captiongen.errors import CheckpointError
from captiongen.model.release import read_release
from captiongen.serving.answer import CaptionAnswer, Captioned, ModelCard
from captiongen.serving.limits import (
    DEADLINE_SECONDS,
    MAX_DECODING,
    MAX_WAITING,
    BodyLimit,
    DeadlineExceeded,
    Overloaded,
    Refused,
)
from captiongen.serving.uploads import decode_upload, read_upload

#: bentofile.yaml gives the served model this name. A built Bento resolves it to the version it was built with, while
#: `captiongen:latest` would be whatever model came last into the store.
MODEL_ALIAS = "captioner"
MAX_BATCH = 16

web = Starlette()


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


def read_preprocessing(folder: Path) -> Preprocessing:
    """Reads how a model wants its pictures, without the torch that its manifest's own reader loads."""
    manifest = json.loads((folder / "manifest.json").read_bytes())
    return Preprocessing(image_size_px=manifest["image_size_px"], resize=manifest["resize"])


in_batches = bentoml.api(batchable=True, max_batch_size=MAX_BATCH, max_latency_ms=int(DEADLINE_SECONDS * 1000))


@bentoml.service(
    name="captioner",
    traffic={"timeout": DEADLINE_SECONDS + 10},
    logging={"access": {"enabled": False}},  # `captiongen` logs each request once
)
class Captioner:
    """The model: one list of prepared pictures in, one list of captions out."""

    def __init__(self) -> None:
        import torch

        from captiongen.inference import CaptionEngine

        self._engine = CaptionEngine.load(served_model_folder(), device="cuda" if torch.cuda.is_available() else "cpu")
        # The first caption pays for lazy set-up. Until it is made this process accepts no connection, so that /readyz
        # of the service says no.
        side_px = self._engine.manifest.image_size_px
        self._engine.caption_arrays(np.zeros((1, side_px, side_px, 3), dtype=np.uint8), with_attention=True)

    @in_batches
    def caption(self, images: npt.NDArray[np.uint8]) -> list[Captioned]:
        """Captions prepared pictures, (B, S, S, 3)."""
        return [Captioned.of(result) for result in self._engine.caption_arrays(images)]

    @in_batches
    def caption_with_attention(self, images: npt.NDArray[np.uint8]) -> list[Captioned]:
        """As `caption`, with where each word looked."""
        return [Captioned.of(result) for result in self._engine.caption_arrays(images, with_attention=True)]


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
    envs=[{"name": "GRADIO_ANALYTICS_ENABLED", "value": "False"}, {"name": "HF_HUB_OFFLINE", "value": "1"}],
)
class CaptionService:
    """Captions photographs."""

    captioner = bentoml.depends(Captioner)

    def __init__(self) -> None:
        from captiongen.serving import page

        folder = served_model_folder()
        self._card = ModelCard.of(read_release(folder), bento=served_bento())
        self._preprocessing = read_preprocessing(folder)
        self._decoding = anyio.CapacityLimiter(MAX_DECODING)
        self._num_waiting = 0
        page.mount(web, self.explain, card=self._card, preprocessing=self._preprocessing)

    @bentoml.on_deployment
    @staticmethod
    def refuse_damaged_model() -> None:
        """Runs once before any process is started: a failing process would only be started again."""
        try:
            read_release(served_model_folder())
        except CheckpointError as error:
            raise BentoMLException(str(error)) from error

    @bentoml.api(route="/caption", input_spec=ImageUpload, output_spec=CaptionAnswer)
    async def caption(self, image: Request) -> Response:
        """Captions one picture: the file `image` of a multipart form (JPEG, PNG, GIF, WebP, TIFF or BMP)."""
        try:
            _, captioned = await self._describe(await read_upload(image), with_attention=False)
        except Refused as refused:
            return refused.response()
        answer = CaptionAnswer(model=self._card, **captioned.model_dump(exclude={"attention"}))
        return JSONResponse(answer.model_dump())

    async def explain(self, data: bytes) -> tuple[Image.Image, Captioned]:
        """Captions the bytes of a picture for the page, with where each word looked.

        Raises:
            Refused: as `POST /caption` answers.
        """
        return await self._describe(data, with_attention=True)

    async def _describe(self, data: bytes, *, with_attention: bool) -> tuple[Image.Image, Captioned]:
        if self._num_waiting >= MAX_WAITING:
            raise Overloaded(f"{self._num_waiting} pictures are waiting for their caption. Try again in a second.")
        self._num_waiting += 1
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                picture, pixels = await anyio.to_thread.run_sync(self._decode, data, limiter=self._decoding)
                model = self.captioner.to_async
                method = model.caption_with_attention if with_attention else model.caption
                [captioned] = await method(pixels[np.newaxis])
                return picture, captioned
        except TimeoutError as error:
            raise DeadlineExceeded(f"No caption within {DEADLINE_SECONDS:.0f} s. Try again later.") from error
        except ServiceUnavailable as error:
            raise Overloaded("The model has more to do than it can answer in time. Try again in a second.") from error
        finally:
            self._num_waiting -= 1

    def _decode(self, data: bytes) -> tuple[Image.Image, npt.NDArray[np.uint8]]:
        picture = decode_upload(data)
        return picture, prepare(picture, self._preprocessing)


CaptionService.add_asgi_middleware(BodyLimit)  # type: ignore[attr-defined]  # the decorator made it a Service
