"""Packaging with the real BentoML: what a Bento carries, and that a replay changes nothing."""

import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import bentoml
import psutil
import pytest
from tiny import encoded, tiny_model_folder, tiny_picture

from captiongen.adapters.bento_packaging import bento_model_folder, package, smoke_test
from captiongen.adapters.code_digest import bento_code_digest
from captiongen.errors import CheckpointError, ServiceError, UsageError
from captiongen.files import sha256_of_file
from captiongen.inference import CaptionEngine
from captiongen.types import Lineage

MB = 1024**2


def test_tag_names_version_weights_and_code(bento_tag: str, lineage: Lineage, project: Path) -> None:
    """The tag is NAME:VERSION-SHA-CODE."""
    assert bento_tag == f"captiongen:7-{lineage.model_sha256[:8]}-{bento_code_digest(project)}"


def test_changed_code_is_packaged_anew(tmp_path: Path, lineage: Lineage, project: Path) -> None:
    """A mend of the service gives the same version a second Bento, labelled with its code, around the same model."""
    folder = tiny_model_folder(tmp_path / "model", seed=6)
    own = replace(lineage, model_sha256=sha256_of_file(folder / "model.safetensors"))
    before = package(folder, own, model_name="mended", version="1", project=project)
    style = project / "src/captiongen/serving/page.css"
    text = style.read_text()
    style.write_text(text + "/* mended */\n")
    try:
        after = package(folder, own, model_name="mended", version="1", project=project)
    finally:
        style.write_text(text)
    assert after != before
    bento = bentoml.bentos.get(after)
    assert Path(bento.path_of("src/captiongen/serving/page.css")).read_text().endswith("mended */\n")
    assert bento.info.labels["code"] == after.rpartition("-")[2]
    assert bento_model_folder(after) == bento_model_folder(before)
    assert package(folder, own, model_name="mended", version="1", project=project) == before


def test_packaging_again_changes_nothing(bento_tag: str, model_folder: Path, lineage: Lineage, project: Path) -> None:
    """The same version of the same weights gives the same Bento, not a second one."""
    before = [(str(bento.tag), bento.creation_time) for bento in bentoml.bentos.list("captiongen")]
    assert package(model_folder, lineage, model_name="captiongen", version="7", project=project) == bento_tag
    assert [(str(bento.tag), bento.creation_time) for bento in bentoml.bentos.list("captiongen")] == before


def test_bento_carries_code_and_lineage_and_little_else(bento_tag: str, lineage: Lineage) -> None:
    """The Bento is small, has the package's source and pins, and its model knows its ancestors."""
    bento = bentoml.bentos.get(bento_tag)
    source = Path(bento.path_of("src"))
    assert (source / "captiongen" / "serving" / "page.css").is_file()
    assert {path.name for path in source.iterdir()} == {
        "captiongen",
        "bentofile.yaml",
        "pyproject.toml",
        "requirements.txt",
    }
    assert bento.file_size < 3 * MB
    assert bento.info.labels["run_id"] == lineage.run_id
    assert bento.info.labels["model_sha256"] == lineage.model_sha256
    release = json.loads((bento_model_folder(bento_tag) / "release.json").read_text())
    assert bento_model_folder(bento_tag.title()) == bento_model_folder(bento_tag), "BentoML writes tags in lower case"
    assert (release["name"], release["version"]) == ("captiongen", "7")
    assert release["lineage"]["dvc_md5s"] == dict(lineage.dvc_md5s)


def test_model_of_a_bento_can_be_loaded(bento_tag: str, model_folder: Path) -> None:
    """`bento:TAG` names a model folder that captions as the one that was packaged."""
    [packaged] = CaptionEngine.load(bento_model_folder(bento_tag)).caption([tiny_picture()])
    [original] = CaptionEngine.load(model_folder).caption([tiny_picture()])
    assert packaged.best == original.best


def test_unknown_bento_is_named(bentoml_home: Path) -> None:
    """A tag that no Bento has is an error that says so."""
    with pytest.raises(ServiceError, match="captiongen:99"):
        bento_model_folder("captiongen:99")


def test_weights_of_another_lineage_are_refused(model_folder: Path, lineage: Lineage, project: Path) -> None:
    """A model is not packaged under a lineage that names other weights, and leaves nothing in the store."""
    other = replace(lineage, model_sha256="f" * 64)
    with pytest.raises(CheckpointError, match="is not what was released"):
        package(model_folder, other, model_name="captiongen", version="9", project=project)
    assert not bentoml.models.list("captiongen:9-ffffffff")


def test_damaged_model_in_the_store_is_replaced(tmp_path: Path, lineage: Lineage, project: Path) -> None:
    """What a killed run left half-written in the store does not stay there."""
    folder = tiny_model_folder(tmp_path / "model", seed=5)
    own = replace(lineage, model_sha256=sha256_of_file(folder / "model.safetensors"))
    tag = package(folder, own, model_name="other", version="1", project=project)
    (bento_model_folder(tag) / "tokenizer.json").write_text("{")
    assert package(folder, own, model_name="other", version="1", project=project) == tag
    CaptionEngine.load(bento_model_folder(tag))


def test_smoke_test_captions_with_the_served_bento(bento_tag: str, project: Path) -> None:
    """The smoke test serves the Bento, gets a caption of it, and leaves no process behind."""
    answer = smoke_test(bento_tag, encoded(tiny_picture()), project=project)
    assert answer["caption"]
    assert answer["model"]["version"] == "7"


SMOKE = """
import sys
from pathlib import Path
from captiongen.adapters.bento_packaging import smoke_test
smoke_test(sys.argv[1], b"", project=Path(sys.argv[2]))
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_smoke_test_leaves_no_server(
    bento_tag: str, bentoml_home: Path, project: Path, number: signal.Signals
) -> None:
    """However the process that tries a Bento out ends, its server and the server's worker end too."""
    environment = {**os.environ, "BENTOML_HOME": str(bentoml_home)}
    trying = psutil.Popen([sys.executable, "-c", SMOKE, bento_tag, str(project)], env=environment)
    give_up = time.monotonic() + 120
    while len(started := trying.children(recursive=True)) < 3:  # supervisor, server, worker
        assert trying.is_running()
        assert time.monotonic() < give_up
        time.sleep(0.1)
    trying.send_signal(number)
    assert trying.wait(30) == -number
    _, alive = psutil.wait_procs(started, timeout=30)
    for process in alive:
        process.kill()
    assert not alive


@pytest.mark.parametrize("tag", ["", ":", "Bad Tag!", "../../x", "a:b:c", "/etc", "a" * 64, "captiongen:latest\n"])
def test_what_is_no_tag_is_refused_in_words(tag: str) -> None:
    """BentoML would answer with a traceback, or look for a path."""
    with pytest.raises(UsageError, match="NAME or NAME:VERSION"):
        bento_model_folder(tag)


def test_smoke_test_of_what_cannot_start_says_why(bentoml_home: Path, project: Path) -> None:
    """A service that ends at once is an error with its last words."""
    with pytest.raises(ServiceError, match="captiongen:99"):
        smoke_test("captiongen:99", b"", project=project)
