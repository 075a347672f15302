"""A real `bentoml serve` for tests: a free port of 127.0.0.1, its output kept."""

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil
import requests


class ServedProcess:
    """`bentoml serve TARGET`, started at once; `url` answers after `wait_until_ready`.

    Args:
        target: tag of a Bento, or `.`.
        cwd: where it runs.
        bentoml_home: with the stores.
        log: takes its output.
        environment: variables beside this process's own.
    """

    def __init__(
        self, target: str, *, cwd: Path, bentoml_home: Path, log: Path, environment: dict[str, str] | None = None
    ) -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port = listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bentoml", "serve", target, "--host", "127.0.0.1", "--port", str(port)],
                cwd=cwd,
                env={
                    **os.environ,
                    "BENTOML_HOME": str(bentoml_home),
                    "BENTOML_DO_NOT_TRACK": "True",
                    **(environment or {}),
                },
                stdout=out,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self, *, seconds: float = 240.0) -> None:
        give_up = time.monotonic() + seconds
        while time.monotonic() < give_up:
            assert self.process.poll() is None, self.output()
            try:
                if requests.get(f"{self.url}/readyz", timeout=5).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.1)
        raise AssertionError(f"not ready after {seconds} s:\n{self.output()}")

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def rss_bytes(self) -> int:
        """Memory of the server and all its workers."""
        tree = [psutil.Process(self.process.pid), *psutil.Process(self.process.pid).children(recursive=True)]
        return sum(process.memory_info().rss for process in tree)

    def terminate(self, *, seconds: float = 120.0) -> int:
        """SIGTERM to the server alone, as a process manager sends it; returns the exit code."""
        self.process.terminate()
        return self.process.wait(seconds)

    def kill(self) -> None:
        """Ends the server and its workers, which lead process groups of their own."""
        if self.process.poll() is not None:
            return
        workers = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()
