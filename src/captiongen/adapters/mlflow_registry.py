"""The model registry: versions that are made once, aliases, and the folders of registered models."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import TypeAdapter

from captiongen.adapters.mlflow_pyfunc import save_pyfunc
from captiongen.adapters.mlflow_store import open_client, state_folder, translated_errors
from captiongen.errors import ServiceError, UsageError
from captiongen.files import atomic_folder, sha256_of_file
from captiongen.types import Lineage

if TYPE_CHECKING:
    from mlflow import MlflowClient

CHAMPION, CHALLENGER = "champion", "challenger"
_CAPTIONER, _EVALUATION = "captioner", "evaluation"  # names of a version's artifacts
_KEY_TAG, _LINEAGE_TAG = "captiongen.release_key", "captiongen.lineage"
_MANIFEST_FILE = "manifest.json"


@dataclass(frozen=True, slots=True)
class RegisteredVersion:
    """One version of a registered model.

    Attributes:
        name: of the registered model.
        version: its number, as text.
        lineage: as it was registered.
        tags: everything written to it, later facts included.
    """

    name: str
    version: str
    lineage: Lineage
    tags: Mapping[str, str]

    @property
    def uri(self) -> str:
        """What `mlflow.pyfunc.load_model` takes."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True, slots=True)
class VersionFiles:
    """A version's files on this machine: the captioner folder, and the evaluation it was registered with."""

    captioner: Path
    evaluation: Path


