"""Captions of mirrored pictures."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.text.mirror import mirror_caption


@pytest.mark.parametrize(
    ("caption", "mirrored"),
    [
        ("a dog left of a red ball", "a dog right of a red ball"),
        ("the leftmost man and the one on the right", "the rightmost man and the one on the left"),
        ("a boy right behind a girl on the left", "a boy right behind a girl on the right"),
        ("a runner left the track", "a runner left the track"),
        ("a bright leftover lies there", "a bright leftover lies there"),
    ],
)
def test_sides_are_swapped_and_nothing_else(caption, mirrored):
    """Left and right change places where they name a side."""
    assert mirror_caption(caption) == mirrored


@given(st.lists(st.sampled_from(["left", "right", "dog", "leftmost", "a", "of"]), max_size=8).map(" ".join))
def test_mirroring_twice_changes_nothing_where_sides_are_named(caption):
    """Mirroring is its own inverse on captions without the idioms that name no side."""
    if "left a" in caption or "right a" in caption:
        return
    assert mirror_caption(mirror_caption(caption)) == caption
