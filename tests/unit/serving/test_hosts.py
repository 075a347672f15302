"""Under which names the service answers."""

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from captiongen.serving.hosts import KnownHosts


async def answer(_: Request) -> PlainTextResponse:
    return PlainTextResponse("answered")


def get(host: str, *, allowed: str | None = "", path: str = "/") -> httpx.Response:
    application = KnownHosts(Starlette(routes=[Route("/", answer), Route("/readyz", answer)]), allowed)

    async def send() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://localhost") as client:
            return await client.get(path, headers={"Host": host})

    return anyio.run(send)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:3000", "127.0.0.1", "127.0.0.1:3000", "[::1]", "[::1]:3000"])
def test_this_machine_is_known(host: str) -> None:
    """The names of this machine are answered, with any port."""
    assert get(host).text == "answered"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example", "[::2]", "", "::1"],
)
def test_a_host_of_another_name_is_refused(host: str) -> None:
    """Any other name is answered 421, with the variable that would allow it."""
    response = get(host)
    assert response.status_code == 421
    assert "CAPTIONGEN_ALLOWED_HOSTS" in response.json()["error"]


def test_listed_names_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names from the environment are answered beside this machine's own; a star switches the check off."""
    monkeypatch.setenv("CAPTIONGEN_ALLOWED_HOSTS", "captions.example.org, 10.0.0.7")
    assert [get(host, allowed=None).status_code for host in ("captions.example.org:80", "10.0.0.7", "localhost")] == [
        200
    ] * 3
    assert get("example.org", allowed=None).status_code == 421
    assert get("example.org", allowed="*").status_code == 200


def test_probes_need_no_name() -> None:
    """A health probe asks by an address that nobody has listed."""
    assert get("10.1.2.3:3000", path="/readyz").text == "answered"
