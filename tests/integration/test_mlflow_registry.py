"""The registry on a real MLflow, and the registered model in a process that has no captiongen."""

import base64
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import mlflow
import pandas as pd
import pytest
import tiny

from captiongen.adapters.mlflow_registry import (
    CHALLENGER,
    CHAMPION,
    ModelRegistry,
    RegisteredVersion,
    download_model,
    find_version,
)
from captiongen.adapters.mlflow_store import tracking_uri
from captiongen.adapters.mlflow_tracking import open_run
from captiongen.errors import ServiceError, UsageError
from captiongen.inference import CaptionEngine
from captiongen.model.checkpoint import read_manifest
from captiongen.types import Lineage


@dataclass(frozen=True)
class Project:
    """A project with one registered model."""

    folder: Path
    model: Path
    evaluation: Path
    lineage: Lineage
    version: RegisteredVersion

    @property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(self.folder, "captiongen")

    def register(self, lineage: Lineage) -> RegisteredVersion:
        return register(self.registry, self.model, self.evaluation, lineage)


def register(registry: ModelRegistry, model: Path, evaluation: Path, lineage: Lineage) -> RegisteredVersion:
    return registry.register(
        model,
        lineage,
        evaluation_folder=evaluation,
        metrics={"cider": 58.456},
        example_image=tiny.encoded(tiny.tiny_picture()),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, give_database: Callable[[Path], None]) -> Project:
    folder = tmp_path_factory.mktemp("registry")
    give_database(folder)
    model = tiny.tiny_model_folder(folder / "models/captioner")
    evaluation = folder / "reports/evaluation"
    evaluation.mkdir(parents=True)
    (evaluation / "metrics.json").write_text("{}")
    with open_run(folder, name="train") as tracker:
        pass
    lineage = Lineage(
        dataset="tiny",
        data_hash="0" * 64,
        split_hashes={"test": "3" * 64},
        model_sha256=read_manifest(model).weights_sha256,
        git_sha="c" * 40,
        dvc_md5s={"data/processed": "5" * 32 + ".dir", "models/captioner": "6" * 32 + ".dir"},
        run_id=tracker.run_id,
    )
    version = register(ModelRegistry(folder, "captiongen"), model, evaluation, lineage)
    return Project(folder, model, evaluation, lineage, version)


def test_a_version_names_its_ancestors(made: Project):
    """The lineage comes back whole, and its parts are tags to search by."""
    found = made.registry.version(made.version.version)
    assert found.lineage == made.lineage
    assert found.tags["captiongen.git_sha"] == "c" * 40
    assert found.tags["captiongen.split_hash.test"] == "3" * 64
    assert found.tags["cider"] == "58.46"


def test_registration_replayed_keeps_the_version(made: Project):
    """The same model of the same lineage is one version, from any commit or run, and from many threads."""
    again = [made.lineage, replace(made.lineage, git_sha="d" * 40), replace(made.lineage, run_id="")]
    with ThreadPoolExecutor(3) as pool:
        assert {version.version for version in pool.map(made.register, again)} == {made.version.version}


def test_another_lineage_is_another_version(made: Project):
    """Other data, or a proper release of what was an experiment, makes a new version."""
    other = made.register(replace(made.lineage, dvc_md5s={"data/processed": "7" * 32 + ".dir"}))
    assert int(other.version) > int(made.version.version)


def test_aliases_rest_where_they_are_set(made: Project):
    """No alias, no model: None; then exactly the version it was set to, until it is removed."""
    registry = made.registry
    assert ModelRegistry(made.folder, "unheard-of").champion() is None
    assert registry.by_alias(CHALLENGER) is None
    registry.set_alias(CHALLENGER, made.version.version)
    assert registry.by_alias(CHALLENGER) == made.version
    registry.remove_alias(CHALLENGER)
    assert registry.by_alias(CHALLENGER) is None


def test_a_model_is_downloaded_by_whatever_names_it(made: Project):
    """Version, alias, run and folder lead to a captioner that loads; nothing is fetched twice."""
    made.registry.set_alias(CHAMPION, made.version.version)
    for uri in (
        made.version.uri,
        "models:/captiongen@champion",
        str(made.model),
        str(made.model.parent.parent / "models/captioner"),
    ):
        assert CaptionEngine.load(download_model(uri, project=made.folder)).manifest == read_manifest(made.model)
    assert download_model(made.version.uri, project=made.folder) == download_model(
        "models:/captiongen@champion", project=made.folder
    )


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("models:/captiongen@nobody", ServiceError),
        ("models:/captiongen/999", ServiceError),
        ("models:/captiongen", UsageError),
        ("https://example.org/model", UsageError),
        ("no/such/folder", UsageError),
    ],
)
def test_what_names_no_model_is_refused_in_words(made: Project, uri: str, error: type[Exception]):
    """A missing version is the registry's trouble, a malformed URI the caller's."""
    with pytest.raises(error):
        download_model(uri, project=made.folder)


