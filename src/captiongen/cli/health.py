"""What CaptionGen needs from this machine, checked piece by piece and without changing anything."""

import importlib
import importlib.metadata
import os
import shutil
import socket
import sys
from collections.abc import Iterator

from captiongen.cli.health_check import Check
from captiongen.cli.layout import Layout
from captiongen.cli.tool_health import examine_tools
from captiongen.errors import ParamsError
from captiongen.files import sha256_of_file
from captiongen.params import Params, ReleaseParams, load_params

#: What a whole run keeps on disk, and what training holds in memory; GB.
NEEDED_DISK_GB = 2.0
NEEDED_MEMORY_GB = 3.0
PORTS = {"service and page": 3000, "MLflow": 5000, "Prefect": 4200}
VENDORS = ("torch", "torchvision", "timm", "dvc", "mlflow", "prefect", "great_expectations", "bentoml", "gradio")


def examine(layout: Layout, *, ask_hub: bool = False) -> Iterator[Check]:
    """Yields every check of the project in `layout`; only with `ask_hub` is the model hub asked for weights."""
    yield _python()
    yield _packages()
    yield _torch()
    yield _disk(layout)
    yield _memory()
    params, check = _params(layout)
    yield check
    if params is not None:
        yield _data(layout, params)
        yield _encoder_weights(layout, params, ask_hub=ask_hub)
    yield _model(layout)
    yield from examine_tools(layout, params.release.model_name if params else ReleaseParams().model_name)
    yield from _ports()
    yield _program("java", "METEOR beside the other metrics", "install a Java runtime, 11 or newer")
    yield _browser()


def _python() -> Check:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro} in {sys.prefix}"
    if (3, 11) <= sys.version_info < (3, 13):
        return Check("Python", "ok", found)
    return Check("Python", "missing", found, "use Python 3.11 or 3.12: `make PYTHON=python3.11 run`")


def _packages() -> Check:
    from packaging.requirements import Requirement

    absent, unfit, count = [], [], 0
    for requirement in map(Requirement, importlib.metadata.requires("captiongen") or []):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        count += 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(requirement.name)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            unfit.append(f"{requirement.name} {version} (needs {requirement.specifier})")
    if absent or unfit:
        found = "; ".join(
            [f"without {', '.join(absent)}"] * bool(absent) + [f"unfit: {', '.join(unfit)}"] * bool(unfit)
        )
        return Check("packages", "missing", found, "run `make venv`, which installs the tested set")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VENDORS)
    return Check("packages", "ok", f"all {count} in versions that fit, among them {versions}")


def _torch() -> Check:
    try:
        import torch

        importlib.import_module("torchvision")
    except (ImportError, OSError, RuntimeError) as error:
        return Check("torch", "missing", f"does not import: {error}", "remove .venv and run `make venv`")
    from captiongen.training.precision import has_native_bf16

    has_cuda = torch.cuda.is_available()
    device = f"CUDA ({torch.cuda.get_device_name()})" if has_cuda else "CPU"
    precision = "bf16" if has_native_bf16(torch.device("cuda" if has_cuda else "cpu")) else "fp32, without native bf16"
    return Check("torch", "ok", f"computes on {device} with {torch.get_num_threads()} threads in {precision}")


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


def _params(layout: Layout) -> tuple[Params | None, Check]:
    try:
        params = load_params(layout.params)
    except ParamsError as error:
        return None, Check("params.yaml", "missing", str(error), "correct the key, or run `captiongen use scenes`")
    return params, Check("params.yaml", "ok", f"data set {params.ingest.name}, encoder {params.train.encoder.name}")


def _data(layout: Layout, params: Params) -> Check:
    folder = layout.root / params.ingest.path
    if folder.is_dir() and any(folder.iterdir()):
        if folder.with_name(f"{folder.name}.dvc").is_file():
            return Check("data", "ok", f"{params.ingest.path}, tracked by DVC")
        remedy = f"run `dvc add {params.ingest.path}`, so that a model's lineage names its data"
        return Check("data", "optional", f"{params.ingest.path}, not tracked by DVC", remedy)
    remedy = f"run `captiongen fetch {params.ingest.source}`, or `dvc pull` where the team has a remote"
    if params.ingest.source not in ("scenes", "flickr8k"):
        remedy = "run `captiongen use PATH` with the folder of your data"
    return Check("data", "optional", f"{params.ingest.path} is empty or not there", remedy)


def _encoder_weights(layout: Layout, params: Params, *, ask_hub: bool) -> Check:
    encoder = params.train.encoder
    if encoder.weights == "none":
        return Check("encoder weights", "ok", "none needed: trained from random ones")
    if encoder.weights == "hub":
        if ask_hub:
            return _hub(encoder.name)
        found = f"of {encoder.name}: fetched from the hub by the first training, and not looked for now"
        remedy = (
            "`captiongen doctor --online` checks the hub; offline: `captiongen use ... --encoder MODEL --weights FILE`"
        )
        return Check("encoder weights", "optional", found, remedy)
    path = layout.root / encoder.weights
    if not path.is_file():
        remedy = "put the safetensors file there, or correct train.encoder.weights in params.yaml"
        return Check("encoder weights", "missing", f"{encoder.weights} is not there", remedy)
    if encoder.weights_sha256 and (found := sha256_of_file(path)) != encoder.weights_sha256:
        remedy = "fetch the file again, or correct train.encoder.weights_sha256 in params.yaml"
        return Check("encoder weights", "missing", f"{encoder.weights} is another file, sha256 {found}", remedy)
    return Check("encoder weights", "ok", encoder.weights)


def _hub(name: str) -> Check:
    import requests

    url = f"{os.environ.get('HF_ENDPOINT', 'https://huggingface.co')}/timm/{name}/resolve/main/model.safetensors"
    try:
        requests.head(url, timeout=10, allow_redirects=True).raise_for_status()
    except requests.RequestException as error:
        remedy = "bring a safetensors file: `captiongen use ... --encoder MODEL --weights FILE`"
        return Check("encoder weights", "missing", f"the model hub does not give {name}: {error}", remedy)
    return Check("encoder weights", "ok", f"the model hub has {name}")


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
