"""Small data sets in the layouts that the sources read, written to a folder in a moment."""

import csv
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image


def gradient(width_px: int = 40, height_px: int = 30, *, seed: int = 0) -> Image.Image:
    """A smooth picture without symmetry, different for every seed; JPEG hardly changes it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height_px, 0:width_px]
    slopes = rng.uniform(0.2, 1.0, (3, 2))
    channels = [255 * (a * columns / width_px + b * rows / height_px) / (a + b) for a, b in slopes]
    return Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8))


def encode(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    """The picture as the bytes of a file."""
    buffer = BytesIO()
    image.save(buffer, format=format, **options)
    return buffer.getvalue()


#: What has to be done to an upright picture to store it under each EXIF orientation.
_STORED_AS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
ORIENTATIONS = tuple(_STORED_AS)


def encode_turned(upright: Image.Image, orientation: int, format: str = "PNG", **options: object) -> bytes:
    """The picture as the bytes of a file, as a camera that was held in one of the `ORIENTATIONS` stores it."""
    method = _STORED_AS[orientation]
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return encode(upright if method is None else upright.transpose(method), format, exif=exif, **options)


def empty_png(width_px: int, height_px: int) -> bytes:
    """A PNG that announces a size and holds no pixels at all."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width_px, height_px, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes files below a folder, with their sub-folders."""
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def write_zip(path: Path, files: Mapping[str, bytes]) -> None:
    """Writes files as members of an archive."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def write_csv(path: Path, rows: Sequence[Sequence[str]], *, delimiter: str = ",") -> None:
    """Writes rows, the header first."""
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)


def write_table_dataset(folder: Path, *, num_images: int = 10, num_captions: int = 2) -> None:
    """A `table` data set with a split column: 8 train, 1 dev and 1 test image of ten, one caption per row."""
    folder.mkdir(parents=True, exist_ok=True)
    names = {7: "dev", 8: "test"}
    rows = [["image", "caption", "split"]]
    for number in range(num_images):
        split = names.get(number % 10, "train")
        (folder / f"{number}.png").write_bytes(encode(gradient(seed=number)))
        rows += [[f"{number}.png", f"A dog number {k} , running .", split] for k in range(num_captions)]
    write_csv(folder / "captions.csv", rows)


def flickr8k_files(*, num_images: int = 6) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Images and texts of a small Flickr8k with its oddities: an orphan caption, an image in no list."""
    names = [f"{1000 + number}_ab.jpg" for number in range(num_images)]
    images = {f"Flicker8k_Dataset/{name}": encode(gradient(seed=k), "JPEG") for k, name in enumerate(names)}
    captions = [f"{name}#{k}\tA dog runs , {k} ." for name in [*names, "2258_ab.jpg.1"] for k in range(5)]
    texts = {
        "Flickr8k.token.txt": "\n".join(captions).encode() + b"\n",
        "Flickr_8k.trainImages.txt": "\n".join(names[:-3]).encode(),
        "Flickr_8k.devImages.txt": names[-3].encode(),
        "Flickr_8k.testImages.txt": names[-2].encode(),
    }
    return images, texts


def coco_json(images: Mapping[int, str], captions: Sequence[tuple[int, object]]) -> bytes:
    """COCO captions as JSON: image id -> file name, and (image id, caption) pairs."""
    return json.dumps(
        {
            "images": [{"id": image_id, "file_name": name} for image_id, name in images.items()],
            "annotations": [{"id": k, "image_id": i, "caption": caption} for k, (i, caption) in enumerate(captions)],
        }
    ).encode()
