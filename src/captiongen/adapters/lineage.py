"""Where a model comes from: read off dvc.lock, the .dvc pointers, the model's manifest and git."""

import hashlib
import json
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from captiongen.adapters.git_state import read_git_state
from captiongen.errors import CheckpointError, ServiceError
from captiongen.files import sha256_of_file
from captiongen.types import Lineage

_MANIFEST_FILE = "manifest.json"
_FOLDER_SUFFIX = ".dir"  # how DVC marks the hash of a folder's listing


def read_lineage(project: Path, model_folder: Path) -> Lineage:
    """Reads the lineage of the model that the pipeline of `project` wrote to `model_folder`.

    `dvc_md5s` holds the model, what its stage read, code included, what the stages before read, up to the source data:
    as long as they are the same, so is the model. A file of encoder weights with a .dvc pointer is among them, although
    dvc.lock knows only its sha256, among the params. `run_id` is left empty, it is the tracking server's to say.

    Raises:
        CheckpointError: the folder holds no readable manifest.
        ServiceError: dvc.lock does not name the model, or a .dvc pointer contradicts it or the manifest.
    """
    manifest = read_model_facts(model_folder)
    git = read_git_state(project)
    md5s = _ancestors(project, model_folder.resolve().relative_to(project.resolve()).as_posix())
    md5s = dict(sorted((md5s | _encoder_weights(project, manifest.get("encoder", {}))).items()))
    return Lineage(
        dataset=manifest["dataset"],
        data_hash=manifest["data_hash"],
        split_hashes=manifest["split_hashes"],
        model_sha256=manifest["weights_sha256"],
        git_sha=git.sha,
        is_dirty=git.is_dirty,
        dvc_md5s=md5s,
    )


def read_locked_md5s(project: Path, stage: str) -> dict[str, str]:
    """Returns path -> md5 of the dependencies of a stage as dvc.lock and the .dvc pointers have them now.

    Unlike `read_lineage` this also answers while `stage` itself runs: it asks dvc.yaml for the paths, and the stages
    before it and the pointers for the hashes. Paths that neither knows (code) are left out.
    """
    definition = _read_yaml(project / "dvc.yaml").get("stages", {}).get(stage, {})
    known = {path: md5 for entry in _locked_stages(project).values() for path, md5 in _hashes(entry, "outs")}
    found = {}
    for path in (str(dependency) for dependency in definition.get("deps", [])):
        md5 = known.get(path) or _pointer_md5(project, path)
        if md5:
            found[path] = md5
    return found


def find_broken_data(project: Path, lineage: Lineage) -> list[str]:
    """Holds the DVC hashes of a lineage against its commit and DVC's cache.

    Code must hash to the recorded md5 as the commit has it; a .dvc pointer of the commit must name the recorded md5;
    and the data themselves must lie in DVC's cache, every file of a folder, so that they can be restored.

    Returns:
        One sentence for each path that breaks the chain.

    Raises:
        ServiceError: DVC or git cannot be asked.
    """
    committed = _files_at(project, lineage.git_sha)
    broken = []
    for path, md5 in lineage.dvc_md5s.items():
        if code := {name: data for name, data in committed.items() if _is_under(name, path)}:
            if _dvc_md5(path, code) != md5:
                broken.append(f"{path}: commit {lineage.git_sha[:12]} has other code than made the model")
        elif (pointer := committed.get(f"{path}.dvc")) is not None and _md5_in_pointer(pointer) != md5:
            broken.append(f"{path}: commit {lineage.git_sha[:12]} points to other data than made the model")
        elif missing := _num_missing_from_cache(project, md5):
            broken.append(f"{path}: {missing} file(s) of {md5} are not in DVC's cache; try `dvc fetch`")
    return broken


def read_model_facts(model_folder: Path) -> dict[str, Any]:
    """Reads a model's manifest as plain JSON: its own reader would import torch, and this must be quick.

    Raises:
        CheckpointError: the folder holds no readable manifest.
    """
    path = model_folder / _MANIFEST_FILE
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        missing = {"dataset", "data_hash", "split_hashes", "weights_sha256"} - manifest.keys()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"Expected a model's manifest at {path}: {error}. Run `dvc repro`.") from error
    if missing:
        raise CheckpointError(f"{path} lacks {', '.join(sorted(missing))}. Run `dvc repro`.")
    return manifest


def format_lineage(lineage: Lineage) -> str:
    """Draws a lineage as plain text, one fact a line, nothing cut short."""
    facts = {
        "model sha256": lineage.model_sha256,
        "run": lineage.run_id or "none",
        "git commit": (lineage.git_sha or "none") + (" (tree was dirty)" if lineage.is_dirty else ""),
        "data set": f"{lineage.dataset} {lineage.data_hash}",
        **{f"{split} split": digest for split, digest in sorted(lineage.split_hashes.items())},
        **{f"md5 of {path}": md5 for path, md5 in sorted(lineage.dvc_md5s.items())},
    }
    width = max(len(name) for name in facts)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in facts.items())


