"""`captiongen serve` where it cannot serve."""

import socket
from pathlib import Path

import pytest

from captiongen.cli import serve_commands
from captiongen.errors import UsageError


def test_nothing_released_yet_is_said_in_words(tmp_path: Path):
    """Without a Bento it names the one it looked for and the commands that make one."""
    with pytest.raises(UsageError, match=r"the Bento never-made:latest .* `make run`"):
        serve_commands._find_bento("never-made:latest")


def test_a_taken_port_is_said_in_words():
    """Where something listens it offers the next port."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(UsageError, match=rf"Port {port} is taken.*--port {port + 1}"):
            serve_commands._need_port(port)
