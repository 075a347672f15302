"""The body limit as ASGI middleware, around applications that behave in different ways."""

from collections.abc import AsyncIterator

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from captiongen.serving.limits import BodyLimit, Overloaded, TooLarge

MB = 1024**2


async def count_bytes(request: Request) -> Response:
    return JSONResponse(len(await request.body()))


async def swallow_errors(request: Request) -> Response:
    try:
        await request.body()
    except Exception:  # noqa: BLE001 - what a framework around an endpoint does
        return Response("something went wrong", status_code=500)
    return Response("read it all")


def limited() -> ASGIApp:
    routes = [Route("/count", count_bytes, methods=["POST"]), Route("/swallow", swallow_errors, methods=["POST"])]
    return BodyLimit(Starlette(routes=routes), max_bytes=2 * MB)


def post(path: str, content: bytes | AsyncIterator[bytes]) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(limited())
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post(path, content=content)

    return anyio.run(send)


async def chunks(num_mb: int) -> AsyncIterator[bytes]:
    for _ in range(num_mb):
        yield bytes(MB)


@pytest.mark.parametrize("num_bytes", [0, 1, 2 * MB])
def test_body_up_to_the_limit_passes_whole(num_bytes: int) -> None:
    """Up to its last byte the limit changes nothing."""
    assert post("/count", bytes(num_bytes)).json() == num_bytes


@pytest.mark.parametrize("path", ["/count", "/swallow"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_body_over_the_limit_is_413_whatever_the_application_does(path: str, is_chunked: bool) -> None:
    """Announced or chunked, and also where the application hides the error, the client gets 413 and the reason."""
    response = post(path, chunks(3) if is_chunked else bytes(2 * MB + 1))
    assert response.status_code == 413
    assert "over 2 MB" in response.json()["error"]
    assert response.headers["connection"] == "close"


def test_announced_body_is_refused_before_it_is_read() -> None:
    """The content-length alone decides: neither the application nor the body is touched."""

    async def must_not_run(*_: object) -> None:
        raise AssertionError("the body was asked for, or the application was called")

    async def run() -> list[int]:
        statuses: list[int] = []

        async def send(message: dict[str, int]) -> None:
            if "status" in message:
                statuses.append(message["status"])

        scope = {"type": "http", "headers": [(b"content-length", b"3000000")]}
        await BodyLimit(must_not_run, max_bytes=2 * MB)(scope, must_not_run, send)
        return statuses

    assert anyio.run(run) == [413]


def test_other_errors_travel_on() -> None:
    """An error of the application that has nothing to do with size is not hidden."""

    async def broken(*_: object) -> None:
        raise RuntimeError("broken")

    async def run() -> None:
        await BodyLimit(broken)({"type": "http", "headers": []}, None, None)

    with pytest.raises(RuntimeError, match="broken"):
        anyio.run(run)


def test_refusal_is_one_json_object_with_its_status() -> None:
    """A refusal answers with its own status and message; overload says when to come back."""
    assert TooLarge("too much").response().status_code == 413
    overloaded = Overloaded("later").response()
    assert (overloaded.status_code, overloaded.headers["retry-after"]) == (503, "1")
    assert overloaded.body == b'{"error":"later"}'


def test_content_type_that_is_no_ascii_is_refused() -> None:
    """A Content-Type with other bytes gets 400 and the reason, before anything behind the door reads it."""

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(limited()), base_url="http://test") as client:
            return await client.post("/count", content=b"x", headers={"Content-Type": b"image/p\xffg"})

    response = anyio.run(send)
    assert response.status_code == 400
    assert "ASCII" in response.json()["error"]
