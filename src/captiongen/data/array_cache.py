"""Arrays with one entry per image, computed once, kept on disk, and read through the page cache.

Shards stream in one order; training wants images in a new order each epoch. A memory-mapped array gives both random
access and bounded memory, and a feature map that took a network to compute is computed once.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from captiongen.files import atomic_folder

#: One block of consecutive entries, (n, ...).
Block = npt.NDArray[np.generic]


def cached_array(
    folder: Path, *, key: str, blocks: Iterator[Block], num_entries: int
) -> np.memmap[tuple[int, ...], np.dtype[np.generic]]:
    """Opens the array kept under `key`, or writes it first from `blocks`.

    Args:
        folder: the cache; each array is a folder named by its key, written atomically.
        key: hash of everything that the entries depend on.
        blocks: the entries in order, a block at a time; not touched when the array is there already.
        num_entries: the number of entries that the blocks sum up to.

    Returns:
        (num_entries, ...) read-only.
    """
    home = folder / key
    if not (home / "shape.json").is_file():
        with atomic_folder(home) as part:
            _write(part, blocks, num_entries)
    facts = json.loads((home / "shape.json").read_text(encoding="utf-8"))
    return np.memmap(home / "entries.bin", mode="r", dtype=facts["dtype"], shape=tuple(facts["shape"]))


def _write(folder: Path, blocks: Iterator[Block], num_entries: int) -> None:
    num_written, dtype, shape = 0, "", ()
    with (folder / "entries.bin").open("wb") as file:
        for block in blocks:
            num_written, dtype, shape = num_written + len(block), str(block.dtype), block.shape[1:]
            file.write(np.ascontiguousarray(block).data)
    if num_written != num_entries:
        raise ValueError(f"expected {num_entries} entries to cache, found {num_written}")
    facts = {"dtype": dtype, "shape": [num_written, *shape]}
    (folder / "shape.json").write_text(json.dumps(facts), encoding="utf-8")