def _ancestors(project: Path, model_path: str) -> dict[str, str]:
    """Walks from the model to what its stage read, to what wrote that, and so on up to the source data and the code."""
    stages = _locked_stages(project).values()
    written = {path: (md5, entry) for entry in stages for path, md5 in _hashes(entry, "outs")}
    if model_path not in written:
        raise ServiceError(f"Expected dvc.lock in {project} to name {model_path}, it does not. Run `dvc repro`.")
    md5s: dict[str, str] = {}
    waiting = [(model_path, written[model_path][0])]
    while waiting:
        path, md5 = waiting.pop()
        if path in md5s:
            continue
        md5s[path] = md5
        if (pointed := _pointer_md5(project, path)) not in (None, md5):
            raise ServiceError(f"{path}.dvc names {pointed}, but dvc.lock was made from {md5}. Run `dvc repro`.")
        # A stage may read one file of a folder that another stage wrote.
        writers = [entry for out, (_, entry) in written.items() if _is_under(path, out) or _is_under(out, path)]
        waiting.extend(pair for entry in writers for pair in _hashes(entry, "deps"))
    return dict(sorted(md5s.items()))


def _encoder_weights(project: Path, encoder: Mapping[str, Any]) -> dict[str, str]:
    """Path -> md5 of the file that the encoder began with, where there is one and DVC keeps it."""
    path, sha256 = str(encoder.get("weights", "none")), encoder.get("weights_sha256")
    md5 = _pointer_md5(project, path)
    if sha256 is None or md5 is None:
        return {}
    file = project / path
    if not file.is_file() or sha256_of_file(file) != sha256:
        raise ServiceError(
            f"Expected the encoder weights with sha256 {sha256}, which the model began with, in {path}, found "
            f"{'others' if file.is_file() else 'none'}. Restore them with `dvc pull {path}.dvc`, or run `dvc repro`."
        )
    return {path: md5}


def _locked_stages(project: Path) -> dict[str, Any]:
    stages: dict[str, Any] = _read_yaml(project / "dvc.lock").get("stages", {})
    return stages


def _hashes(entry: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    for item in entry.get(key, ()):
        if "md5" in item:
            yield item["path"], item["md5"]


def _pointer_md5(project: Path, path: str) -> str | None:
    pointer = project / f"{path}.dvc"
    return _md5_in_pointer(pointer.read_bytes()) if pointer.is_file() else None


def _md5_in_pointer(pointer: bytes) -> str | None:
    outs = (yaml.safe_load(pointer) or {}).get("outs") or [{}]
    md5: str | None = outs[0].get("md5")
    return md5


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ServiceError(f"Expected {path.name} in {path.parent.resolve()}, found none. Run `dvc repro`.") from None
    except yaml.YAMLError as error:
        raise ServiceError(f"{path} is no readable YAML: {error}") from error
    return content


def _files_at(project: Path, sha: str) -> dict[str, bytes]:
    """All files of the project folder as a commit has them."""
    done = subprocess.run(["git", "archive", "--format=tar", sha], cwd=project, capture_output=True, check=False)
    if done.returncode:
        raise ServiceError(f"git cannot read commit {sha}: {done.stderr.decode(errors='replace').strip()}")
    with tarfile.open(fileobj=BytesIO(done.stdout)) as archive:
        return {
            member.name: file.read() for member in archive if member.isfile() and (file := archive.extractfile(member))
        }


def _dvc_md5(path: str, files: Mapping[str, bytes]) -> str:
    """The hash DVC gives a file, or a folder: the md5 of the JSON listing of its files."""
    md5s = {name: hashlib.md5(data, usedforsecurity=False).hexdigest() for name, data in files.items()}
    if set(md5s) == {path}:
        return md5s[path]
    relative = ((PurePosixPath(name).relative_to(path).as_posix(), md5) for name, md5 in md5s.items())
    listing = [{"md5": md5, "relpath": name} for name, md5 in sorted(relative)]  # as dvc_data's Tree writes it
    return hashlib.md5(json.dumps(listing).encode(), usedforsecurity=False).hexdigest() + _FOLDER_SUFFIX


def _num_missing_from_cache(project: Path, md5: str) -> int:
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(project)) as repo:
            cache = Path(repo.cache.local.path)
    except DvcException as error:
        raise ServiceError(f"DVC cannot open its cache in {project}: {error}") from error

    def is_there(digest: str) -> bool:
        return (cache / digest[:2] / digest[2:]).is_file()

    if not is_there(md5):
        return 1
    if not md5.endswith(_FOLDER_SUFFIX):
        return 0
    listing = json.loads((cache / md5[:2] / md5[2:]).read_bytes())
    return sum(not is_there(entry["md5"]) for entry in listing)


def _is_under(path: str, folder: str) -> bool:
    return PurePosixPath(path).is_relative_to(folder)
