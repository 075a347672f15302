"""The captioner that comes with the repository."""

import json
from pathlib import Path

import pytest
from tiny import encoded, tiny_picture
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.cli.starter_commands import MAX_BYTES, NAME
from captiongen.model.checkpoint import load_captioner
from captiongen.model.release import RELEASE_FILE, read_release


@pytest.fixture
def starter(project: Path) -> Path:
    return project / "models" / "starter"


def test_it_is_small_and_holds_no_pickle(starter: Path):
    """Weights, tokenizer, manifest, release and card are all there is, 20 MB at most."""
    files = {path.name: path.stat().st_size for path in starter.iterdir()}
    assert files.keys() == {"model.safetensors", "tokenizer.json", "manifest.json", RELEASE_FILE, "README.md"}
    assert sum(files.values()) <= MAX_BYTES


def test_its_release_and_its_card_are_of_these_weights(starter: Path):
    """What an answer names as its ancestors, and what people read, belongs to the bytes that answer."""
    release = read_release(starter)
    assert release.name == NAME
    assert not release.lineage.is_dirty
    assert f"`{release.lineage.model_sha256}`" in (starter / "README.md").read_text()
    assert load_captioner(starter).manifest.data_hash == release.lineage.data_hash


def test_it_captions_a_picture_right_after_setup(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With no training, registry or network, a picture gets a caption, with what it and each word may be relied on."""
    picture = tmp_path / "ball.png"
    picture.write_bytes(encoded(tiny_picture("red", "ball", size=(320, 240))))
    monkeypatch.chdir(project)
    run = CliRunner().invoke(app, ["caption", str(picture), "--model", "starter", "--json"], catch_exceptions=False)
    answer = json.loads(run.stdout)
    assert len(answer["caption"].split()) == len(answer["words"]) >= 3
    assert all(0.0 < word["probability"] <= 1.0 for word in answer["words"])
    assert all(0.0 <= part["confidence"] <= 1.0 for part in (answer, *answer["words"]))


def test_it_is_asked_where_nothing_was_trained(
    project: Path, starter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """In a fresh clone `captiongen caption PHOTO`, with no model named, gives the starter's caption, and says so."""
    (tmp_path / "clone" / "models").mkdir(parents=True)
    (tmp_path / "clone" / "models" / "starter").symlink_to(starter)
    params = (project / "params.yaml").read_text()
    # BentoML's store is shared by tests that release: under this name it has nothing.
    (tmp_path / "clone" / "params.yaml").write_text(params.replace("model_name: captiongen", "model_name: unreleased"))
    picture = tmp_path / "ball.png"
    picture.write_bytes(encoded(tiny_picture("red", "ball", size=(320, 240))))
    monkeypatch.chdir(tmp_path / "clone")
    unnamed = CliRunner().invoke(app, ["caption", str(picture)], catch_exceptions=False)
    named = CliRunner().invoke(app, ["caption", str(picture), "--model", "starter"], catch_exceptions=False)
    assert unnamed.stdout == named.stdout
    assert f"captions by {NAME} version" in unnamed.stderr


def test_the_starter_chooses_among_captions_and_judges(starter: Path):
    """It has a reranker whose every kind of evidence counts, and with it the matcher that `judge` compares with."""
    loaded = load_captioner(starter)
    assert loaded.manifest.decode.choice == "reranked"
    assert loaded.captioner.matcher is not None
    assert (loaded.captioner.reranker.weights > 0).all()
