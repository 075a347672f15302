"""Training batches: every image once, repeatable, and captions that fit the picture."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.data.batches import TrainingSet, describe_cut, encode_captions, epoch_batches, pad
from captiongen.params import AugmentationParams
from tests.tiny import tiny_tokenizer

PLAIN = AugmentationParams()


def training_set(num_images: int, *, side: int = 8) -> TrainingSet:
    pictures = np.zeros((num_images, side, side, 3), dtype=np.uint8)
    pictures[:, :, 0, 0] = 255  # the left column is red
    pictures[:, 0, 0, 1] = np.arange(num_images)  # and knows its number
    return TrainingSet(
        image_ids=[str(number) for number in range(num_images)],
        entries=pictures,
        tokens=[[[1, 10, 2], [1, 11, 12, 2]]] * num_images,
        mirrored_tokens=[[[1, 20, 2], [1, 21, 22, 2]]] * num_images,
        is_features=False,
    )


@settings(max_examples=25, deadline=None)
@given(num_images=st.integers(1, 23), batch_size=st.integers(1, 9), epoch=st.integers(1, 5))
def test_an_epoch_shows_every_image_once(num_images, batch_size, epoch):
    """No image is left out or repeated, whatever the batch size."""
    batches = list(
        epoch_batches(training_set(num_images), batch_size=batch_size, augmentation=PLAIN, seed=1, epoch=epoch)
    )
    shown = sorted(position for batch in batches for position in batch.positions)
    assert shown == list(range(num_images))
    for batch in batches:
        assert batch.inputs[:, 1, 0, 0].tolist() == list(batch.positions)


@settings(max_examples=15, deadline=None)
@given(num_images=st.integers(1, 23), batch_size=st.integers(1, 9), num_processes=st.integers(2, 4))
def test_shares_make_up_the_batch(num_images, batch_size, num_processes):
    """Each batch is parted without loss or overlap; a picture changes as it does in one process.

    A batch of fewer images than processes goes to all of them.
    """

    def batches(**share):
        return epoch_batches(
            training_set(num_images),
            batch_size=batch_size,
            augmentation=AugmentationParams(mirror=True, min_crop_area=0.5, colour=0.2),
            seed=1,
            epoch=1,
            **share,
        )

    of_processes = [batches(rank=rank, num_processes=num_processes) for rank in range(num_processes)]
    for whole, *shares in zip(batches(), *of_processes, strict=True):
        picture_of = dict(zip(whole.positions, whole.inputs, strict=True))
        for share in shares:
            for position, picture in zip(share.positions, share.inputs, strict=True):
                assert picture.equal(picture_of[position])
        if len(whole.positions) < num_processes:
            assert [share.positions for share in shares] == [whole.positions] * num_processes
        else:
            assert sorted(position for share in shares for position in share.positions) == list(whole.positions)


def test_epochs_differ_and_repeat_by_seed():
    """The order changes with the epoch and the seed, and only with them."""

    def order(seed, epoch):
        batches = epoch_batches(training_set(40), batch_size=8, augmentation=PLAIN, seed=seed, epoch=epoch)
        return [position for batch in batches for position in batch.positions]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)


def test_a_mirrored_picture_gets_the_mirrored_captions():
    """Where the red left column moved to the right, the tokens are those of the mirrored captions."""
    [batch] = epoch_batches(
        training_set(60), batch_size=60, augmentation=AugmentationParams(mirror=True), seed=0, epoch=1
    )
    is_mirrored = batch.inputs[:, 0, 4, -1] == 255
    assert 0 < int(is_mirrored.sum()) < 60
    for mirrored, tokens in zip(is_mirrored.tolist(), batch.tokens[:, 0, 1].tolist(), strict=True):
        assert tokens == (20 if mirrored else 10)


@pytest.mark.parametrize("augmentation", [AugmentationParams(min_crop_area=0.5), AugmentationParams(colour=0.4)])
def test_augmentation_changes_pixels_and_keeps_shape_and_range(augmentation):
    """Crops and colours leave uint8 pictures of the same size that differ from the originals."""
    data = training_set(12, side=16)
    [batch] = epoch_batches(data, batch_size=12, augmentation=augmentation, seed=0, epoch=1)
    assert batch.inputs.shape == (12, 3, 16, 16)
    assert str(batch.inputs.dtype) == "torch.uint8"
    assert (batch.inputs.permute(0, 2, 3, 1).numpy() != data.entries[list(batch.positions)]).any()


def test_captions_are_encoded_shortest_first_and_cut():
    """Each image's captions are in the order of their lengths, at most max_tokens after the begin token."""
    tokenizer = tiny_tokenizer()
    [encoded] = encode_captions([["A red ball in the dark is red .", "A ball"]], tokenizer, max_tokens=4)
    assert [len(tokens) for tokens in encoded] == [4, 5]
    assert encoded[0][-1] == tokenizer.eos_id
    assert encoded[1][-1] != tokenizer.eos_id


def test_captions_that_are_cut_are_counted():
    """What does not fit is told with the limit and the longest length; what fits exactly is not."""
    tokenizer, captions = tiny_tokenizer(), [["A red ball .", "A ball"], ["There is a red ball in the dark ."]]
    assert describe_cut(captions, tokenizer, max_tokens=9) is None
    told = describe_cut(captions, tokenizer, max_tokens=4)
    assert told is not None
    assert told.startswith("1 of 3 training captions are longer than train.decode.max_tokens=4 (the longest has 9")
    [_, [longest]] = encode_captions(captions, tokenizer, max_tokens=9)
    assert longest[-1] == tokenizer.eos_id