def test_an_unknown_alias_is_told_from_those_there_are(made: Project):
    """The error names the alias as unknown and lists the others with their versions."""
    made.registry.set_alias(CHAMPION, made.version.version)
    with pytest.raises(
        ServiceError, match=rf"no alias 'nobody'; its aliases: champion \(version {made.version.version}"
    ):
        find_version("models:/captiongen@nobody", project=made.folder)
    with pytest.raises(ServiceError, match=r"unheard-of has no champion yet; its aliases: none\. `captiongen release`"):
        find_version("models:/unheard-of@champion", project=made.folder)


@pytest.mark.parametrize("uri", ["models:/captiongen@champion", "models:/captiongen/1", "runs:/abc/model"])
def test_reading_makes_no_database(tmp_path: Path, uri: str):
    """Where there is no database the error says where it was looked for, and an empty one is not left there."""
    with pytest.raises(ServiceError, match=r"database at .*mlflow\.db, found none"):
        download_model(uri, project=tmp_path)
    assert not list(tmp_path.rglob("*.db"))


@pytest.mark.parametrize("name", ["it's", 'so"', "a`b"])
def test_a_name_with_quotation_marks_is_refused(made: Project, name: str):
    """MLflow's filters cannot hold it."""
    with pytest.raises(UsageError, match="without quotation marks"):
        find_version(f"models:/{name}@champion", project=made.folder)


BARE = """
import sys
sys.path.append(sys.argv[1])  # the environment's packages, but not its .pth files: captiongen is not installed here
try:
    import captiongen
except ImportError:
    pass
else:
    raise SystemExit("captiongen is importable")
import mlflow
mlflow.set_tracking_uri(sys.argv[2])
model = mlflow.pyfunc.load_model("models:/captiongen@champion")
print(model.predict([open(sys.argv[3], "rb").read()]).to_json())
"""


def test_the_champion_runs_in_a_process_that_knows_nothing_else(made: Project, tmp_path: Path):
    """Loaded by alias where captiongen is not installed, it says what the engine says here."""
    made.registry.set_alias(CHAMPION, made.version.version)
    picture = tmp_path / "picture.png"
    picture.write_bytes(tiny.encoded(tiny.tiny_picture("blue", "box")))
    packages = sysconfig.get_paths()["purelib"]
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", BARE, packages, tracking_uri(made.folder), str(picture)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = pd.read_json(StringIO(done.stdout.splitlines()[-1]))
    [expected] = CaptionEngine.load(made.model).caption([tiny.tiny_picture("blue", "box")])
    assert said["caption"][0] == expected.best.caption
    assert said["log_probability"][0] == pytest.approx(expected.best.log_probability, abs=1e-4)


@pytest.fixture(scope="module")
def pyfunc(made: Project) -> Iterator[mlflow.pyfunc.PyFuncModel]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", tracking_uri(made.folder))
        yield mlflow.pyfunc.load_model(made.version.uri)


def test_bytes_and_base64_in_a_list_or_a_table_give_the_same_captions(pyfunc: mlflow.pyfunc.PyFuncModel):
    """The signature lets all four through, and the input example is one of them."""
    data = tiny.encoded(tiny.tiny_picture())
    text = base64.b64encode(data).decode()
    answers = [
        pyfunc.predict(given)
        for given in ([data], [text], pd.DataFrame({"image": [data]}), pd.DataFrame({"image": [text]}))
    ]
    for answer in answers[1:]:
        pd.testing.assert_frame_equal(answer, answers[0])
    assert list(answers[0].columns) == ["caption", "log_probability", "alternatives"]
    pd.testing.assert_frame_equal(pyfunc.predict(pyfunc.input_example), answers[0])


@pytest.mark.parametrize(
    "given", ["/etc/hostname", "picture.png", "http://127.0.0.1:9/picture.png", "file:///etc/hostname"]
)
def test_paths_and_addresses_are_never_opened(pyfunc: mlflow.pyfunc.PyFuncModel, given: str):
    """Only the bytes themselves are taken."""
    with pytest.raises(Exception, match="not opened"):
        pyfunc.predict([given])


def test_a_registered_model_holds_no_pickle(made: Project):
    """Weights are safetensors; no file of the version is or contains a pickle."""
    folder = made.registry.download(made.version).captioner.parents[1]
    names = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"model.safetensors", "tokenizer.json", "manifest.json", "mlflow_model.py"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".bin", ".pyc"))]
