"""A small clean data set as a table with a folder of pictures, for tests that damage it."""

import csv
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from captiongen.params import IngestParams, TableParams
from captiongen.stages.ingest import ingest

NUM_IMAGES = 40
_THINGS = ("dog", "child", "boat", "horse", "kite")
_PLACES = ("in the snow", "on a beach", "near a river", "under a tree")
_FORMS = (
    "A {thing} {number} is {place} .",
    "There is a {thing} {number} {place} .",
    "Somebody photographed a {thing} {number} {place} .",
    "The {thing} {number} stays {place} today .",
    "One {thing} {number} can be seen {place} .",
)


@dataclass(slots=True)
class CaptionedTable:
    """Rows of captions.csv and the pictures beside it; change both, then `write_table`."""

    folder: Path
    rows: list[dict[str, str]] = field(default_factory=list)

    def rows_of(self, image: str) -> list[dict[str, str]]:
        """The five rows of a picture."""
        return [row for row in self.rows if row["image"] == image]

    def change(self, name: str, **cells: str) -> None:
        """Changes cells in all five rows of a picture."""
        for row in self.rows_of(name):
            row.update(cells)

    def swap_columns(self) -> None:
        """Puts captions into the column of images and the reverse."""
        for row in self.rows:
            row["image"], row["caption"] = row["caption"], row["image"]

    def write_table(self) -> None:
        """Writes captions.csv."""
        with (self.folder / "captions.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["image", "caption", "split"])
            writer.writeheader()
            writer.writerows(self.rows)

    def ingest(self, out_folder: Path, *, max_rejected_fraction: float = 0.01) -> Path:
        """Runs the stage `ingest` and returns the manifest's path."""
        params = IngestParams(
            source="table",
            path="unused here",
            name="table",
            max_rejected_fraction=max_rejected_fraction,
            table=TableParams(split_column="split"),
        )
        ingest(params, source_folder=self.folder, out_folder=out_folder)
        return out_folder / "manifest.parquet"


def picture(seed: int, *, size: tuple[int, int] = (96, 80)) -> Image.Image:
    """Soft coloured blobs: a different perceptual hash for every seed."""
    blobs = np.random.default_rng(seed).integers(30, 220, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(blobs).resize(size, Image.Resampling.BICUBIC)


def captioned_table(folder: Path) -> CaptionedTable:
    """Writes a clean data set: 40 pictures `00.jpg` ..., five captions each, 32 train, 4 dev, 4 test."""
    table = CaptionedTable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(NUM_IMAGES):
        name = f"{index:02d}.jpg"
        picture(index).save(folder / name, quality=90)
        split = "dev" if index % 10 == 8 else "test" if index % 10 == 9 else "train"
        words = {"thing": _THINGS[index % 5], "place": _PLACES[index % 4], "number": ("one", "two", "three")[index % 3]}
        table.rows += [{"image": name, "caption": form.format(**words), "split": split} for form in _FORMS]
    table.write_table()
    return table
