"""Releases through real git, DVC and MLflow; the Bento has tests of its own."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from released import Writer, make_model, make_project, right, wrong
from repositories import commit
from safetensors.torch import load_file
from typer.testing import CliRunner

from captiongen.adapters.lineage import find_broken_data, read_lineage
from captiongen.adapters.mlflow_registry import CHALLENGER, CHAMPION, ModelRegistry, RegisteredVersion, download_model
from captiongen.cli import release_steps as steps
from captiongen.cli import starter_commands
from captiongen.cli.app import app
from captiongen.cli.layout import Layout
from captiongen.cli.lineage_walk import walk
from captiongen.cli.release_gate import Verdict
from captiongen.cli.starter_commands import NAME
from captiongen.errors import ReleaseRefused, ServiceError, SourceError
from captiongen.files import sha256_of_file
from captiongen.inference import CaptionEngine
from captiongen.model.release import read_release
from captiongen.params import Params


class Project:
    """A project and what a person does in it."""

    def __init__(self, layout: Layout, params: Params) -> None:
        self.layout, self.params = layout, params
        self.registry = ModelRegistry(layout.root, params.release.model_name)
        self._model: tuple[object, ...] = ()

    def train(self, seed: int, says: Writer, split_hash: str | None = None) -> None:
        """Has this model in the working tree, committed."""
        if self._model != (seed, says, split_hash):
            make_model(self.layout, seed=seed, says=says, split_hash=split_hash)
            self._model = (seed, says, split_hash)

    def release(self) -> tuple[RegisteredVersion, Verdict]:
        candidate = steps.inspect_candidate(self.layout, self.params)
        version = steps.register(self.layout, self.params, candidate)
        verdict = steps.judge(self.layout, self.params, candidate, version)
        return version, steps.promote(self.layout, self.params, candidate, version, verdict)

    def champion(self) -> RegisteredVersion:
        found = self.registry.champion()
        assert found is not None
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, project: Path, give_database: Callable[[Path], None]) -> Project:
    """A project whose first model is champion."""
    layout, params = make_project(tmp_path_factory.mktemp("release") / "project", project / "params.yaml")
    give_database(layout.root)
    made = Project(layout, params)
    made.train(1, right)
    made.release()
    return made


def test_a_first_good_model_becomes_champion(made: Project):
    """The version carries the model, its lineage and the verdict; `challenger` rests nowhere."""
    champion = made.champion()
    weights = download_model("models:/captiongen@champion", project=made.layout.root) / "model.safetensors"
    assert sha256_of_file(weights) == champion.lineage.model_sha256
    assert made.registry.run_model_sha256(champion.lineage.run_id) == champion.lineage.model_sha256
    assert Verdict(**json.loads(champion.tags[steps.GATE_TAG])).is_passed
    assert {
        "source/model",
        "models/captioner",
        "data/processed",
        "data/raw/list.txt",
    } <= champion.lineage.dvc_md5s.keys()
    assert "reports/evaluation" not in champion.lineage.dvc_md5s
    challenger = made.registry.by_alias(CHALLENGER)
    assert challenger is None or challenger.version != champion.version


def test_a_replay_changes_nothing(made: Project):
    """Released again, also after an unrelated commit, a model keeps its version, verdict and place."""
    made.train(1, right)
    before = made.champion()
    commit(made.layout.root, "unrelated")
    version, verdict = made.release()
    assert version == before
    assert verdict == Verdict(**json.loads(before.tags[steps.GATE_TAG]))
    assert made.champion() == before


def test_every_hash_of_a_lineage_is_restorable_and_a_broken_one_is_named(made: Project):
    """Code hashes to what the commit has, data lie in DVC's cache; a lost file, other code or other data are named."""
    root = made.layout.root
    lineage = read_lineage(root, made.layout.model)
    assert find_broken_data(root, lineage) == []
    for path, why in (("source/model", "other code"), ("data/raw/list.txt", "other data")):
        other = replace(lineage, dvc_md5s={**lineage.dvc_md5s, path: "0" * 32})
        [sentence] = find_broken_data(root, other)
        assert sentence.startswith(f"{path}: ")
        assert why in sentence
    md5 = lineage.dvc_md5s["data/raw/list.txt"]
    kept = root / ".dvc/cache/files/md5" / md5[:2] / md5[2:]
    lost = kept.rename(root / ".captiongen/lost")
    try:
        [sentence] = find_broken_data(root, lineage)
        assert sentence.startswith("data/raw/list.txt: 1 file(s)")
    finally:
        lost.rename(kept)


