"""The way back from a served caption to the bytes its model was trained on, one checked link at a time."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from captiongen.adapters.git_state import has_commit
from captiongen.adapters.lineage import find_broken_data, format_lineage
from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import starter_folder
from captiongen.cli.release_steps import BENTO_TAG, GATE_TAG
from captiongen.cli.starter_commands import NAME as STARTER_NAME
from captiongen.errors import CheckpointError, GateError, ServiceError, UsageError
from captiongen.params import Params
from captiongen.types import Lineage

if TYPE_CHECKING:
    from captiongen.adapters.mlflow_registry import ModelRegistry, RegisteredVersion

#: What an answer says of its model, all of it text.
_CARD = ("bento", "data_hash", "name", "run_id", "version")


def walk(layout: Layout, params: Params, *, uri: str | None = None, answer: str | None = None) -> Iterator[str]:
    """Walks answer -> Bento -> registry version -> weights -> run -> git commit -> DVC hashes.

    Args:
        layout: of the project.
        params: of the project.
        uri: models:/NAME@ALIAS or models:/NAME/VERSION to start from; by default the champion.
        answer: the JSON text of a served answer to start from instead.

    Yields:
        One line for each link that holds, and the whole lineage at the end. A version that the gate refused has no
        Bento, which breaks nothing.

    Raises:
        GateError: a link does not hold; the message names it.
        UsageError: `answer` is no answer of the service, or both starts are given.
    """
    from captiongen.adapters.mlflow_registry import ModelRegistry, find_version

    if uri is not None and answer is not None:
        raise UsageError("Start from a model or from an answer, not from both.")
    card = None if answer is None else _model_card(answer)
    if card is not None and card["name"] == STARTER_NAME:
        yield from _walk_starter(card, layout)
        return
    if card is not None:
        uri = f"models:/{card['name']}/{card['version']}"
    version = find_version(uri or f"models:/{params.release.model_name}@champion", project=layout.root)
    registry = ModelRegistry(layout.root, version.name)
    if card is not None:
        yield _check_answer(card, version.lineage)
    yield _check_bento(card, version, layout)
    yield f"registry version  ok  {version.name} version {version.version}"
    yield _check_weights(registry, version)
    yield _check_run(registry, version)
    yield _check_commit(layout, version)
    yield _check_data(layout, version)
    yield ""
    yield format_lineage(version.lineage)


def read_answer(path: Path) -> str:
    """Returns the text of a file, `-` for the standard input.

    Raises:
        UsageError: there is no such file, or it holds no text.
    """
    try:
        return (sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"Expected a file with the JSON that `POST /caption` answers at {path}, found none: {found}."
        ) from error


def _model_card(answer: str) -> dict[str, Any]:
    try:
        card: dict[str, Any] = json.loads(answer)["model"]
        lacking = [name for name in _CARD if not isinstance(card.get(name), str) or not card[name]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"Expected the JSON that `POST /caption` answers, found {answer[:80]!r} ({error!r})."
        ) from error
    if lacking:
        raise UsageError(f"The answer's model lacks {', '.join(lacking)}: it is of another version of the service.")
    return card


def _walk_starter(card: dict[str, Any], layout: Layout) -> Iterator[str]:
    """The starter was registered elsewhere: what the repository knows of it lies beside its weights."""
    from captiongen.model.release import read_release

    try:
        release = read_release(starter_folder(layout.root))
    except (UsageError, CheckpointError) as error:
        _broken("starter", str(error))
    if card["version"] != release.version:
        _broken("starter", f"the answer is of version {card['version']}, {layout.starter} is {release.version}")
    yield _check_answer(card, release.lineage)
    yield f"starter           ok  sha256 {release.lineage.model_sha256}"
    yield ""
    yield format_lineage(release.lineage)


def _check_answer(card: dict[str, Any], lineage: Lineage) -> str:
    for name in ("run_id", "git_sha", "dataset", "data_hash"):
        if name in card and card[name] != getattr(lineage, name):
            _broken("served answer", f"it names {name} {card[name]}, its version has {getattr(lineage, name)}")
    return f"served answer     ok  {card['name']} version {card['version']} of {card['bento']}"


def _check_bento(card: dict[str, Any] | None, version: "RegisteredVersion", layout: Layout) -> str:
    from captiongen.adapters.bento_packaging import bento_model_folder
    from captiongen.model.release import read_release

    tag = card["bento"] if card else version.tags.get(BENTO_TAG)
    if tag is None and _is_refused(version):
        return f"Bento             --  none: version {version.version} did not pass the gate, and is not packaged"
    if tag is None:
        _broken("Bento", f"version {version.version} was never packaged; `captiongen release` does it")
    try:
        release = read_release(bento_model_folder(tag, project=layout.root))
    except (ServiceError, CheckpointError) as error:
        _broken("Bento", str(error))
    if (release.name, release.version, release.lineage) != (version.name, version.version, version.lineage):
        _broken("Bento", f"{tag} carries {release.name} version {release.version} of another lineage")
    return f"Bento             ok  {tag}"


def _is_refused(version: "RegisteredVersion") -> bool:
    verdict = version.tags.get(GATE_TAG)
    return verdict is not None and not json.loads(verdict)["is_passed"]


def _check_weights(registry: "ModelRegistry", version: "RegisteredVersion") -> str:
    expected = version.lineage.model_sha256
    try:
        found = registry.weights_sha256(version)
    except (OSError, ServiceError, UsageError) as error:
        _broken("weights", str(error))
    if found != expected:
        _broken("weights", f"expected sha256 {expected}, found {found}")
    return f"weights           ok  sha256 {expected}"


def _check_run(registry: "ModelRegistry", version: "RegisteredVersion") -> str:
    run_id = version.lineage.run_id
    found = registry.run_model_sha256(run_id)
    if found != version.lineage.model_sha256:
        _broken(
            "run", f"{run_id} made model {found}" if found else f"the tracking server has no run {run_id!r} of a model"
        )
    return f"run               ok  {run_id}"


def _check_commit(layout: Layout, version: "RegisteredVersion") -> str:
    lineage = version.lineage
    if lineage.is_dirty:
        _broken("git commit", "the version was registered as an experiment, from a tree that differed from its commit")
    if not lineage.git_sha or not has_commit(layout.root, lineage.git_sha):
        _broken("git commit", f"the repository has no commit {lineage.git_sha or '(none recorded)'}; try `git fetch`")
    return f"git commit        ok  {lineage.git_sha}"


def _check_data(layout: Layout, version: "RegisteredVersion") -> str:
    broken = find_broken_data(layout.root, version.lineage)
    if broken:
        _broken("DVC hashes", "; ".join(broken))
    return f"DVC hashes        ok  {len(version.lineage.dvc_md5s)} paths, all restorable"


def _broken(link: str, why: str) -> NoReturn:
    raise GateError(f"The lineage breaks at the link `{link}`: {why}.")
