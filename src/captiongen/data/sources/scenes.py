"""The embedded sample data set, as `captiongen fetch scenes` rendered it."""

from pathlib import Path

from captiongen.data.scenes.dataset import IMAGES_ARCHIVE, image_path, read_captions
from captiongen.data.sources.listing import Annotation, ListedSource, gather
from captiongen.data.sources.stores import open_store


class ScenesSource(ListedSource):
    """Drawn scenes with their own splits; paths are members of images.zip."""

    def __init__(self, folder: Path) -> None:
        store = open_store(folder / IMAGES_ARCHIVE)
        rows = read_captions(folder)
        lines = (Annotation(row.image_id, image_path(row.image_id), row.captions, row.split) for row in rows)
        super().__init__("scenes", store, gather(lines, store=store, split_of=lambda _: "unused"))
