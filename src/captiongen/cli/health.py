"""What CaptionGen needs from this machine, checked piece by piece and without changing anything."""

import importlib
import importlib.metadata
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from captiongen.cli.layout import Layout
from captiongen.errors import ParamsError
from captiongen.params import Params, load_params

#: What a whole run keeps on disk, and what training holds in memory; GB.
NEEDED_DISK_GB = 2.0
NEEDED_MEMORY_GB = 3.0
PORTS = {"service and page": 3000, "MLflow": 5000, "Prefect": 4200}
VENDORS = ("torch", "torchvision", "timm", "dvc", "mlflow", "prefect", "great_expectations", "bentoml", "gradio")


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked at.
        state: `ok`; `optional` where something works less well without it; `missing` where nothing runs without it.
        found: what is there.
        remedy: what to do, "" when ok.
    """

    name: str
    state: Literal["ok", "optional", "missing"]
    found: str
    remedy: str = ""


def examine(layout: Layout) -> Iterator[Check]:
    """Yields every check of the project in `layout`, quick ones first."""
    yield _python()
    yield _packages()
    yield _torch()
    yield _disk(layout)
    yield _memory()
    yield _git(layout)
    params, check = _params(layout)
    yield check
    if params is not None:
        yield _data(layout, params)
        yield _encoder_weights(layout, params)
    yield _model(layout)
    yield from _ports()
    yield _program("java", "METEOR beside the other metrics", "install a Java runtime, 11 or newer")
    yield _browser()


def _python() -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} in {sys.prefix}"
    if (3, 11) <= sys.version_info < (3, 13):
        return Check("Python", "ok", found)
    return Check("Python", "missing", found, "use Python 3.11 or 3.12: `make PYTHON=python3.11 run`")


def _packages() -> Check:
    versions, absent = [], []
    for name in VENDORS:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
    if absent:
        return Check("packages", "missing", "without " + ", ".join(absent), "run `make venv`")
    return Check("packages", "ok", ", ".join(versions))


def _torch() -> Check:
    try:
        import torch

        importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError) as error:
        return Check("torch", "missing", f"does not import: {error}", "remove .venv and run `make venv`")
    device = f"CUDA ({torch.cuda.get_device_name()})" if torch.cuda.is_available() else "CPU"
    return Check("torch", "ok", f"computes on {device} with {torch.get_num_threads()} threads")


def _disk(layout: Layout) -> Check:
    free_gb = shutil.disk_usage(layout.root).free / 1e9
    found = f"{free_gb:.1f} GB free"
    if free_gb >= NEEDED_DISK_GB:
        return Check("disk", "ok", found)
    return Check("disk", "missing", found, f"make room: a run needs about {NEEDED_DISK_GB:.0f} GB; `dvc gc -w` helps")


def _memory() -> Check:
    import psutil

    free_gb = psutil.virtual_memory().available / 1e9
    found = f"{free_gb:.1f} GB available, {os.cpu_count()} cores"
    if free_gb >= NEEDED_MEMORY_GB:
        return Check("memory", "ok", found)
    return Check("memory", "optional", found, f"training wants about {NEEDED_MEMORY_GB:.0f} GB: lower train batch_size")


def _git(layout: Layout) -> Check:
    if shutil.which("git") is None:
        return Check("git", "missing", "no git on PATH", "install git: DVC and the lineage of a model need it")
    command = ["git", "-C", str(layout.root), "rev-parse", "--short", "HEAD"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        return Check("git", "missing", "this folder is no git repository with a commit", "clone the project with git")
    return Check("git", "ok", f"commit {process.stdout.strip()}")


def _params(layout: Layout) -> tuple[Params | None, Check]:
    try:
        params = load_params(layout.params)
    except ParamsError as error:
        return None, Check("params.yaml", "missing", str(error), "correct the key, or run `captiongen use scenes`")
    return params, Check("params.yaml", "ok", f"data set {params.ingest.name}, encoder {params.train.encoder.name}")


def _data(layout: Layout, params: Params) -> Check:
    folder = layout.root / params.ingest.path
    if folder.is_dir() and any(folder.iterdir()):
        return Check("data", "ok", params.ingest.path)
    remedy = f"run `captiongen fetch {params.ingest.source}`, or `dvc pull` where the team has a remote"
    if params.ingest.source not in ("scenes", "flickr8k"):
        remedy = "run `captiongen use PATH` with the folder of your data"
    return Check("data", "optional", f"{params.ingest.path} is empty or not there", remedy)


def _encoder_weights(layout: Layout, params: Params) -> Check:
    weights = params.train.encoder.weights
    if weights == "none":
        return Check("encoder weights", "ok", "none needed: trained from random ones")
    if weights == "hub":
        return Check("encoder weights", "ok", "from the model hub, fetched by the first training")
    if (layout.root / weights).is_file():
        return Check("encoder weights", "ok", weights)
    remedy = "put the safetensors file there, or correct train.encoder.weights in params.yaml"
    return Check("encoder weights", "missing", f"{weights} is not there", remedy)


def _model(layout: Layout) -> Check:
    if (layout.model / "manifest.json").is_file():
        return Check("model", "ok", str(layout.model))
    return Check("model", "optional", "none trained yet", "run `make run`, or `dvc repro`")


def _ports() -> Iterator[Check]:
    for name, port in PORTS.items():
        with socket.socket() as probe:
            probe.settimeout(1.0)
            is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
        if is_taken:
            remedy = "it may be the one you started; else name another port, see `make help`"
            yield Check(f"port {port}", "optional", f"taken; {name} would listen there", remedy)
        else:
            yield Check(f"port {port}", "ok", f"free for {name}")


def _program(name: str, use: str, remedy: str) -> Check:
    path = shutil.which(name)
    return Check(name, "ok", path) if path else Check(name, "optional", f"not there; gives {use}", remedy)


def _browser() -> Check:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return Check("browser", "ok", path)
    return Check("browser", "optional", "none found; one test looks at the page in it", "install chromium")
