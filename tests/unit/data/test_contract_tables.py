"""The tables that the data contract is judged on."""

from itertools import combinations

import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.data.contract_tables import contract_tables


def manifest(*rows: dict[str, object]) -> pd.DataFrame:
    """Rows with defaults that differ from picture to picture."""
    defaults = [
        {
            "image_id": f"{number}.jpg",
            "path": f"{number}.jpg",
            "sha256": f"{number:064x}",
            "perceptual_hash": f"{number * 0x1111_1111_1111_1111 % 2**64:016x}",
            "width_px": 100,
            "height_px": 50,
            "is_decodable": True,
            "captions": [f"a dog number {number}"],
            "split": "train",
        }
        for number in range(1, len(rows) + 1)
    ]
    return pd.DataFrame([default | row for default, row in zip(defaults, rows, strict=True)])


def test_images_know_their_sides_and_aspect():
    """Sides are sorted by length, the aspect is the longer by the shorter, and both are null without a picture."""
    tables = contract_tables(
        manifest({"width_px": 50, "height_px": 200}, {"is_decodable": False}), near_duplicate_distance=2
    )
    assert tables.images[["shorter_side_px", "longer_side_px", "aspect_ratio"]].iloc[0].tolist() == [50.0, 200.0, 4.0]
    assert tables.images[["shorter_side_px", "aspect_ratio"]].iloc[1].isna().all()


def test_images_count_captions_and_their_repetitions():
    """Captions that differ in case and punctuation only are repetitions."""
    tables = contract_tables(
        manifest({"captions": ["A dog.", "a dog", "A DOG !", "a cat"]}, {"captions": None}), near_duplicate_distance=2
    )
    assert tables.images["num_captions"].tolist() == [4, 0]
    assert tables.images["num_repeated_captions"].tolist() == [2, 0]


def test_images_without_an_id_are_named_by_their_position():
    """`row` is the image id, or the number of the row, from 1."""
    tables = contract_tables(manifest({}, {"image_id": None}), near_duplicate_distance=2)
    assert tables.images["row"].tolist() == ["1.jpg", "row 2"]


def test_captions_are_named_by_image_and_number():
    """Each caption has a row `image_id#number` with the number of its words; null captions have none."""
    captions = contract_tables(manifest({"captions": ["A dog runs .", None]}), near_duplicate_distance=2).captions
    assert captions["row"].tolist() == ["1.jpg#0", "1.jpg#1"]
    assert captions["num_tokens"].iloc[0] == 3
    assert captions[["caption", "num_tokens"]].iloc[1].isna().all()


def test_fractions_of_splits_leave_unused_images_out():
    """Fractions of train, dev and test sum to one, however many images are unused."""
    rows = [{"split": split} for split in ("train", "train", "dev", "test", "unused", "unused")]
    splits = contract_tables(manifest(*rows), near_duplicate_distance=2).splits.iloc[0]
    assert (splits["train"], splits["dev"], splits["test"]) == (0.5, 0.25, 0.25)


def test_the_vocabulary_counts_training_words_and_unseen_test_words():
    """Distinct words of train; of test's running words the share that train never has."""
    tables = contract_tables(
        manifest(
            {"captions": ["A dog runs .", "a dog sits"]},
            {"captions": ["A dog meows , meows ."], "split": "test"},
        ),
        near_duplicate_distance=2,
    )
    assert tables.vocabulary["num_train_words"].item() == 4
    assert tables.vocabulary["unseen_words_fraction"].item() == 0.5


def test_copies_are_paired_once_per_neighbour_and_never_with_a_distance():
    """Three copies of one file in train and test make two pairs, one of them across; `distance` is null for copies."""
    same = {"sha256": "a" * 64, "perceptual_hash": "0123456789abcdef"}
    tables = contract_tables(
        manifest(same | {"split": "train"}, same | {"split": "train"}, same | {"split": "test"}),
        near_duplicate_distance=2,
    )
    assert tables.pairs_within_split["row"].tolist() == ["1.jpg (train) = 2.jpg (train)"]
    assert tables.pairs_across_splits["row"].tolist() == ["3.jpg (test) = 1.jpg (train)"]
    assert tables.pairs_across_splits["is_same_file"].all()
    assert tables.pairs_across_splits["distance"].isna().all()


def test_a_pair_with_an_unused_picture_is_no_leak():
    """A look-alike among the unused pictures counts as within a split."""
    same = {"perceptual_hash": "0123456789abcdef"}
    tables = contract_tables(manifest(same, same | {"split": "unused"}), near_duplicate_distance=2)
    assert tables.pairs_across_splits.empty
    assert tables.pairs_within_split["distance"].tolist() == [0.0]


def test_pictures_that_do_not_decode_have_no_lookalikes():
    """The empty hash of undecodable files pairs nothing."""
    broken = {"is_decodable": False, "perceptual_hash": ""}
    tables = contract_tables(manifest(broken, broken), near_duplicate_distance=2)
    assert tables.pairs_within_split.empty


@settings(max_examples=30, deadline=None)
@given(
    hashes=st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=8),
    flips=st.lists(st.tuples(st.integers(0, 7), st.integers(0, 63)), max_size=6),
    splits=st.lists(st.sampled_from(["train", "dev", "test"]), min_size=8, max_size=8),
)
def test_a_leak_is_found_exactly_when_two_pictures_of_different_splits_are_close(
    hashes: list[int], flips: list[tuple[int, int]], splits: list[str]
):
    """Against the plain comparison of all pairs, with hashes made close by flipping bits of the first."""
    near = [(hashes[0] ^ (1 << bit)) for _, bit in flips]
    values = (hashes + near)[:8]
    rows = [{"perceptual_hash": f"{value:016x}", "split": split} for value, split in zip(values, splits, strict=False)]
    tables = contract_tables(manifest(*rows), near_duplicate_distance=2)
    pairs = combinations(zip(values, splits, strict=False), 2)
    expected = {(a ^ b).bit_count() for (a, split_a), (b, split_b) in pairs if split_a != split_b}
    found = set(tables.pairs_across_splits["distance"])
    assert {distance for distance in found if distance <= 2} == {distance for distance in expected if distance <= 2}
