"""Cached arrays: computed once, whole or not at all."""

import numpy as np
import pytest

from captiongen.data.array_cache import cached_array


def blocks(calls):
    for start in (0, 4):
        calls.append(start)
        yield np.arange(start, start + 4, dtype=np.float16).reshape(4, 1) * np.ones((1, 3), dtype=np.float16)


def test_an_array_is_computed_once(tmp_path):
    """The second opening reads the file and touches no block."""
    calls = []
    first = cached_array(tmp_path, key="a", blocks=blocks(calls), num_entries=8)
    second = cached_array(tmp_path, key="a", blocks=blocks(calls), num_entries=8)
    assert calls == [0, 4]
    np.testing.assert_array_equal(first, second)
    assert first.shape == (8, 3)
    assert first.dtype == np.float16


def test_an_interrupted_computation_leaves_nothing(tmp_path):
    """A failure half way leaves no array that a later run would take for whole."""

    def broken():
        yield np.zeros((4, 3))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_array(tmp_path, key="a", blocks=broken(), num_entries=8)
    assert list(tmp_path.iterdir()) == []


def test_too_few_entries_are_refused(tmp_path):
    """An array of another length than announced is not kept."""
    with pytest.raises(ValueError, match="expected 9 entries"):
        cached_array(tmp_path, key="a", blocks=blocks([]), num_entries=9)
    assert not (tmp_path / "a").exists()
