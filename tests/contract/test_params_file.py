"""The committed params.yaml is the sample's preset, and each preset is valid."""

from pathlib import Path

import pytest

from captiongen.params import load_params


def test_the_repository_is_switched_to_scenes(project: Path):
    """params.yaml equals presets/scenes.yaml, byte for byte."""
    preset = project / "src" / "captiongen" / "presets" / "scenes.yaml"
    assert (project / "params.yaml").read_bytes() == preset.read_bytes()


@pytest.mark.parametrize("name", ["scenes", "flickr8k"])
def test_every_preset_is_valid(project: Path, name: str):
    """`load_params` reads each preset, and its data set carries the preset's name."""
    params = load_params(project / "src" / "captiongen" / "presets" / f"{name}.yaml")
    assert params.ingest.name == name
