"""The committed params.yaml is the sample's preset, and each preset is valid."""

from pathlib import Path

import pytest

from captiongen.cli.presets import read_preset
from captiongen.model.checkpoint import read_manifest
from captiongen.params import load_params


def test_the_repository_is_switched_to_scenes(project: Path):
    """params.yaml equals presets/scenes.yaml, byte for byte."""
    preset = project / "src" / "captiongen" / "presets" / "scenes.yaml"
    assert (project / "params.yaml").read_bytes() == preset.read_bytes()


@pytest.mark.parametrize(
    ("preset", "dataset"), [("scenes", "scenes"), ("flickr8k", "flickr8k"), ("starter", "flickr8k")]
)
def test_every_preset_is_valid(project: Path, preset: str, dataset: str):
    """`load_params` reads each preset, and its data set carries the preset's name; the starter's is of photographs."""
    params = load_params(project / "src" / "captiongen" / "presets" / f"{preset}.yaml")
    assert params.ingest.name == dataset


def test_the_starter_s_preset_is_what_the_starter_was_made_with(project: Path):
    """`make starter` trains what lies in models/starter: what a captioner keeps of its settings is the preset's."""
    manifest, preset = read_manifest(project / "models" / "starter"), read_preset("starter")
    train = preset.train
    assert (manifest.encoder, manifest.decoder, manifest.decode) == (train.encoder, train.decoder, train.decode)
    assert manifest.reranker == train.reranker
    assert (manifest.image_size_px, manifest.resize) == (preset.preprocess.image_size_px, preset.preprocess.resize)
    assert manifest.dataset == preset.ingest.name
