"""Data brought into data/raw of a project, recorded with DVC, and told."""

import re
from pathlib import Path

import typer

from captiongen.adapters.dvc_data import DvcData
from captiongen.cli.layout import Layout
from captiongen.errors import SourceError, UsageError

_TAKEN = ("scenes", "flickr8k", "weights")


class RawData:
    """The folder data/raw of one project; nothing is done twice.

    Args:
        layout: of the project.
    """

    def __init__(self, layout: Layout) -> None:
        self._folder, self._dvc = layout.raw, DvcData(layout.root)

    def place_of(self, folder: Path, name: str | None) -> Path:
        """Returns where a folder of one's own lies once it is fetched: where it is, when that is in data/raw.

        Raises:
            UsageError: the name is taken by other data, or empty.
        """
        if folder.resolve().parent == self._folder.resolve():
            return self._folder / folder.resolve().name
        slug = re.sub(r"[^a-z0-9_-]+", "-", (name or folder.resolve().name).lower()).strip("-")
        if not slug or slug in _TAKEN:
            raise UsageError(f"The name {slug!r} is taken or empty; choose another with --name.")
        return self._folder / slug

    def fetch_scenes(
        self, folder: Path | None = None, *, num_images: int | None = None, seed: int | None = None
    ) -> None:
        """Draws the sample data into `folder`, as they were drawn before where nothing else is asked for."""
        from captiongen.data.scenes.dataset import (
            DEFAULT_NUM_IMAGES,
            DEFAULT_SEED,
            plan_scenes,
            read_index,
            render_scenes,
        )

        folder = folder or self._folder / "scenes"
        try:
            present = read_index(folder)
        except SourceError:
            present = None
        if num_images is None:
            num_images = present.num_images if present else DEFAULT_NUM_IMAGES
        if seed is None:
            seed = present.seed if present else DEFAULT_SEED
        if present == plan_scenes(num_images=num_images, seed=seed) and self._dvc.is_up_to_date(folder):
            typer.echo(f"{folder} has the {num_images} scenes already.")
            return
        render_scenes(folder, num_images=num_images, seed=seed)
        self.record(folder)

    def fetch_flickr8k(self, folder: Path | None = None, *, source: Path | None = None) -> None:
        """Downloads Flickr8k into `folder`, or takes its archives from `source`."""
        from captiongen.data.flickr8k_archives import download_flickr8k, import_flickr8k

        folder = folder or self._folder / "flickr8k"
        if source is not None:
            import_flickr8k(source.expanduser(), folder)
        else:
            download_flickr8k(folder)
        self.record(folder)

    def fetch_folder(self, folder: Path, name: str | None) -> None:
        """Copies a folder of one's own with pictures and captions, unless it is where it belongs."""
        from captiongen.data.folder_format import detect_format
        from captiongen.data.folder_import import import_folder

        place = self.place_of(folder, name)
        if place.resolve() != folder.resolve():
            import_folder(folder, place, detect_format(folder))
        self.record(place)

    def fetch_weights(self, file: Path, name: str | None) -> tuple[Path, str]:
        """Imports an encoder's weights; returns where they lie and their sha256."""
        from captiongen.data.encoder_weights import import_weights

        path, sha256 = import_weights(file.expanduser(), self._folder / "weights", name=name or file.stem)
        self.record(path)
        return path, sha256

    def fetch_language_model(self, folder: Path) -> tuple[Path, str]:
        """Imports a language model's folder; returns where it lies and its sha256."""
        from captiongen.data.language_model import import_language_model

        place = self._folder / "weights" / folder.resolve().name
        sha256 = import_language_model(folder, place)
        self.record(place)
        return place, sha256

    def record(self, path: Path) -> None:
        """Records a folder or file with DVC, where it is not as recorded, and says so.

        Raises:
            ServiceError: DVC fails.
        """
        pointer = self._dvc.pointer(path)
        if self._dvc.is_up_to_date(path):
            typer.echo(f"{path} is there already, as {pointer} says.")
        elif self._dvc.track(path):
            typer.echo(f"{path} is recorded in {pointer}; commit that file.")
        else:
            typer.echo(f"{path} is as {pointer} says.")