def test_changed_code_releases_a_new_bento_of_the_same_champion(made: Project, project: Path):
    """Finished means: this model, in a Bento of this code, that was tried out; else only the Bento is made anew."""
    made.train(1, right)
    root, champion = made.layout.root, made.champion()
    copy_code(project, root)
    tag = steps.package(made.layout, made.params, champion)
    assert steps.find_finished(made.layout, made.params) is None, "not tried out yet"
    made.registry.set_tags(champion.version, {steps.SMOKE_TAG: f"{tag}: a ball"})
    finished = steps.find_finished(made.layout, made.params)
    assert finished is not None
    assert (finished.version, finished.tags[steps.BENTO_TAG]) == (champion.version, tag)
    style = root / "src/captiongen/serving/page.css"
    style.write_text(style.read_text() + "/* mended */\n")
    assert steps.find_finished(made.layout, made.params) is None, "the code is another"
    with pytest.raises(ReleaseRefused, match=r"page\.css"):
        made.release()
    commit(root, "a mend of the service")
    version, _ = made.release()
    assert version.version == champion.version
    mended = steps.package(made.layout, made.params, version)
    assert mended != tag
    assert steps.find_finished(made.layout, made.params) is None, "the new Bento was not tried out"


def copy_code(project: Path, root: Path) -> None:
    """Has the project's code in the tiny project too, committed."""
    shutil.copytree(
        project / "src", root / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"), dirs_exist_ok=True
    )
    for name in ("bentofile.yaml", "pyproject.toml", "requirements.txt"):
        shutil.copyfile(project / name, root / name)
    commit(root, "code")


def test_uncommitted_code_is_not_released(made: Project):
    """The refusal names the files; --allow-dirty makes an experiment of it, with a version of its own."""
    with changed(made.layout.root / "params.yaml", "# a change\n"):
        with pytest.raises(ReleaseRefused, match=r"params\.yaml"):
            steps.inspect_candidate(made.layout, made.params)
        candidate = steps.inspect_candidate(made.layout, made.params, allow_dirty=True)
        version = steps.register(made.layout, made.params, candidate)
    assert version.tags["captiongen.is_dirty"] == "true"
    assert version.version != made.champion().version


def test_a_stale_pipeline_is_not_released(made: Project):
    """A model whose inputs changed since is refused, with the stages that are stale."""
    with (
        changed(made.layout.root / "source/processed/index.json", " "),
        pytest.raises(ServiceError, match="stale: preprocess"),
    ):
        steps.inspect_candidate(made.layout, made.params, allow_dirty=True)


def test_without_the_data_set_nothing_is_released(made: Project):
    """In a fresh clone the refusal says that the data set is to be fetched, and not what DVC stumbles over."""
    folder = made.layout.root / made.params.ingest.path
    folder.rmdir()
    try:
        with pytest.raises(SourceError, match=r"found no folder there\. Run `captiongen fetch`"):
            steps.inspect_candidate(made.layout, made.params, allow_dirty=True)
    finally:
        folder.mkdir()


def test_asking_what_is_released_makes_no_database(tmp_path: Path, made: Project):
    """In a project that never released anything nothing is finished, and no empty registry is left behind."""
    assert steps.find_finished(Layout(tmp_path), made.params) is None
    assert not list(tmp_path.iterdir())


def test_a_worse_model_stays_challenger(made: Project):
    """It is registered and keeps `challenger`; the refusal has the figures; the champion stays."""
    before = made.champion()
    made.train(2, wrong)
    with pytest.raises(ReleaseRefused, match=r"stays challenger\. CIDEr is -\d") as caught:
        made.release()
    assert f"champion version {before.version}" in str(caught.value)
    assert made.champion() == before
    assert "caption PHOTO --model models:/captiongen@challenger" in str(caught.value)
    refused = made.registry.by_alias(CHALLENGER)
    assert refused is not None
    assert CaptionEngine.load(download_model("models:/captiongen@challenger", project=made.layout.root))
    assert refused.version != before.version
    assert not json.loads(refused.tags[steps.GATE_TAG])["is_passed"]


def test_the_lineage_of_a_refused_version_is_shown(made: Project):
    """It has no Bento because the gate refused it, which is said; every other link is walked as of any version."""
    made.train(2, wrong)
    with pytest.raises(ReleaseRefused):
        made.release()
    lines = list(walk(made.layout, made.params, uri="models:/captiongen@challenger"))
    assert "did not pass the gate, and is not packaged" in lines[0]
    assert [line.split("  ")[0] for line in lines[1:4]] == ["registry version", "weights", "run"]


def test_a_promotion_is_judged_against_the_champion_of_that_moment(made: Project):
    """A verdict against a champion that was replaced meanwhile does not open the gate."""
    before = made.champion()
    made.train(2, wrong)
    candidate = steps.inspect_candidate(made.layout, made.params)
    version = steps.register(made.layout, made.params, candidate)
    stale = Verdict(True, against="", num_images=8, difference=50.0, low=None, high=None, required=5.0)
    with pytest.raises(ReleaseRefused):
        steps.promote(made.layout, made.params, candidate, version, stale)
    assert made.champion() == before


