"""Accepted corrections change the train split, and nothing else."""

import hashlib
from datetime import UTC, datetime, timedelta
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.data.corrected import Corrected, UsableImage, correct
from captiongen.data.corrections import Decision, Kind, Picture, Proposal
from captiongen.data.look_alikes import perceptual_hash
from captiongen.errors import DataError
from tests.corrected import drop, merge, relabel, weigh
from tests.datasets import encode, gradient

_NOON = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
_CAPTIONS = ("A dog .", "A dog runs .", "A dog .")


def _image(image_id: str, split: str, *, seed: int) -> UsableImage:
    picture = gradient(seed=seed)
    sha256 = hashlib.sha256(encode(picture)).hexdigest()
    return UsableImage(image_id, image_id, sha256, perceptual_hash(picture), _CAPTIONS, split)


IMAGES = [
    _image("a", "train", seed=1),
    _image("b", "train", seed=2),
    _image("c", "dev", seed=3),
    _image("d", "test", seed=4),
]


def add(folder: Path, data: bytes, caption: str = "A cat sleeps.", image_id: str = "new") -> Proposal:
    sha256 = hashlib.sha256(data).hexdigest()
    (folder / f"{sha256[:8]}.png").write_bytes(data)
    picture = Picture(f"{sha256[:8]}.png", sha256)
    return Proposal(Kind.ADD_IMAGE, (image_id,), "feedback", "By a user.", 1.0, instead=caption, picture=picture)


def corrected(*proposals: Proposal, pictures: Path = Path()) -> Corrected:
    decisions = [Decision(one, _NOON + timedelta(minutes=number)) for number, one in enumerate(proposals)]
    return correct(IMAGES, decisions[::-1], pictures=pictures, near_duplicate_distance=2)


def captions_of(result: Corrected) -> dict[str, tuple[str, ...]]:
    return {image.image_id: image.captions for image in result.images if image.split == "train"}


def test_without_decisions_nothing_changes():
    """The images are those that came in, and there is nothing to tell."""
    assert corrected().images == tuple(IMAGES)
    assert corrected().describe() == ()


def test_captions_are_dropped_merged_and_relabelled():
    """A drop takes all of this text, a merge all but the first, a relabelling writes the new text in their place."""
    assert captions_of(corrected(drop("a", "A dog .")))["a"] == ("A dog runs .",)
    assert captions_of(corrected(merge("a", "A dog .")))["a"] == ("A dog .", "A dog runs .")
    result = corrected(relabel("a", "A dog .", "A cat ."))
    assert captions_of(result)["a"] == ("A cat .", "A dog runs .", "A cat .")
    assert captions_of(result)["b"] == _CAPTIONS
    assert result.describe() == ("1 x relabel_caption applied",)


def test_decisions_are_followed_in_the_order_they_were_made():
    """What was relabelled first can be dropped later, whatever order the file has them in."""
    result = corrected(relabel("a", "A dog .", "A cat ."), drop("a", "A cat ."))
    assert captions_of(result)["a"] == ("A dog runs .",)
    assert result.unused == ()


def test_a_merged_caption_stands_once_whatever_was_decided_first():
    """Merged before or after it is relabelled, and where another caption becomes it, equal captions are one."""
    for decisions in permutations([merge("a", "A dog ."), relabel("a", "A dog .", "A cat .")]):
        result = corrected(*decisions)
        assert captions_of(result)["a"] == ("A cat .", "A dog runs .")
        assert result.describe() == ("1 x merge_captions applied", "1 x relabel_caption applied")
    for decisions in permutations([merge("a", "A dog ."), relabel("a", "A dog runs .", "A dog .")]):
        result = corrected(*decisions)
        assert captions_of(result)["a"] == ("A dog .",)
        assert result.unused == ()


def test_a_new_text_can_be_merged_and_relabelled():
    """A caption that stands in the image only between two decisions is merged too."""
    decisions = [relabel("a", "A dog .", "A cat ."), relabel("a", "A cat .", "A cow ."), merge("a", "A cat .")]
    result = corrected(*decisions)
    assert captions_of(result)["a"] == ("A cow .", "A dog runs .")
    assert result.unused == ()


def test_an_image_leaves_with_its_last_caption():
    """An image without captions teaches nothing: it leaves, and the message counts and names it."""
    result = corrected(drop("a", "A dog ."), drop("a", "A dog runs ."))
    assert "a" not in captions_of(result)
    assert "1 training images left with their last caption: a" in result.describe()


def test_the_last_weight_counts():
    """A later weight replaces an earlier one; weight 1 is no weight; ids that are gone are told, the rest is used."""
    result = corrected(weigh("a", "b", "z", weight=3.0), weigh("a", weight=0.5))
    assert result.weights == {"a": 0.5, "b": 3.0}
    assert [one.reason for one in result.unused] == ["1 of 3 images are not in split train: z"]
    assert corrected(weigh("a", weight=3.0), weigh("a", weight=1.0)).weights == {}


