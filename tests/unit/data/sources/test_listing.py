"""Grouping annotations by image, and drawing splits."""

import random
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given

from captiongen.data.sources.listing import Annotation, Listing, gather, parse_split, seeded, seeded_split
from captiongen.data.sources.stores import open_store
from captiongen.params import IngestParams
from captiongen.types import Rejection
from tests.datasets import write_files

_FRACTIONS = {"train": 0.8, "dev": 0.1, "test": 0.1}


class _AnyStore:
    """Has every file."""

    def names(self) -> list[str]:
        return []

    def __contains__(self, name: object) -> bool:
        return True

    def read(self, name: str) -> bytes:
        return b""


def _gather(tmp_path: Path, *lines: Annotation | Rejection) -> Listing:
    write_files(tmp_path, {"a.png": b"", "b.png": b""})
    return gather(lines, store=open_store(tmp_path), split_of=lambda _: "unused")


def test_captions_are_grouped_by_image_in_file_order(tmp_path: Path):
    """Lines of several images may be mixed; captions keep their order, images are sorted."""
    lines = [Annotation("b", "b.png", ("1",)), Annotation("a", "a.png", ("2",)), Annotation("b", "b.png", ("3", "4"))]
    listing = _gather(tmp_path, *lines)
    assert [(item.image_id, item.captions) for item in listing.items] == [("a", ("2",)), ("b", ("1", "3", "4"))]
    assert listing.rejections == ()


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([Annotation("c", "c.png", ("x",))], "missing"),
        ([Annotation("a", "a.png")], "no caption"),
        ([Annotation("a", "../a.png", ("x",))], "leads out"),
        ([Annotation("a", "a.png", ("x",), "train"), Annotation("a", "a.png", ("y",), "test")], "several splits"),
        ([Annotation("a", "a.png", ("x",)), Annotation("a", "b.png", ("y",))], "several files"),
    ],
)
def test_what_cannot_go_on_is_rejected_with_its_captions(tmp_path: Path, lines: list[Annotation], reason: str):
    """Each fault has its own reason, and no caption is lost."""
    listing = _gather(tmp_path, *lines)
    assert listing.items == ()
    (rejection,) = listing.rejections
    assert reason in rejection.reason
    assert rejection.captions == tuple(caption for line in lines for caption in line.captions)


def test_one_line_may_name_the_split_of_all(tmp_path: Path):
    """A split that one line names holds for the image; without any, the default is asked."""
    listing = _gather(
        tmp_path,
        Annotation("a", "a.png", ("x",)),
        Annotation("a", "a.png", (), "dev"),
        Annotation("b", "b.png", ("y",)),
    )
    assert [item.split for item in listing.items] == ["dev", "unused"]


@given(
    captions=st.lists(st.tuples(st.sampled_from("abcdefghij"), st.text(max_size=5)), min_size=1, max_size=40),
    num_kept=st.integers(1, 40),
    seed=st.integers(0, 2**31),
    order=st.randoms(use_true_random=False),
)
def test_seeded_split_is_by_image_and_nothing_else(
    captions: list[tuple[str, str]], num_kept: int, seed: int, order: random.Random
):
    """Neither the order of rows nor the absence of other images moves an image, or tears its captions apart."""
    split_of = seeded(IngestParams(source="table", path="", name="x", split_seed=seed))
    lines = [Annotation(image_id, image_id, (caption,)) for image_id, caption in captions]
    shuffled = order.sample(lines, len(lines))[:num_kept]
    whole, part = (gather(some, store=_AnyStore(), split_of=split_of).items for some in (lines, shuffled))
    splits = {item.image_id: item.split for item in whole}
    assert len(splits) == len(whole) == len({image_id for image_id, _ in captions})
    assert {item.image_id: item.split for item in part}.items() <= splits.items()


def test_seeded_split_keeps_its_draw_for_ever():
    """The draw is part of the data's identity: a change of the code that moves images must be noticed."""
    drawn = {f"{k}.jpg": seeded_split(f"{k}.jpg", seed=20131, fractions=_FRACTIONS) for k in range(40)}
    held_out = {image_id: split for image_id, split in drawn.items() if split != "train"}
    assert held_out == {
        "11.jpg": "test",
        "13.jpg": "dev",
        "16.jpg": "test",
        "18.jpg": "test",
        "22.jpg": "dev",
        "26.jpg": "test",
        "37.jpg": "dev",
    }


@pytest.mark.parametrize("fractions", [_FRACTIONS, {"train": 0.5, "dev": 0.25, "test": 0.25}, {"train": 1.0}])
def test_seeded_split_keeps_the_fractions(fractions: dict):
    """Over many images each split gets its share."""
    counts = Counter(seeded_split(str(k), seed=1, fractions=fractions) for k in range(10_000))
    for split, fraction in fractions.items():
        assert counts[split] / 10_000 == pytest.approx(fraction, abs=0.02)


def test_order_of_fractions_in_params_does_not_matter():
    """YAML keys may be sorted without moving an image."""
    draws = []
    for fractions in (_FRACTIONS, dict(reversed(_FRACTIONS.items()))):
        params = IngestParams(source="table", path="", name="x", split_fractions=fractions)
        draws.append([seeded(params)(str(k)) for k in range(200)])
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), (" VAL ", "dev"), ("Validation", "dev"), ("test", "test"), ("unused", "unused"), ("7", None)],
)
def test_usual_names_of_splits_are_understood(name: str, split: str | None):
    """The name val is dev; what is no split is None, not a guess."""
    assert parse_split(name) == split