def test_a_champion_of_another_split_captions_this_one_first(made: Project):
    """Captions of different test sets are never compared: the old champion really runs on the new split."""
    release = made.params.release.model_copy(update={"model_name": "travelled"})
    mine = Project(made.layout, made.params.model_copy(update={"release": release}))
    made.train(3, right, split_hash="f" * 64)
    mine.release()
    made.train(4, right)
    version, verdict = mine.release()
    # Both were recorded with the same captions. That the second wins clearly shows that the random first one ran.
    assert mine.champion().version == version.version == "2"
    assert verdict.against == "1"
    assert verdict.low is not None
    assert verdict.low > 0


def test_an_allowed_loss_does_not_let_in_what_a_constant_caption_beats(made: Project):
    """However much worse than the champion a version may be, it must beat the best constant caption."""
    loose = made.params.release.model_copy(update={"model_name": "loose", "max_cider_loss": 1000.0})
    mine = Project(made.layout, made.params.model_copy(update={"release": loose}))
    made.train(1, right)
    mine.release()
    before = mine.champion()
    made.train(2, wrong)
    with pytest.raises(ReleaseRefused, match=r"loosen release\.min_cider_over_floor in params"):
        mine.release()
    assert mine.champion() == before


def test_only_the_test_split_may_judge(made: Project):
    """An evaluation on the dev split, by which the epoch was chosen, is refused before anything is registered."""
    evaluate = made.params.evaluate.model_copy(update={"split": "dev"})
    params = made.params.model_copy(update={"evaluate": evaluate})
    with pytest.raises(ReleaseRefused, match=r"evaluate\.split"):
        steps.inspect_candidate(made.layout, params, allow_dirty=True)


def test_a_champion_by_hand_is_judged_as_a_first_one(made: Project):
    """Where somebody set the alias before the gate was asked, its release asks the gate then, and goes on."""
    release = made.params.release.model_copy(update={"model_name": "by-hand"})
    mine = Project(made.layout, made.params.model_copy(update={"release": release}))
    made.train(1, right)
    candidate = steps.inspect_candidate(mine.layout, mine.params)
    version = steps.register(mine.layout, mine.params, candidate)
    mine.registry.set_alias(CHAMPION, version.version)
    verdict = steps.judge(mine.layout, mine.params, candidate, version)
    assert verdict.is_passed
    assert verdict.against == ""
    assert Verdict(**json.loads(mine.champion().tags[steps.GATE_TAG])) == verdict
    made.train(2, wrong)
    with pytest.raises(ReleaseRefused, match="stays challenger"):
        mine.release()


@contextmanager
def changed(path: Path, more: str) -> Iterator[None]:
    """Adds to a file while the block runs."""
    text = path.read_text()
    path.write_text(text + more)
    try:
        yield
    finally:
        path.write_text(text)


def test_the_champion_becomes_the_starter_and_is_known_again(made: Project, monkeypatch: pytest.MonkeyPatch):
    """Stored small it is less than half as large; release, card and lineage are of these very bytes."""
    monkeypatch.chdir(made.layout.root)
    champion = made.champion()
    run = CliRunner().invoke(app, ["make-starter"], catch_exceptions=False)
    assert run.exit_code == 0
    folder = made.layout.starter
    release = read_release(folder)
    full = download_model(champion.uri, project=made.layout.root) / "model.safetensors"
    assert (folder / "model.safetensors").stat().st_size < 0.5 * full.stat().st_size
    assert torch.int8 in {tensor.dtype for tensor in load_file(folder / "model.safetensors").values()}
    card = (folder / "README.md").read_text()
    assert champion.uri in card
    assert release.lineage.model_sha256 in card
    assert replace(release.lineage, model_sha256=champion.lineage.model_sha256) == champion.lineage
    facts = {"name": NAME, "version": release.version, "bento": "starter", "run_id": release.lineage.run_id}
    answer = json.dumps({"model": facts | {"data_hash": release.lineage.data_hash}})
    assert "starter           ok" in "\n".join(walk(made.layout, made.params, answer=answer))


def test_a_champion_that_is_too_large_leaves_the_starter_as_it_was(made: Project, monkeypatch: pytest.MonkeyPatch):
    """The repository carries it for ever: above the limit it is refused, with both sizes."""
    monkeypatch.chdir(made.layout.root)
    made.layout.starter.mkdir(exist_ok=True)
    (made.layout.starter / "mark").write_text("old")
    monkeypatch.setattr(starter_commands, "MAX_BYTES", 10_000)
    run = CliRunner().invoke(app, ["make-starter"])
    assert "0 MB at most once it is stored small, found 0." in str(run.exception)
    assert (made.layout.starter / "mark").read_text() == "old"
