"""Whose scripts may call a page."""

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from captiongen.serving.same_origin import SameOrigin


async def answer(_: Request) -> PlainTextResponse:
    return PlainTextResponse("answered")


def post(headers: dict[str, str]) -> httpx.Response:
    application = SameOrigin(Starlette(routes=[Route("/", answer, methods=["POST"])]))

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7861") as client:
            return await client.post("/", headers=headers)

    return anyio.run(send)


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://127.0.0.1:7861"}])
def test_the_pages_own_script_and_programs_are_answered(headers: dict[str, str]) -> None:
    """A browser names the page itself, a program names none; neither may show the answer in a frame."""
    response = post(headers)
    assert response.text == "answered"
    assert response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "http://127.0.0.1:8000",
        "http://localhost:7861",
        "null",
        "",
        "http://[",
        "http://x@127.0.0.1:7861",
    ],
)
def test_the_scripts_of_other_pages_are_refused(origin: str) -> None:
    """Of another site, of another port of this machine, of a sandbox, or of none that can be read: 403."""
    response = post({"Origin": origin})
    assert response.status_code == 403
    assert "this page's own script" in response.json()["error"]
