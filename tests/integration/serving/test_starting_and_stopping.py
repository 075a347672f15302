"""From the source tree: what `bentoml serve .` waits for, what it refuses, and how it leaves."""

import shutil
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests
from served import ServedProcess
from tiny import encoded, tiny_picture

from captiongen.data.feedback import FeedbackFolder


@pytest.fixture
def own_home(bento_tag: str, bentoml_home: Path, tmp_path: Path) -> Path:
    """A model store of its own, to damage."""
    home = tmp_path / "bentoml"
    shutil.copytree(bentoml_home / "models", home / "models")
    return home


@pytest.fixture
def serve_source(own_home: Path, project: Path, tmp_path: Path) -> Iterator[ServedProcess]:
    server = ServedProcess(".", cwd=project, bentoml_home=own_home, log=tmp_path / "log")
    yield server
    server.kill()


def test_sigterm_loses_no_accepted_request(serve_source: ServedProcess) -> None:
    """Served from the source tree, SIGTERM under load answers what it has accepted and exits with 0.

    Nobody has turned feedback on: the endpoint says how, and no caption comes with a receipt.
    """
    serve_source.wait_until_ready()
    report = requests.post(f"{serve_source.url}/feedback", files={"receipt": (None, "x")}, timeout=60)
    assert report.status_code == 404
    assert "CAPTIONGEN_FEEDBACK" in report.json()["error"]
    # So large that decoding four of them takes seconds.
    picture = encoded(tiny_picture(size=(500, 400)).resize((5600, 4400)), "JPEG", progressive=True)

    def client(_: int) -> requests.Response:
        return requests.post(f"{serve_source.url}/caption", files={"image": picture}, timeout=60)

    with ThreadPoolExecutor(4) as pool:
        answers = pool.map(client, range(4))
        give_up = time.monotonic() + 60
        while num_under_way(serve_source) < 4:
            assert time.monotonic() < give_up, "the requests were never under way together"
        code = serve_source.terminate()
        captions = [answer.json() for answer in answers if answer.status_code == 200]
    assert code == 0
    assert len(captions) == 4
    assert {(one["model"]["version"], one["model"]["bento"]) for one in captions} == {("8", "source")}
    assert {one["receipt"] for one in captions} == {None}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part of it is Linux's")
def test_a_worker_ends_with_a_server_that_is_killed(serve_source: ServedProcess) -> None:
    """A SIGKILL of the server leaves no worker that goes on answering."""
    serve_source.wait_until_ready()
    server = psutil.Process(serve_source.process.pid)
    workers = server.children(recursive=True)
    assert workers
    server.kill()
    server.wait(10)
    _, alive = psutil.wait_procs(workers, timeout=30)
    for worker in alive:
        worker.kill()
    assert not alive


@pytest.mark.slow
def test_a_killed_server_keeps_every_report_that_it_confirmed(
    bento_tag: str, bentoml_home: Path, tmp_path: Path
) -> None:
    """SIGKILL of two workers amid reports: all that were confirmed are whole, and receipts outlive the restart."""
    kept = FeedbackFolder(tmp_path / "feedback")
    environment = {
        "CAPTIONGEN_FEEDBACK": str(kept.root),
        "BENTOML_CONFIG_OPTIONS": "services.captiongen.workers=2",
    }
    picture, confirmed, unused = encoded(tiny_picture(size=(1200, 900)), "JPEG"), set(), []

    def client(url: str) -> None:
        with suppress(requests.RequestException):
            while True:
                receipt = requests.post(f"{url}/caption", files={"image": picture}, timeout=30).json()["receipt"]
                unused.append(receipt)
                form = {"receipt": (None, receipt), "consent": (None, "yes"), "image": picture}
                confirmed.add(requests.post(f"{url}/feedback", files=form, timeout=30).json()["id"])
                unused.remove(receipt)

    for turn in range(3):
        server = ServedProcess(
            bento_tag, cwd=tmp_path, bentoml_home=bentoml_home, log=tmp_path / "log", environment=environment
        )
        try:
            server.wait_until_ready()
            for receipt in unused[-2:]:
                again = requests.post(f"{server.url}/feedback", files={"receipt": (None, receipt)}, timeout=30)
                assert again.status_code in (200, 409), again.text
            workers = psutil.Process(server.process.pid).children(recursive=True)
            with ThreadPoolExecutor(6) as pool:
                clients = [pool.submit(client, server.url) for _ in range(6)]
                before = len(confirmed)
                while len(confirmed) < before + 20 + 7 * turn:
                    time.sleep(0.01)
                for process in (server.process, *workers):
                    process.kill()
            assert all(one.exception() is None for one in clients)
            assert "captiongen:2" in server.output()
        finally:
            server.kill()
        records = list(kept.records())
        assert confirmed <= {record.id for record in records}
        assert all(kept.picture(record) for record in records if record.picture_sha256)


def num_under_way(served: ServedProcess) -> float:
    """Requests to the endpoint that are not answered yet, from the service's own metrics."""
    start = 'bentoml_service_request_in_progress{endpoint="/caption",runner_name="captiongen"'
    lines = requests.get(f"{served.url}/metrics", timeout=10).text.splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(start))


def test_weights_that_were_not_released_are_not_served(own_home: Path, project: Path, tmp_path: Path) -> None:
    """One flipped bit in the weights: the server refuses to start, says which file and what to do, and exits."""
    models = own_home / "models" / "captiongen"
    weights = models / (models / "latest").read_text() / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    server = ServedProcess(".", cwd=project, bentoml_home=own_home, log=tmp_path / "log")
    try:
        assert server.process.wait(120) != 0
    finally:
        server.kill()
    assert "is not what was released as captiongen version 8" in server.output()
    assert "Release it again" in server.output()


def test_without_a_model_the_server_says_what_to_run(project: Path, tmp_path: Path) -> None:
    """An empty model store: the server exits and names the command that fills it."""
    server = ServedProcess(".", cwd=project, bentoml_home=tmp_path / "empty", log=tmp_path / "log")
    try:
        assert server.process.wait(120) != 0
    finally:
        server.kill()
    assert "make run" in server.output()
