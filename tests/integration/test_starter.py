"""The captioner that comes with the repository."""

import json
from pathlib import Path

import pytest
from tiny import encoded, tiny_picture
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.cli.starter_commands import MAX_BYTES, NAME
from captiongen.model.checkpoint import load_captioner
from captiongen.model.matcher import load_matcher
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


def test_the_matcher_of_the_repository_looks_through_its_encoder(project: Path, starter: Path):
    """The judge's default model and its default matcher fit each other."""
    _, manifest = load_matcher(project / "models" / "matcher")
    assert manifest.encoder_sha256 == load_captioner(starter).captioner.encoder.sha256()
    assert manifest.data_hash == load_captioner(starter).manifest.data_hash
