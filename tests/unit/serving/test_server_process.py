"""A worker that ends with its server, also where the server was gone before it could be watched."""

import os
import signal
import subprocess
import sys

import pytest

from captiongen.serving.server_process import name_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
WORKER = "from captiongen.serving.server_process import end_with_server; end_with_server(); print('serving')"


def work(**environment: str) -> subprocess.CompletedProcess[str]:
    """Runs a worker, whose parent is this process, to its end."""
    return subprocess.run(
        [sys.executable, "-c", WORKER],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_worker_of_a_server_that_lives_goes_on(monkeypatch: pytest.MonkeyPatch):
    """Its parent is the server that named itself."""
    monkeypatch.setenv("CAPTIONGEN_SERVER_PID", "")
    name_server()
    assert work().stdout == "serving\n"


def test_a_worker_whose_server_is_gone_ends_at_once():
    """It has been given to another parent, of whose end the kernel would tell it too late."""
    assert work(CAPTIONGEN_SERVER_PID="1").returncode == -signal.SIGTERM


def test_a_process_that_no_server_started_is_left_alone(monkeypatch: pytest.MonkeyPatch):
    """The service can be made in a program of one's own."""
    monkeypatch.delenv("CAPTIONGEN_SERVER_PID", raising=False)
    assert work().stdout == "serving\n"
