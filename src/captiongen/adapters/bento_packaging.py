"""A released model as a Bento: its folder and lineage in BentoML's model store, and the service around it."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
import yaml
from filelock import FileLock

from captiongen.adapters.code_digest import BENTOFILE, bento_code_digest
from captiongen.adapters.process_group import open_group
from captiongen.adapters.readiness import is_ready_in_time
from captiongen.errors import CheckpointError, ServiceError, UsageError
from captiongen.model.release import RELEASE_FILE, Release, read_release
from captiongen.types import JsonObject, Lineage

_MODEL_FILES = ("model.safetensors", "tokenizer.json", "manifest.json")
#: As BentoML takes a tag; its names and versions begin and end with a letter or digit.
_PART = r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?"
_TAG = re.compile(rf"{_PART}(:{_PART})?", re.ASCII)
_MAX_PART = 63
_START_SECONDS = 180.0  # two cores that also train need half of it
_REQUEST_SECONDS = 60.0


def bento_tag(lineage: Lineage, *, model_name: str, version: str, project: Path) -> str:
    """Returns the tag of a model version's Bento with the code in `project`, whether it is built or not.

    Returns:
        NAME:VERSION-SHA-CODE: the version; the first eight digits of the weights' sha256, because a registry that
        starts anew also counts anew; a digest of the code, because a mend of the service must ship.

    Raises:
        ServiceError: as `bento_code_digest`.
    """
    return f"{_model_tag(lineage, model_name, version)}-{bento_code_digest(project)}"


def package(model_folder: Path, lineage: Lineage, *, model_name: str, version: str, project: Path) -> str:
    """Builds the Bento of a model version; the same version, weights and code are built once.

    Args:
        model_folder: model.safetensors, tokenizer.json and manifest.json.
        lineage: goes with the model into the Bento, and from there into every answer.
        model_name: of the registered model; also the Bento's name.
        version: in the registry.
        project: folder of bentofile.yaml; BENTOML_HOME is `.bentoml` in it unless the environment names another.

    Returns:
        The Bento's tag, see `bento_tag`. The model in BentoML's store is shared by Bentos that differ in code only.

    Raises:
        CheckpointError: the model folder is incomplete, or its weights are not those of the lineage.
        ServiceError: BentoML cannot store the model or build the Bento.
    """
    home = _bentoml_home(project)
    import bentoml
    from bentoml.exceptions import BentoMLException

    tag = bento_tag(lineage, model_name=model_name, version=version, project=project)
    model_tag = _model_tag(lineage, model_name, version)
    release = Release(name=model_name, version=version, lineage=lineage)
    home.mkdir(parents=True, exist_ok=True)
    try:
        # BentoML's stores do not expect two writers.
        with FileLock(home / "packaging.lock"):
            is_whole = _is_whole(model_tag)
            if bentoml.bentos.list(tag) and is_whole:
                return tag
            if not is_whole:
                _store_model(model_tag, model_folder, release)
            _build(tag, model_tag, release, project)
    except BentoMLException as error:
        raise ServiceError(f"BentoML could not package {model_name} version {version}: {error}") from error
    return tag


def bento_model_folder(tag: str, *, project: Path = Path()) -> Path:
    """Returns the folder of the model inside a Bento, as `captiongen caption --model bento:TAG` loads it.

    Raises:
        UsageError: `tag` is no tag.
        ServiceError: there is no such Bento, or its model is gone from the store.
    """
    _bentoml_home(project)
    check_tag(tag)
    import bentoml
    from bentoml.exceptions import BentoMLException

    try:
        models = bentoml.bentos.get(tag).info.all_models
        if len(models) != 1:
            raise ServiceError(f"Expected a Bento of one model, found {len(models)} in {tag}: it is no captioner's.")
        return Path(bentoml.models.get(models[0].tag).path)
    except BentoMLException as error:
        raise ServiceError(
            f"Expected the Bento {tag} in BentoML's store: {error} `bentoml list` shows what is."
        ) from error


def check_tag(tag: str) -> None:
    """Refuses what cannot be a Bento's tag, before BentoML makes a path or a traceback of it.

    Raises:
        UsageError: it is neither NAME nor NAME:VERSION.
    """
    if not _TAG.fullmatch(tag.lower()) or max(map(len, tag.split(":"))) > _MAX_PART:
        raise UsageError(
            "Expected a Bento's tag as NAME or NAME:VERSION (letters, digits, `-`, `_`, `.`), found "
            f"{tag!r}. `bentoml list` shows what there is."
        )


def smoke_test(bento_tag: str, image: bytes, *, project: Path) -> JsonObject:
    """Serves a Bento on a free port of this machine, has it caption one picture, and stops it again.

    Args:
        bento_tag: as `package` returned it.
        image: bytes of a picture file.
        project: as for `package`.

    Returns:
        The service's answer.

    Raises:
        ServiceError: the service does not start, does not answer, or answers as another model.
    """
    with _served(bento_tag, project) as url:
        response = requests.post(f"{url}/caption", files={"image": image}, timeout=_REQUEST_SECONDS)
    if response.status_code != requests.codes.ok:
        raise ServiceError(f"{bento_tag} answered {response.status_code} to a picture: {response.text[:300]}")
    answer: JsonObject = response.json()
    if (found := answer["model"]["bento"]) != bento_tag:
        raise ServiceError(f"Expected an answer of {bento_tag}, found one of {found}.")
    return answer


def _bentoml_home(project: Path) -> Path:
    """Returns where BentoML keeps models and Bentos; BentoML reads it once per process, from the environment."""
    return Path(os.environ.setdefault("BENTOML_HOME", str(project.resolve() / ".bentoml")))


def _model_tag(lineage: Lineage, model_name: str, version: str) -> str:
    return f"{model_name.lower()}:{version}-{lineage.model_sha256[:8]}"


def _is_whole(tag: str) -> bool:
    """Whether the store has this very model, undamaged (`models.get` alone would also match a longer version)."""
    import bentoml

    try:
        return any(read_release(Path(model.path)) for model in bentoml.models.list(tag))
    except CheckpointError:
        return False


def _store_model(tag: str, model_folder: Path, release: Release) -> None:
    import bentoml

    if bentoml.models.list(tag):  # damaged, or left by a process that was killed
        bentoml.models.delete(tag)
    with bentoml.models.create(tag, labels=_labels(release)) as model:
        for name in _MODEL_FILES:
            try:
                shutil.copyfile(model_folder / name, model.path_of(name))
            except FileNotFoundError:
                raise CheckpointError(f"Expected {name} in {model_folder}, found none. Run `dvc repro`.") from None
        Path(model.path_of(RELEASE_FILE)).write_text(release.model_dump_json(indent=2) + "\n", encoding="utf-8")
        read_release(Path(model.path))


def _build(tag: str, model_tag: str, release: Release, project: Path) -> None:
    """Builds as bentofile.yaml says, but with this model pinned: on a replay `latest` may be another."""
    import bentoml

    options: dict[str, Any] = yaml.safe_load((project / BENTOFILE).read_text(encoding="utf-8"))
    options["name"], version = tag.split(":")
    options["models"] = [{**model, "tag": model_tag} for model in options["models"]]
    options["labels"] = {**options.get("labels", {}), **_labels(release), "code": version.rpartition("-")[2]}
    if bentoml.bentos.list(tag):
        bentoml.bentos.delete(tag)
    bentoml.bentos.build(**options, version=version, build_ctx=str(project))


def _labels(release: Release) -> dict[str, str]:
    lineage = release.lineage
    return {
        "model_name": release.name,
        "model_version": release.version,
        "model_sha256": lineage.model_sha256,
        "run_id": lineage.run_id,
        "git_sha": lineage.git_sha,
        "dataset": lineage.dataset,
        "data_hash": lineage.data_hash,
    }


@contextmanager
def _served(bento_tag: str, project: Path) -> Iterator[str]:
    """Runs `bentoml serve` while the block runs; yields its address once it is ready."""
    home, port = _bentoml_home(project), _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "bentoml", "serve", bento_tag, "--host", "127.0.0.1", "--port", str(port)]
    # Elsewhere than in the project folder, so that only what the Bento carries is found. In a group of its own, because
    # Ctrl-C is ours to handle, and no server may outlive a release that was killed.
    with (
        tempfile.TemporaryDirectory() as folder,
        Path(folder, "log").open("w+", encoding="utf-8") as log,
        open_group(command, cwd=Path(folder), output=log, environment={"BENTOML_HOME": str(home)}) as process,
    ):
        _wait_until_ready(process, url, Path(log.name))
        yield url


def _wait_until_ready(process: "subprocess.Popen[str]", url: str, log: Path) -> None:
    if is_ready_in_time(process, f"{url}/readyz", seconds=_START_SECONDS):
        return
    said = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:])
    ended = "is not ready" if process.poll() is None else f"ended with code {process.returncode}"
    raise ServiceError(f"The service {ended} after at most {_START_SECONDS:.0f} s. It said last:\n{said}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
