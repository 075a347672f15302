"""Waiting for a server that was started."""

import sys
from collections.abc import Iterator
from subprocess import Popen

import pytest

from captiongen.adapters.readiness import is_ready_in_time
from tests.web import answering


@pytest.fixture
def url() -> Iterator[str]:
    """A server that is ready from its third answer on."""
    statuses = [503, 503]
    with answering(lambda _: statuses.pop() if statuses else 200) as url:
        yield f"{url}/readyz"


@pytest.fixture
def sleeper() -> Iterator["Popen[bytes]"]:
    with Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


def test_it_waits_until_the_server_says_that_it_is_ready(
    url: str, sleeper: "Popen[bytes]", monkeypatch: pytest.MonkeyPatch
):
    """Answers that say "not yet" are waited out, and a proxy of the user's is not asked about the loopback."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert is_ready_in_time(sleeper, url, seconds=30)


def test_it_gives_up_in_time(sleeper: "Popen[bytes]"):
    """A server that never answers is given up although it runs."""
    assert not is_ready_in_time(sleeper, "http://127.0.0.1:9/readyz", seconds=0.3)


def test_it_gives_up_when_the_server_ends():
    """Nothing is waited for that cannot come any more."""
    process = Popen([sys.executable, "-c", "pass"])
    process.wait()
    assert not is_ready_in_time(process, "http://127.0.0.1:9/readyz", seconds=60)
