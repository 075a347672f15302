"""The whole chain on a handful of drawn pictures: fetch, dvc repro, release, serve, and the way back to the bytes."""

import contextlib
import hashlib
import json
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import requests
import yaml
from dvc.repo import Repo

from captiongen.data.feedback import FeedbackFolder, FeedbackRecord, ReportedModel
from tests.e2e.conftest import NUM_IMAGES, Project
from tests.tiny import encoded, tiny_picture

STAGES = ["ingest", "validate", "preprocess", "train", "evaluate", "analyse", "audit"]
_RUNNING = re.compile(r"^Running stage '(\w+)'", flags=re.MULTILINE)


def _leaves(section: dict, prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in section.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _changed(value: object) -> object:
    """Another value of the same type; whether it makes sense is not DVC's question."""
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int | float) else f"{value}-other"


def test_a_run_writes_what_people_read(reproduced: Project):
    """Balanced counts, a passed contract, metrics with interval, ceiling and floor, and three self-contained pages."""
    ingest = json.loads(reproduced.read("data/interim/ingest.json"))
    assert NUM_IMAGES in ingest.values() or str(NUM_IMAGES) in json.dumps(ingest)
    metrics = json.loads(reproduced.read("reports/evaluation/metrics.json"))
    assert "cider" in json.dumps(metrics)
    captions = pd.read_parquet(reproduced.folder / "reports" / "evaluation" / "captions.parquet")
    assert len(captions) > 0
    for page in ("reports/data_card/index.html", "reports/analysis/index.html"):
        assert b"https://" not in reproduced.read(page), f"{page} needs the network"


def test_a_second_run_does_nothing(reproduced: Project):
    """`dvc repro` right after a run executes no stage and leaves dvc.lock as it is."""
    lock = reproduced.read("dvc.lock")
    assert _RUNNING.findall(reproduced.run("dvc", "repro")) == []
    assert reproduced.read("dvc.lock") == lock
    assert reproduced.run("git", "status", "--porcelain") == ""


def test_each_setting_alone_makes_exactly_its_own_stages_stale(reproduced: Project):
    """After a change of a section's first or last key DVC would rerun the stages that read it, and no other."""
    graph = yaml.safe_load(reproduced.read("dvc.yaml"))["stages"]
    original = reproduced.read("params.yaml")
    try:
        for section, settings in yaml.safe_load(original).items():
            leaves = [
                (path, value) for path, value in _leaves(settings) if path != "path"
            ]  # another folder is not there
            for path, value in {leaves[0], leaves[-1]}:
                changes = _changed(value)
                for part in reversed(path.split(".")):
                    changes = {part: changes}
                reproduced.change_params({section: changes})
                expected = [name for name in STAGES if section in graph[name]["params"]]
                assert _stale(reproduced) == expected, f"{section}.{path}"
                (reproduced.folder / "params.yaml").write_bytes(original)
    finally:
        (reproduced.folder / "params.yaml").write_bytes(original)


def _stale(project: Project) -> list[str]:
    """The stages that `dvc repro` would run first; what follows from their results is not known before."""
    with contextlib.chdir(project.folder), Repo() as repo:
        return [stage.name for stage in repo.reproduce(dry=True) if not stage.is_data_source]


def test_an_edited_module_makes_the_stages_that_import_it_stale(reproduced: Project):
    """An edit of the metrics asks for training, evaluation and analysis again, not for the data stages."""
    module = reproduced.folder / "src" / "captiongen" / "metrics" / "cider.py"
    original = module.read_bytes()
    module.write_bytes(original + b"\n# edited\n")
    try:
        assert _stale(reproduced) == ["train", "evaluate", "analyse"]
    finally:
        module.write_bytes(original)