def test_short_lists_are_padded_with_empty_rows():
    """Images with fewer captions than others get rows of padding."""
    padded = pad([[[1, 5, 2]], [[1, 2], [1, 6, 7, 2]]], 0)
    assert padded.tolist() == [[[1, 5, 2, 0], [0, 0, 0, 0]], [[1, 2, 0, 0], [1, 6, 7, 2]]]


def test_features_of_mirrored_pictures_come_with_mirrored_captions():
    """With features of both, about half of the images are shown mirrored, each with the captions of what is shown."""
    num_images, plain = 40, training_set(40)
    features = np.arange(num_images, dtype=np.float16)[:, None, None, None]
    data = replace(plain, entries=features, is_features=True, mirrored_entries=features + 1000)
    [batch] = epoch_batches(data, batch_size=num_images, augmentation=PLAIN, seed=0, epoch=1)
    shown = batch.inputs.flatten().tolist()
    is_mirrored = [value >= 1000 for value in shown]
    assert [value % 1000 for value in shown] == list(batch.positions)
    assert 0.25 * num_images < sum(is_mirrored) < 0.75 * num_images
    for row, position, mirrored in zip(batch.tokens.tolist(), batch.positions, is_mirrored, strict=True):
        expected = (data.mirrored_tokens if mirrored else data.tokens)[position]
        assert [[token for token in caption if token] for caption in row] == [list(caption) for caption in expected]


def shown_images(data: TrainingSet, *, epoch: int) -> list[int]:
    batches = epoch_batches(data, batch_size=4, augmentation=PLAIN, seed=1, epoch=epoch)
    return [position for batch in batches for position in batch.positions]


def test_weights_of_one_change_nothing():
    """With every weight 1 the batches are those of a training set without weights, pixel by pixel."""
    augmentation = AugmentationParams(mirror=True, min_crop_area=0.5, colour=0.2)
    plain, weighted = training_set(23), replace(training_set(23), weights=[1.0] * 23)
    of_plain, of_weighted = (
        list(epoch_batches(data, batch_size=4, augmentation=augmentation, seed=1, epoch=1))
        for data in (plain, weighted)
    )
    for one, other in zip(of_plain, of_weighted, strict=True):
        assert one.positions == other.positions
        assert one.inputs.equal(other.inputs)
        assert one.tokens.equal(other.tokens)


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.floats(0.0, 4.0), min_size=1, max_size=23).filter(any), epoch=st.integers(1, 5))
def test_every_epoch_shows_an_image_as_often_as_its_weight_allows(weights, epoch):
    """Each image comes floor(w) times or once more, one image of all perhaps twice more; epochs are equally long."""
    data = replace(training_set(len(weights)), weights=weights)
    shown = Counter(shown_images(data, epoch=epoch))
    assert shown.total() == data.epoch_size == math.ceil(math.fsum(weights))
    beyond = [shown[position] - math.floor(weight) for position, weight in enumerate(weights)]
    assert min(beyond) >= 0
    assert sum(max(0, more - 1) for more in beyond) <= 1


def test_a_weight_is_the_mean_over_epochs():
    """Over many epochs an image comes as often as its weight says; weight 0 never, weight 2 twice each time."""
    weights = [0.0, 0.25, 0.5, 1.0, 1.25, 2.0, 3.0]  # they sum up to 8
    data = replace(training_set(len(weights)), weights=weights)
    epochs = [Counter(shown_images(data, epoch=epoch)) for epoch in range(200)]
    means = [sum(epoch[position] for epoch in epochs) / len(epochs) for position in range(len(weights))]
    assert means == pytest.approx(weights, abs=0.1)
    assert {epoch[0] for epoch in epochs} == {0}
    assert {epoch[5] for epoch in epochs} == {2}


def test_an_image_that_comes_twice_is_changed_anew_each_time():
    """Each showing of a picture is augmented by itself."""
    data = replace(training_set(1, side=16), weights=[8.0])
    [batch] = epoch_batches(data, batch_size=8, augmentation=AugmentationParams(colour=0.4), seed=0, epoch=1)
    assert len({tuple(picture.flatten().tolist()) for picture in batch.inputs}) == 8


@pytest.mark.parametrize("num_processes", [2, 3])
def test_processes_share_weighted_epochs(num_processes):
    """Several processes together show what one would, each showing of a picture changed as it would be there."""
    data = replace(training_set(20), weights=[1.0, 2.4] * 10)  # 34 images, which end with a batch of 2
    augmentation = AugmentationParams(mirror=True, min_crop_area=0.5, colour=0.2)

    def shown(**share):
        batches = epoch_batches(data, batch_size=4, augmentation=augmentation, seed=1, epoch=1, **share)
        return [
            list(zip(one.positions, [picture.sum().item() for picture in one.inputs], strict=True)) for one in batches
        ]

    shares = [shown(rank=rank, num_processes=num_processes) for rank in range(num_processes)]
    for whole, *parts in zip(shown(), *shares, strict=True):
        if len(whole) < num_processes:
            assert parts == [whole] * num_processes
        else:
            assert sorted(one for part in parts for one in part) == sorted(whole)


@pytest.mark.parametrize("min_crop_area", [0.5, 1.0])
def test_views_have_the_size_that_was_asked_for(min_crop_area):
    """Views may be smaller than the pictures: part of one, or, where nothing is cropped, the whole at another scale."""
    [batch] = epoch_batches(
        training_set(12, side=16),
        batch_size=12,
        augmentation=AugmentationParams(min_crop_area=min_crop_area),
        seed=0,
        epoch=1,
        view_size_px=8,
    )
    assert batch.inputs.shape == (12, 3, 8, 8)
    if min_crop_area == 1.0:
        assert (batch.inputs[:, 0, :, 0] > 100).all()  # half of the left column's red
        assert not batch.inputs[:, 0, :, 4:].any()
