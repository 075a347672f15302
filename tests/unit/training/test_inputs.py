"""What the loop reads of each image: kept for these very pictures, and for no others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from captiongen.data.shards import ProcessedData, open_processed, write_index, write_shards
from captiongen.model.encoder import build_encoder
from captiongen.params import EncoderParams
from captiongen.training.inputs import load_features, load_pictures
from tests.tiny import encoded, tiny_picture, tiny_processed

_CPU = torch.device("cpu")


@pytest.fixture
def data(tmp_path: Path) -> ProcessedData:
    return open_processed(tiny_processed(tmp_path / "processed", repeats=1))


def _rewritten(data: ProcessedData, **changes: object) -> ProcessedData:
    """The same data with these fields of every dev row changed, in place; all other facts of the index stay."""
    rows = [replace(row, **changes) for row in data.rows("dev")]
    written = write_shards(rows, data.folder / "shards", images_per_shard=100)
    changed = replace(data, picture_hashes={**data.picture_hashes, **written.picture_hashes})
    write_index(changed)
    return open_processed(data.folder)


def test_other_pixels_are_read_anew(tmp_path: Path, data: ProcessedData):
    """Pictures that another Pillow prepared differently are not read from the cache, as evaluation does not either."""
    encoder = build_encoder(EncoderParams(name="test_convnext", output_stride=16))
    load_pictures(data, "dev", tmp_path / "cache")
    features = load_features(data, "dev", encoder, tmp_path / "cache", device=_CPU)
    changed = _rewritten(data, image_png=encoded(tiny_picture("yellow", "box", seed=5)))
    pictures = load_pictures(changed, "dev", tmp_path / "cache")
    np.testing.assert_array_equal(pictures[0], np.asarray(tiny_picture("yellow", "box", seed=5)))
    assert not np.array_equal(load_features(changed, "dev", encoder, tmp_path / "cache", device=_CPU), features)


def test_other_captions_leave_features_as_they_are(tmp_path: Path, data: ProcessedData):
    """Hours of encoding are not repeated for a corrected caption."""
    encoder = build_encoder(EncoderParams(name="test_convnext", output_stride=16))
    load_features(data, "dev", encoder, tmp_path / "cache", device=_CPU)
    kept = sorted(path.name for path in (tmp_path / "cache").iterdir())
    changed = replace(_rewritten(data, captions=("Another .",)), data_hash="1" * 64, split_hashes={"dev": "2" * 64})
    load_features(changed, "dev", encoder, tmp_path / "cache", device=_CPU)
    assert sorted(path.name for path in (tmp_path / "cache").iterdir()) == kept