class ModelRegistry:
    """The versions of one registered model.

    Args:
        project: the project folder.
        name: of the registered model.
        must_exist: refuse a registry that is not there yet, instead of making it.

    Raises:
        UsageError: the name holds a quotation mark.
        ServiceError: from every method, when the registry fails.
    """

    def __init__(self, project: Path, name: str, *, must_exist: bool = False) -> None:
        from filelock import FileLock

        if set(name) & set("'\"`"):  # MLflow's filters have no way to write them
            raise UsageError(f"Expected a model's name without quotation marks, found {name!r}.")
        self.name = name
        self._project = project
        self._client: MlflowClient = open_client(project, must_exist=must_exist)
        self._lock = FileLock(state_folder(project) / "registry.lock")

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        """Holds every other release of this project off while the block runs; may be nested."""
        with self._lock:
            yield

    def register(
        self,
        model_folder: Path,
        lineage: Lineage,
        *,
        evaluation_folder: Path,
        metrics: Mapping[str, float],
        example_image: bytes,
    ) -> RegisteredVersion:
        """Registers a captioner as a pyfunc model; the same model of the same lineage keeps its version.

        Args:
            model_folder: model.safetensors, tokenizer.json, manifest.json.
            lineage: where it comes from; `run_id` names an existing run.
            evaluation_folder: captions.parquet and metrics.json, kept with the version to compare later ones with.
            metrics: shown as tags of the version.
            example_image: an encoded picture, the model's input example.
        """
        with self.exclusive():
            if (found := self.find(lineage)) is not None:
                return found
            path = f"model-{release_key(lineage)[:12]}"
            with translated_errors(f"registering {self.name}"), tempfile.TemporaryDirectory() as folder:
                pyfunc = Path(folder) / "pyfunc"
                save_pyfunc(pyfunc, {_CAPTIONER: model_folder, _EVALUATION: evaluation_folder}, example_image)
                self._client.log_artifacts(lineage.run_id, str(pyfunc), path)
                self._ensure_model()
                made = self._client.create_model_version(
                    self.name,
                    source=f"runs:/{lineage.run_id}/{path}",
                    run_id=lineage.run_id,
                    tags={**_tags(lineage), **{name: f"{value:.2f}" for name, value in metrics.items()}},
                )
            return self.version(made.version)

    def find(self, lineage: Lineage) -> RegisteredVersion | None:
        """Returns the version of this model of this lineage, None when it was never registered."""
        with translated_errors(f"searching {self.name}"):
            found = self._client.search_model_versions(
                f"name = '{self.name}' and tags.`{_KEY_TAG}` = '{release_key(lineage)}'"
            )
        return min((_read(one) for one in found), key=lambda one: int(one.version), default=None)

    def version(self, number: str | int) -> RegisteredVersion:
        """Returns one version by its number."""
        with translated_errors(f"reading version {number} of {self.name}"):
            return _read(self._client.get_model_version(self.name, str(number)))

    def by_alias(self, alias: str) -> RegisteredVersion | None:
        """Returns the version that an alias rests on, None when there is none."""
        from mlflow.exceptions import MlflowException

        with translated_errors(f"reading alias {alias} of {self.name}"):
            try:
                return _read(self._client.get_model_version_by_alias(self.name, alias))
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None  # no such model, or no such alias
                raise

    def aliases(self) -> dict[str, str]:
        """Returns the version's number that each alias rests on; none where there is no such model."""
        from mlflow.exceptions import MlflowException

        with translated_errors(f"reading the aliases of {self.name}"):
            try:
                found = self._client.get_registered_model(self.name).aliases
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return {}
                raise
        return {alias: str(number) for alias, number in sorted(found.items())}

    def champion(self) -> RegisteredVersion | None:
        """Returns the version in service, None before the first promotion."""
        return self.by_alias(CHAMPION)

    def set_alias(self, alias: str, number: str) -> None:
        """Lets an alias rest on a version."""
        with translated_errors(f"setting alias {alias} of {self.name}"):
            self._client.set_registered_model_alias(self.name, alias, number)

    def remove_alias(self, alias: str) -> None:
        """Takes an alias away, wherever it rests."""
        with translated_errors(f"removing alias {alias} of {self.name}"):
            self._client.delete_registered_model_alias(self.name, alias)

    def set_tags(self, number: str, tags: Mapping[str, str]) -> None:
        """Writes facts to a version."""
        with translated_errors(f"tagging version {number} of {self.name}"):
            for name, text in tags.items():
                self._client.set_model_version_tag(self.name, number, name, text)

    def run_model_sha256(self, run_id: str) -> str | None:
        """Returns the hash of the model that a run made, None when there is no such run."""
        from mlflow.exceptions import MlflowException

        try:
            tag: str | None = self._client.get_run(run_id).data.tags.get("captiongen.model_sha256")
        except MlflowException:
            return None
        return tag

    def download(self, version: RegisteredVersion) -> VersionFiles:
        """Brings a version's files to this machine, once: a version never changes."""
        folder = (
            state_folder(self._project)
            / "models"
            / f"{self.name}-{version.version}-{release_key(version.lineage)[:12]}"
        )
        _download(self._source(version), folder, self._client.tracking_uri)
        return VersionFiles(captioner=_artifact(folder, _CAPTIONER), evaluation=_artifact(folder, _EVALUATION))

    def weights_sha256(self, version: RegisteredVersion) -> str:
        """Returns the hash of the weights that the registry itself holds now, not of a copy downloaded earlier."""
        with tempfile.TemporaryDirectory() as folder:
            fresh = Path(folder) / "version"
            _download(self._source(version), fresh, self._client.tracking_uri)
            return sha256_of_file(_artifact(fresh, _CAPTIONER) / "model.safetensors")

    def _source(self, version: RegisteredVersion) -> str:
        """Where a version's files lie: MLflow itself resolves `models:/` by settings of the whole process."""
        with translated_errors(f"finding {version.uri}"):
            uri: str = self._client.get_model_version_download_uri(version.name, version.version)
            return uri

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name, description="Captions photographs, one sentence each.")
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def release_key(lineage: Lineage) -> str:
    """Returns the identity of a release: the weights and every byte of data and code that led to them.

    The commit is left out: the code that matters is in there by its hashes, and a commit that touches something else
    makes no new model. Whether the tree was dirty is in: an experiment can be registered properly later.
    """
    facts = replace(lineage, git_sha="", run_id="")
    return sha256(json.dumps(asdict(facts), sort_keys=True).encode()).hexdigest()


def find_version(uri: str, *, project: Path = Path()) -> RegisteredVersion:
    """Returns the version that `models:/NAME@ALIAS` or `models:/NAME/VERSION` names.

    Raises:
        UsageError: the URI is neither.
        ServiceError: the registry has no such model.
    """
    rest = uri.removeprefix("models:/").strip("/")
    name, separator, alias = rest.partition("@")
    if separator:
        registry = ModelRegistry(project, name, must_exist=True)
        found = registry.by_alias(alias)
        if found is None:
            raise ServiceError(_without_alias(name, alias, registry.aliases()))
        return found
    name, _, number = rest.partition("/")
    if not (uri.startswith("models:/") and name and number.isdigit()):
        raise UsageError(f"Expected models:/NAME@ALIAS or models:/NAME/VERSION, found {uri!r}.")
    return ModelRegistry(project, name, must_exist=True).version(number)