@pytest.mark.parametrize(
    ("proposal", "reason"),
    [
        (drop("a", "A cow ."), "no such caption"),
        (merge("a", "A cow ."), "no such caption"),
        (merge("d", "A dog ."), "split test, which is never corrected"),
        (drop("z", "A dog ."), "no such training image"),
        (relabel("c", "A dog .", "A cat ."), "split dev, which is never corrected"),
        (weigh("c", "d", weight=2.0), "2 of 2 images are not in split train: c, d"),
    ],
)
def test_a_decision_that_fits_no_more_is_told(proposal: Proposal, reason: str):
    """What is gone, or is no training image, changes nothing; the decision is named with the reason."""
    result = corrected(proposal)
    assert result.images == tuple(IMAGES)
    assert result.weights == {}
    [line] = result.describe()
    assert line.startswith(f"{proposal} was not applied: ")
    assert reason in line


_PROPOSALS = st.builds(drop, st.sampled_from("abcdz"), st.sampled_from([*_CAPTIONS, "A cow ."])) | st.builds(
    relabel, st.sampled_from("abcdz"), st.sampled_from(_CAPTIONS), st.sampled_from(["A cat .", "A dog ."])
)
_MERGES = st.builds(merge, st.sampled_from("abcdz"), st.sampled_from([*_CAPTIONS, "A cat .", "A cow ."]))


@settings(max_examples=60)
@given(proposals=st.lists(_PROPOSALS | _MERGES, max_size=6))
def test_dev_and_test_never_change(proposals: list[Proposal]):
    """Whatever was accepted, dev and test are what they were, and each decision was followed or told."""
    try:
        result = corrected(*proposals)
    except DataError:
        return  # nothing was left of the train split
    assert [image for image in result.images if image.split != "train"] == IMAGES[2:]
    assert result.num_applied.total() + len(result.unused) == len(proposals)


@settings(max_examples=60)
@given(
    st.data(), st.lists(_PROPOSALS, max_size=4), st.lists(_MERGES, min_size=1, max_size=3, unique_by=lambda one: one.id)
)
def test_it_does_not_matter_when_captions_were_merged(
    data: st.DataObject, others: list[Proposal], merges: list[Proposal]
):
    """Wherever merges stand among other decisions, the images are the same, and the same is told."""
    mixed = list(others)
    for one in merges:
        mixed.insert(data.draw(st.integers(0, len(mixed))), one)
    try:
        first = corrected(*merges, *others)
    except DataError:
        return  # nothing was left of the train split
    second = corrected(*mixed)
    assert second.images == first.images
    assert set(second.describe()) == set(first.describe())


def test_no_training_images_are_an_error():
    """Corrections that leave nothing to learn from stop here, in words."""
    with pytest.raises(DataError, match="found none to which the accepted corrections leave a caption"):
        corrected(*(drop(image_id, caption) for image_id in "ab" for caption in _CAPTIONS[:2]))
    with pytest.raises(DataError, match="a weight"):
        corrected(weigh("a", "b", weight=0.0))


def test_a_picture_is_added_to_train_with_its_captions(tmp_path: Path):
    """An accepted picture is a training image; a second caption of it joins the first, the same one again does not."""
    data = encode(gradient(seed=9))
    result = corrected(
        add(tmp_path, data), add(tmp_path, data, "Fur ."), add(tmp_path, data, "a cat sleeps"), pictures=tmp_path
    )
    assert captions_of(result)["new"] == ("A cat sleeps.", "Fur .")
    [image] = [image for image in result.images if image.is_added]
    assert (image.split, image.sha256) == ("train", hashlib.sha256(data).hexdigest())
    assert [one.reason for one in result.unused] == ["new is this picture, and has this caption"]


def test_a_training_picture_that_is_added_again_gets_the_caption(tmp_path: Path):
    """No picture is learned from twice: the caption joins those of the image that is there."""
    result = corrected(add(tmp_path, encode(gradient(seed=1))), pictures=tmp_path)
    assert captions_of(result) == {"a": (*_CAPTIONS, "A cat sleeps."), "b": _CAPTIONS}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode(gradient(seed=4)), "the picture is d of split test"),
        (encode(gradient(seed=3), "BMP"), "the picture is within 0 bits of c of split dev"),
        (b"no picture", "found no such header"),
    ],
)
def test_a_picture_that_models_are_scored_on_is_not_learned(data: bytes, reason: str, tmp_path: Path):
    """A file or look-alike of dev or test, or what is no picture, is refused with the reason."""
    result = corrected(add(tmp_path, data), pictures=tmp_path)
    assert result.images == tuple(IMAGES)
    assert reason in result.describe()[0]


def test_an_added_picture_does_not_take_the_name_of_another(tmp_path: Path):
    """An id that an image of the data set has is refused."""
    result = corrected(add(tmp_path, encode(gradient(seed=9)), image_id="b"), pictures=tmp_path)
    assert [one.reason for one in result.unused] == ["there is another image of this name"]


def test_a_missing_or_changed_picture_stops(tmp_path: Path):
    """What was accepted cannot be followed without its picture: the message says how to get it."""
    proposal = add(tmp_path, encode(gradient(seed=9)))
    path = tmp_path / proposal.picture.file
    path.write_bytes(b"another")
    with pytest.raises(DataError, match="dvc checkout --force"):
        corrected(proposal, pictures=tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="dvc pull"):
        corrected(proposal, pictures=tmp_path)