def test_a_late_setting_reruns_only_the_end(reproduced: Project):
    """Another number of worst captions runs the analysis alone; taking it back runs nothing, DVC remembers."""
    original = reproduced.read("params.yaml")
    reproduced.change_params({"analyse": {"num_worst": 3}})
    assert _RUNNING.findall(reproduced.run("dvc", "repro")) == ["analyse"]
    (reproduced.folder / "params.yaml").write_bytes(original)
    assert _RUNNING.findall(reproduced.run("dvc", "repro")) == []
    assert reproduced.run("git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_a_flow_and_a_plain_repro_write_the_same_lock(reproduced: Project, tmp_path: Path):
    """In a clone that has nothing yet, the Prefect flow ends in the dvc.lock that `dvc repro` wrote, byte for byte."""
    clone = Project(tmp_path / "clone")
    reproduced.run("git", "clone", "-q", ".", str(clone.folder))
    clone.run("captiongen", "fetch", "scenes", "--num-images", str(NUM_IMAGES))
    (clone.folder / "dvc.lock").unlink()
    clone.run("python", "-m", "flows.pipeline")
    assert clone.read("dvc.lock") == reproduced.read("dvc.lock")


@pytest.fixture(scope="module")
def released(reproduced: Project) -> Project:
    """The reproduced project, released once."""
    reproduced.run("captiongen", "release")
    return reproduced


def test_any_model_can_be_analysed_on_any_split_and_compared(released: Project):
    """The champion against the model of the working tree, which it is: nothing is fixed, nothing broken."""
    said = released.run(
        "captiongen",
        "analyse",
        "--model",
        "models:/captiongen@champion",
        "--split",
        "dev",
        "--against",
        "models/captioner",
    )
    (page,) = (released.folder / ".captiongen" / "analysis").glob("*-dev/analysis/index.html")
    assert "captions by badness" in said
    assert "against the other model: CIDEr-D " in said
    found = json.loads((page.parent / "findings.json").read_text())
    assert found["comparison"]["difference"]["mean"] == 0
    assert found["comparison"]["fixed"] == found["comparison"]["broken"] == []
    told = released.run("captiongen", "analyse", "--split", "dev", expected=2)
    assert "Expected --model" in told


@pytest.mark.slow
def test_the_analysis_flow_shows_tables_in_prefect_and_proposes_what_users_reported(released: Project):
    """Worst captions and costs are artifacts of the run, and a report in the feedback folder becomes a proposal."""
    picture = encoded(tiny_picture(), "JPEG")
    sha256 = hashlib.sha256(picture).hexdigest()
    record = FeedbackRecord(
        id="1" * 32,
        received=datetime.now(UTC),
        caption="a dog",
        correction="a red ball in the dark",
        reason=None,
        upload_sha256=sha256,
        picture_sha256=sha256,
        model=ReportedModel(name="captiongen", version="1", weights_sha256="e" * 64, bento="captiongen:1"),
    )
    FeedbackFolder(released.folder / ".captiongen" / "feedback").add(record, picture)
    said = released.run("python", "-m", "flows.error_analysis", "--split", "dev")
    assert "kept on MLflow run" in said
    with sqlite3.connect(released.folder / ".captiongen" / "prefect" / "prefect.db") as database:
        keys = {key for (key,) in database.execute("select key from artifact")}
    assert {"worst-captions", "error-costs", "error-analysis"} <= keys
    assert "a red ball in the dark" in released.run("captiongen", "corrections", "list", "--source", "feedback")


@pytest.fixture(scope="module")
def service(released: Project) -> Iterator[str]:
    """The address of `captiongen serve` on the released Bento."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = released.folder / ".captiongen" / "serve.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["captiongen", "serve", "--port", str(port)],
            cwd=released.folder,
            env=released.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 120
        while not _is_ready(url):
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield url
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)


def _is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=2).ok
    except requests.RequestException:
        return False


def _a_test_picture(project: Project) -> tuple[str, bytes]:
    """The id and file of one held-out picture, as `captiongen fetch` drew it."""
    captions = pd.read_parquet(project.folder / "reports" / "evaluation" / "captions.parquet")
    manifest = pd.read_parquet(project.folder / "data" / "interim" / "manifest.parquet").set_index("image_id")
    image_id = captions["image_id"].iloc[0]
    with zipfile.ZipFile(project.folder / "data" / "raw" / "scenes" / "images.zip") as archive:
        name = next(name for name in archive.namelist() if name.endswith(manifest.loc[image_id, "path"].split("/")[-1]))
        return image_id, archive.read(name)


def test_a_stranger_gets_the_caption_that_was_evaluated(released: Project, service: str):
    """A held-out picture posted to the served Bento comes back with the very caption that the evaluation scored."""
    image_id, picture = _a_test_picture(released)
    response = requests.post(f"{service}/caption", files={"image": ("a.jpg", picture)}, timeout=60)
    assert response.status_code == 200, response.text
    captions = pd.read_parquet(released.folder / "reports" / "evaluation" / "captions.parquet").set_index("image_id")
    assert response.json()["caption"] == captions.loc[image_id, "hypotheses"][0]["caption"]


def test_an_answer_names_its_ancestors(released: Project, service: str):
    """An answer's data hash and commit are those of the project, and `captiongen lineage` follows them down."""
    _, picture = _a_test_picture(released)
    card = requests.post(f"{service}/caption", files={"image": ("a.jpg", picture)}, timeout=60).json()["model"]
    index = json.loads(released.read("data/processed/index.json"))
    assert card["data_hash"] == index["data_hash"]
    assert card["git_sha"] == released.run("git", "rev-parse", "HEAD").strip()
    report = released.run("captiongen", "lineage")
    assert card["run_id"] in report
    assert card["data_hash"] in report


def test_a_second_release_changes_nothing(released: Project):
    """Releasing the same model again makes no second version, champion or Bento."""
    before = sorted(path for path in (released.folder / ".bentoml" / "bentos").rglob("*"))
    output = released.run("captiongen", "release")
    assert sorted(path for path in (released.folder / ".bentoml" / "bentos").rglob("*")) == before
    assert "version 2" not in output


def test_data_come_back_from_a_folder_remote(reproduced: Project, tmp_path: Path):
    """After `dvc push` a clone gets raw data, model and reports by `dvc pull`, and nothing is left to run."""
    remote, clone = tmp_path / "remote", Project(tmp_path / "clone")
    reproduced.run("git", "clone", "-q", ".", str(clone.folder))
    reproduced.run("dvc", "remote", "add", "--local", "store", str(remote))
    reproduced.run("dvc", "push", "-q", "-r", "store")
    shutil.copy(reproduced.folder / ".dvc" / "config.local", clone.folder / ".dvc" / "config.local")
    clone.run("dvc", "pull", "-q", "-r", "store")
    assert _RUNNING.findall(clone.run("dvc", "repro")) == []
    assert clone.read("models/captioner/model.safetensors") == reproduced.read("models/captioner/model.safetensors")
