"""From the source tree: what `bentoml serve .` waits for, what it refuses, and how it leaves."""

import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bentoml
import pytest
import requests
from served import ServedProcess
from tiny import encoded, tiny_picture


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
    """Served from the source tree, SIGTERM under load answers what it has accepted and exits with 0."""
    serve_source.wait_until_ready()
    picture = encoded(tiny_picture())
    is_stopping = threading.Event()
    first_answer = threading.Event()

    def client() -> list[int]:
        statuses = []
        while not is_stopping.is_set():
            response = requests.post(f"{serve_source.url}/caption", files={"image": picture}, timeout=30)
            statuses.append(response.status_code)
            first_answer.set()
            assert response.json()["model"]["bento"] == "source"
        return statuses

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client) for _ in range(4)]
        assert first_answer.wait(30)
        is_stopping.set()  # each client finishes the request it has under way
        time.sleep(0.01)
        code = serve_source.terminate()
        answers = [status for one in clients for status in one.result()]
    assert code == 0
    assert set(answers) == {200}


def test_weights_that_were_not_released_are_not_served(own_home: Path, project: Path, tmp_path: Path) -> None:
    """One flipped bit in the weights: the server refuses to start, says which file and what to do, and exits."""
    [weights] = own_home.glob("models/captiongen/*/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    server = ServedProcess(".", cwd=project, bentoml_home=own_home, log=tmp_path / "log")
    try:
        assert server.process.wait(60) != 0
    finally:
        server.kill()
    assert "is not what was released as captiongen version 7" in server.output()
    assert "Release it again" in server.output()


def test_without_a_model_the_server_says_what_to_run(project: Path, tmp_path: Path) -> None:
    """An empty model store: the server exits and names the command that fills it."""
    server = ServedProcess(".", cwd=project, bentoml_home=tmp_path / "empty", log=tmp_path / "log")
    try:
        assert server.process.wait(60) != 0
    finally:
        server.kill()
    assert "make run" in server.output()


def test_an_older_bento_keeps_its_own_model(bento_tag: str) -> None:
    """The service asks for its model by an alias that a built Bento resolves to the version it was built with."""
    [model] = bentoml.bentos.get(bento_tag).info.all_models
    assert (model.alias, str(model.tag)) == ("captioner", bento_tag)
