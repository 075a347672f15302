"""The official archives, where they are: read as they are, oddities included."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from captiongen.data.images import decode_image, prepare
from captiongen.data.sources import Source, open_source
from captiongen.params import IngestParams, TokenizerParams
from captiongen.text.normalise import normalise_caption
from captiongen.text.tokenizer import CaptionTokenizer
from captiongen.types import Preprocessing

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def source(real_data: Path) -> Source:
    return open_source(IngestParams(source="flickr8k", path="", name="flickr8k"), real_data)


def test_every_image_and_caption_is_accounted_for(source: Source):
    """7,091 images and 35,460 caption lines go in; the one orphan id, with five captions, is the only rejection."""
    items, rejections = list(source.items()), source.rejections()
    assert len(items) == 7_091
    assert Counter(item.split for item in items) == {"train": 6_000, "dev": 500, "test": 500, "unused": 91}
    assert {len(item.captions) for item in items} == {5}
    assert [(rejection.image_id, len(rejection.captions)) for rejection in rejections] == [
        ("2258277193_586949ec62.jpg.1", 5)
    ]
    assert sum(len(entry.captions) for entry in (*items, *rejections)) == 35_460


def test_the_known_copy_has_the_same_bytes(source: Source):
    """The two names of one picture, which the release is known for, read as the same bytes."""
    paths = {item.image_id: item.path for item in source.items()}
    names = ("2851198725_37b6027625.jpg", "3050606344_af711c726c.jpg")
    assert len({hashlib.sha256(source.read(paths[name])).hexdigest() for name in names}) == 1


def test_pictures_decode_to_the_models_size(source: Source):
    """A picture from each hundred decodes and has the model's shape."""
    for item in list(source.items())[::100]:
        assert prepare(decode_image(source.read(item.path)), Preprocessing(224, "squash")).shape == (224, 224, 3)


def test_a_word_vocabulary_of_training_captions_covers_the_rest(source: Source):
    """A minimum count of 3 keeps about 3,500 words, and 2 to 3 % of the test half's words stay unknown."""
    captions = {
        split: [caption for item in source.items() if item.split == split for caption in item.captions]
        for split in ("train", "test")
    }
    tokenizer = CaptionTokenizer.train(captions["train"], TokenizerParams(min_count=3))
    assert 3_300 < tokenizer.vocabulary_size < 3_700
    ids = [token_id for caption in captions["test"] for token_id in tokenizer.encode(caption)[1:-1]]
    assert 0.02 < ids.count(tokenizer.unk_id) / len(ids) < 0.03
    known = [caption for caption in captions["train"] if tokenizer.unk_id not in tokenizer.encode(caption)]
    assert len(known) > 0.8 * len(captions["train"])
    assert all(tokenizer.decode(tokenizer.encode(caption)) == normalise_caption(caption) for caption in known)
