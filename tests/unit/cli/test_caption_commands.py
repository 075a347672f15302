"""`captiongen caption` and `show` with a tiny model."""

import json
import shutil
from pathlib import Path

import pytest
from evaluated import evaluated
from tiny import encoded, tiny_model_folder, tiny_picture
from typer.testing import CliRunner, Result

from captiongen.cli import caption_commands
from captiongen.cli.app import app
from captiongen.cli.layout import Layout
from captiongen.data.captions_table import read_facts, write_captions
from captiongen.errors import DataError, UsageError
from captiongen.inference import CaptionEngine


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that searches with three beams."""
    return tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(tiny_picture()))
    return path


def ask(picture: Path, model: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["caption", str(picture), "--model", str(model), "--json", *options])


def test_alternatives_leave_the_best_caption_as_it_is(picture: Path, model: Path):
    """More captions are the first of the same n-best list."""
    alone = json.loads(ask(picture, model).stdout)
    among = json.loads(ask(picture, model, "--alternatives", "3").stdout)
    assert len(among["alternatives"]) == 3
    assert (among["caption"], among["alternatives"][0]) == (alone["caption"], alone["alternatives"][0])


def test_more_alternatives_than_beams_are_refused(picture: Path, model: Path):
    """A wider search would find another best caption than the one that was evaluated and is served."""
    result = ask(picture, model, "--alternatives", "4")
    assert isinstance(result.exception, UsageError)
    assert "at most 3" in str(result.exception)
    assert result.stdout == ""


def test_pictures_that_are_missing_keep_no_others_from_their_captions(picture: Path, model: Path):
    """All missing ones are named, once each, the others are captioned, and it is an error of the data."""
    missing = [picture.with_name("b.png"), picture.with_name("c.png")]
    result = ask(picture, model, *map(str, missing))
    assert json.loads(result.stdout)["image"] == str(picture)
    assert result.stderr.splitlines() == [f"{path}: No such file or directory" for path in missing]
    assert isinstance(result.exception, DataError)


def test_a_misspelt_model_is_guessed(picture: Path):
    """What --help offers is listed, and the starter is suggested where it was probably meant."""
    told = str(ask(picture, Path("startr")).exception)
    assert "bento:TAG, 'starter'" in told
    assert "Did you mean 'starter'?" in told


def test_missing_pictures_alone_are_a_wrong_call(picture: Path, model: Path):
    """Where no path is there, all are named before any model is loaded."""
    result = ask(picture.with_name("b.png"), model, str(picture.with_name("c.png")))
    assert isinstance(result.exception, UsageError)
    assert all(name in str(result.exception) for name in ("b.png", "c.png"))


@pytest.mark.parametrize("method", ["greedy", "sample"])
def test_alternatives_of_a_model_without_beams_are_refused(picture: Path, tmp_path: Path, method: str):
    """A search that finds one caption says so, instead of giving one where several were asked for."""
    model = tiny_model_folder(tmp_path / "captioner")
    manifest = json.loads((model / "manifest.json").read_text())
    manifest["decode"]["method"] = method
    (model / "manifest.json").write_text(json.dumps(manifest))
    assert ask(picture, model).exit_code == 0
    result = ask(picture, model, "--alternatives", "2")
    assert isinstance(result.exception, UsageError)
    assert method in str(result.exception)


def test_a_shown_caption_is_kept_until_model_picture_or_code_change(
    picture: Path, model: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second look at a picture loads no model; after a change of the code it is captioned anew."""
    first = caption_commands._caption_once(picture, model)
    loaded: list[Path] = []
    load = CaptionEngine.load
    monkeypatch.setattr(CaptionEngine, "load", lambda folder: loaded.append(folder) or load(folder))
    assert caption_commands._caption_once(picture, model) == first
    assert loaded == []
    monkeypatch.setattr(caption_commands, "_own_code", lambda: "other code", raising=False)
    assert caption_commands._caption_once(picture, model) == first
    assert loaded == [model]


@pytest.fixture
def shown(project: Path, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with data of the hash 000..., evaluated with another model than the one that is there."""
    made = evaluated(tmp_path)
    shutil.copy(project / "params.yaml", tmp_path / "params.yaml")
    layout = Layout(tmp_path)
    for made_folder, folder in ((made.data_folder, layout.processed), (made.evaluation_folder, layout.evaluation)):
        folder.parent.mkdir(parents=True, exist_ok=True)
        made_folder.rename(folder)
    captions = layout.evaluation / "captions.parquet"
    write_captions(captions, made.images, facts=read_facts(captions) | {"model_sha256": "ab" * 32})
    shutil.copytree(model, layout.model)
    monkeypatch.chdir(tmp_path)
    return layout.model


def _edit_manifest(folder: Path, **changes: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def _show(model: Path) -> str:
    return CliRunner().invoke(app, ["show", "--model", str(model)], catch_exceptions=False).stdout


def test_a_model_of_this_data_is_shown_a_held_out_picture(shown: Path):
    """The picture is said to be held out, and the model and its data set are named."""
    _edit_manifest(shown, data_hash="0" * 64, dataset="tiny")
    said = _show(shown)
    assert "test split, never trained on)" in said
    assert f"model       {shown}, trained on tiny" in said
    assert "other data" not in said


def test_a_model_of_other_data_is_said_to_be_one(shown: Path):
    """After the data set was switched nothing is claimed of the picture, and the old model is named as what it is."""
    _edit_manifest(shown, data_hash="5" * 64, dataset="scenes")
    said = _show(shown)
    assert "never trained on" not in said
    assert "trained on other data (scenes 55555555)" in said
    assert "metrics below are of the model in models/captioner, which is another one" in said
