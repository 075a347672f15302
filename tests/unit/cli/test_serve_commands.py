"""`captiongen serve` where it cannot serve."""

import os
import signal
import socket
import sys
import time
import webbrowser
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from captiongen.cli import serve_commands
from captiongen.cli.layout import Layout
from captiongen.errors import ServiceError, UsageError
from tests.web import answering

NOBODY = "http://127.0.0.1:9"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pages that a browser was sent to; a start may take half a second."""
    pages: list[str] = []
    monkeypatch.setattr(webbrowser, "open", pages.append)
    monkeypatch.setattr(serve_commands, "_START_SECONDS", 0.5)
    return pages


@pytest.fixture
def ready() -> Iterator[str]:
    """A service that says of itself that it is ready."""
    with answering(lambda _: 200) as url:
        yield url


def test_nothing_released_yet_is_said_in_words(tmp_path: Path):
    """Without a Bento it names the one it looked for and the commands that make one."""
    with pytest.raises(UsageError, match=r"the Bento never-made:latest .* `make run`"):
        serve_commands._find_bento("never-made:latest")


@pytest.mark.parametrize("tag", ["Bad Tag!", "../../x", ":latest"])
def test_what_is_no_tag_is_said_in_words(tag: str):
    """What BentoML cannot read as a tag is refused before it is asked."""
    with pytest.raises(UsageError, match="NAME or NAME:VERSION"):
        serve_commands._find_bento(tag)


def test_feedback_is_kept_in_the_project_unless_the_user_named_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`--feedback` leaves the server an absolute folder; one that the environment names stays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CAPTIONGEN_FEEDBACK", "")
    assert serve_commands._take_feedback(Layout()) == str(tmp_path / ".captiongen" / "feedback")
    assert os.environ["CAPTIONGEN_FEEDBACK"] == str(tmp_path / ".captiongen" / "feedback")
    monkeypatch.setenv("CAPTIONGEN_FEEDBACK", "/srv/feedback")
    assert serve_commands._take_feedback(Layout()) == os.environ["CAPTIONGEN_FEEDBACK"] == "/srv/feedback"


def test_a_taken_port_is_said_in_words():
    """Where something listens it offers the next port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(UsageError, match=rf"Port {port} is taken.*--port {port + 1}"):
            serve_commands.need_port(port)


def test_a_page_that_does_not_come_is_said_in_words(opened: list[str], capsys: pytest.CaptureFixture[str]):
    """A service that is not ready in time is ended with exit code 7; no address is printed, no browser opened."""
    with pytest.raises(ServiceError, match="not ready after") as caught:
        serve_commands._serve_and_open([sys.executable, "-c", "import time; time.sleep(60)"], NOBODY)
    assert caught.value.exit_code == 7
    assert opened == []
    assert "the page" not in capsys.readouterr().out


OPENING = """
import sys
from captiongen.cli.serve_commands import _serve_and_open
_serve_and_open([sys.executable, "-c", "import time; time.sleep(60)"], "http://127.0.0.1:9")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_does_not_outlive_the_command_that_opens_its_page(number: signal.Signals):
    """However `serve --open` ends, its server is told to end."""
    command = psutil.Popen([sys.executable, "-c", OPENING])
    give_up = time.monotonic() + 30
    while not (servers := command.children()):
        assert time.monotonic() < give_up
        time.sleep(0.05)
    time.sleep(0.2)  # so that it is past the fork
    command.send_signal(number)
    command.wait(10)
    _, alive = psutil.wait_procs(servers, timeout=10)
    for server in alive:
        server.kill()
    assert not alive


@pytest.mark.parametrize("code", [0, 3])
def test_a_service_that_ends_before_it_is_ready_is_a_failure(opened: list[str], code: int):
    """It was to run until it is stopped, so its own exit code does not matter."""
    with pytest.raises(ServiceError, match=f"ended with exit code {code}"):
        serve_commands._serve_and_open([sys.executable, "-c", f"raise SystemExit({code})"], NOBODY)
    assert opened == []


def test_a_ready_page_is_opened(opened: list[str], ready: str, capsys: pytest.CaptureFixture[str]):
    """Once the service is ready its address is printed and the browser is sent there."""
    serve_commands._serve_and_open([sys.executable, "-c", "import time; time.sleep(1)"], ready)
    assert opened == [f"{ready}/"]
    assert f"the page: {ready}/" in capsys.readouterr().out