def _without_alias(name: str, alias: str, aliases: Mapping[str, str]) -> str:
    has = ", ".join(f"{one} (version {number})" for one, number in aliases.items()) or "none"
    if alias == CHAMPION:
        return f"{name} has no champion yet; its aliases: {has}. `captiongen release` makes one."
    return (
        f"{name} has no alias {alias!r}; its aliases: {has}. Name one of these, or a version as models:/{name}/VERSION."
    )


def download_model(uri: str, *, project: Path = Path()) -> Path:
    """Returns the captioner folder that a URI names.

    Args:
        uri: `models:/NAME@ALIAS`, `models:/NAME/VERSION`, `runs:/RUN/PATH`, or a local folder.
        project: the project folder, whose tracking server is asked and whose state folder keeps the download.

    Raises:
        UsageError: the URI is none of these, or the folder holds no captioner.
        ServiceError: the registry has no such model.
    """
    if uri.startswith("models:/"):
        found = find_version(uri, project=project)
        return ModelRegistry(project, found.name).download(found).captioner
    if uri.startswith("runs:/"):
        client = open_client(project, must_exist=True)
        folder = state_folder(project) / "models" / uri.removeprefix("runs:/").replace("/", "-")
        _download(uri, folder, client.tracking_uri)
        return _artifact(folder, _CAPTIONER)
    if Path(uri).is_dir():
        return _artifact(Path(uri), _CAPTIONER)
    raise UsageError(
        f"Expected a model as models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH or a folder, found {uri!r}."
    )


def _download(uri: str, folder: Path, server: str) -> None:
    """Downloads into a folder that is whole or not there; of several processes one does it."""
    import mlflow
    from filelock import FileLock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with translated_errors(f"downloading {uri}"), FileLock(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            with atomic_folder(folder) as part:
                found = mlflow.artifacts.download_artifacts(
                    artifact_uri=uri, dst_path=str(part), tracking_uri=server, registry_uri=server
                )
                for entry in list(Path(found).iterdir()):  # `runs:/` adds a folder of its own, others do not
                    entry.replace(part / entry.name)


def _artifact(folder: Path, name: str) -> Path:
    """An artifact of a pyfunc folder, or the folder itself where it is a captioner."""
    if name == _CAPTIONER and (folder / _MANIFEST_FILE).is_file():
        return folder
    try:
        description = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        path: Path = folder / description["flavors"]["python_function"]["artifacts"][name]["path"]
    except (OSError, KeyError, TypeError) as error:
        raise UsageError(
            f"Expected a captioner folder (with {_MANIFEST_FILE}) or a registered captioner (with MLmodel), found "
            f"neither in {folder}: {error!r}."
        ) from error
    return path


def _tags(lineage: Lineage) -> dict[str, str]:
    """The lineage whole, and the parts of it that people search by."""
    return {
        _KEY_TAG: release_key(lineage),
        _LINEAGE_TAG: json.dumps(asdict(lineage), sort_keys=True),
        "captiongen.model_sha256": lineage.model_sha256,
        "captiongen.git_sha": lineage.git_sha,
        "captiongen.is_dirty": str(lineage.is_dirty).lower(),
        "captiongen.dataset": lineage.dataset,
        "captiongen.data_hash": lineage.data_hash,
        **{f"captiongen.split_hash.{split}": digest for split, digest in lineage.split_hashes.items()},
    }


def _read(found: Any) -> RegisteredVersion:
    if _LINEAGE_TAG not in found.tags:
        raise ServiceError(
            f"Version {found.version} of {found.name} was not registered by `captiongen release`: it has no lineage."
        )
    lineage = TypeAdapter(Lineage).validate_json(found.tags[_LINEAGE_TAG])
    return RegisteredVersion(found.name, str(found.version), lineage, dict(found.tags))
