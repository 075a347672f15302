"""A folder of one's own is understood as it lies, and said so; what is not understood is refused in words."""

import csv
import json
import zipfile
from pathlib import Path

import pytest

from captiongen.data.archives import stored_archive
from captiongen.data.folder_format import detect_format, survey_folder
from captiongen.data.folder_import import IMAGES_ARCHIVE, import_folder, imported_format
from captiongen.data.sources import open_source
from captiongen.errors import SourceError

_NAMES = [f"p{number}.jpg" for number in range(8)]


def _pictures(folder: Path, names: list[str] = _NAMES) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())


def _table(path: Path, header: list[str], rows: list[list[str]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([header, *rows])


def _coco(path: Path, names: list[str], first_id: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": first_id + number, "file_name": name} for number, name in enumerate(names)]
    annotations = [{"image_id": image["id"], "caption": "A dog runs."} for image in images]
    path.write_text(json.dumps({"images": images, "annotations": annotations}))


@pytest.fixture
def kaggle(tmp_path: Path) -> Path:
    """Flickr8k as Kaggle has it: captions.txt, a CSV, beside Images/."""
    _pictures(tmp_path / "Images")
    rows = [[name, f"A dog, number {n}."] for name in _NAMES for n in range(5)]
    _table(tmp_path / "captions.txt", ["image", "caption"], rows)
    return tmp_path


def test_a_table_with_one_caption_a_row(kaggle: Path):
    """Columns, pictures' folder and the number of captions an image are found."""
    found = detect_format(kaggle)
    assert (found.source, found.files, found.images) == ("table", ("captions.txt",), "Images")
    survey = survey_folder(found.ingest_params(path=str(kaggle), name="kaggle"), kaggle)
    assert (survey.num_images, survey.num_captions, survey.captions_per_image) == (8, 40, 5)
    assert survey.rejections == ()
    assert survey.vocabulary_size == len({"a", "dog", "number", "0", "1", "2", "3", "4"})


def test_a_table_with_a_column_a_caption_and_splits(tmp_path: Path):
    """Several caption columns, a split column in other words, and paths into sub-folders are found."""
    names = [f"photos/{name}" for name in _NAMES]
    _pictures(tmp_path, names)
    splits = ["training", "train", "train", "train", "train", "train", "val", "test"]
    rows = [[name, "A cat.", "The cat sits.", split] for name, split in zip(names, splits, strict=True)]
    _table(tmp_path / "data.tsv", ["file_name", "caption_1", "caption_2", "split"], rows, "\t")
    found = detect_format(tmp_path)
    assert found.images == "."
    survey = survey_folder(found.ingest_params(path=str(tmp_path), name="own"), tmp_path)
    assert survey.split_counts == {"train": 6, "dev": 1, "test": 1}
    assert survey.captions_per_image == 2
    assert found.remarks == ()


def test_json_lines_with_lists_of_captions(tmp_path: Path):
    """A JSONL file whose captions are lists of different length is found; their number varies."""
    _pictures(tmp_path / "img")
    lines = [json.dumps({"image": name, "captions": ["A bird."] * (1 + n % 2)}) for n, name in enumerate(_NAMES)]
    (tmp_path / "captions.jsonl").write_text("\n".join(lines))
    found = detect_format(tmp_path)
    survey = survey_folder(found.ingest_params(path=str(tmp_path), name="own"), tmp_path)
    assert survey.captions_per_image is None
    assert survey.num_captions == 12


def test_pictures_in_a_zip_archive(tmp_path: Path):
    """Pictures may lie in an archive beside the table."""
    with stored_archive(tmp_path / "pictures.zip") as add:
        for name in _NAMES:
            add(name, b"x")
    _table(tmp_path / "t.csv", ["image", "caption"], [[name, "A tree."] for name in _NAMES])
    assert detect_format(tmp_path).images == "pictures.zip"


def test_coco_with_three_files(tmp_path: Path):
    """One JSON file a split is read with the files' own splits."""
    _pictures(tmp_path / "images")
    for split, names, first_id in (("train", _NAMES[:6], 0), ("val", _NAMES[6:7], 6), ("test", _NAMES[7:], 7)):
        _coco(tmp_path / "annotations" / f"captions_{split}2017.json", names, first_id)
    found = detect_format(tmp_path)
    survey = survey_folder(found.ingest_params(path=str(tmp_path), name="own"), tmp_path)
    assert survey.split_counts == {"train": 6, "dev": 1, "test": 1}


def test_coco_without_a_test_file_says_what_it_leaves_out(tmp_path: Path):
    """With train and val alone, train is split by a seed, and the remark names the file that is not used."""
    _pictures(tmp_path / "train2014" / "deep", _NAMES[:6])
    _coco(tmp_path / "captions_train2014.json", _NAMES[:6])
    _coco(tmp_path / "captions_val2014.json", _NAMES[6:], 6)
    found = detect_format(tmp_path)
    assert found.files == ("captions_train2014.json",)
    assert any("not used: captions_val2014.json" in remark for remark in found.remarks)
    assert found.images == "train2014/deep"


@pytest.mark.parametrize("content", ["nothing", "no captions", "no pictures", "other json", "broken json lines"])
def test_what_is_not_understood_is_refused(tmp_path: Path, content: str):
    """A folder without table, caption column or pictures is a SourceError that says what was looked for."""
    if content == "no captions":
        _pictures(tmp_path)
        _table(tmp_path / "t.csv", ["image", "label"], [[_NAMES[0], "dog"]])
    elif content == "no pictures":
        _table(tmp_path / "t.csv", ["image", "caption"], [[_NAMES[0], "A dog."]])
    elif content == "other json":
        (tmp_path / "a.json").write_text('{"images": [], "annotations": [{"bbox": []}]}')
    elif content == "broken json lines":
        (tmp_path / "a.jsonl").write_text('{"image": \n[1, 2]\n')
    with pytest.raises(SourceError, match=r"Expected in .* a CSV, TSV or JSONL"):
        detect_format(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("c.csv", "image,caption\nx.jpg,un café\n".encode("latin-1"), r"c\.csv is not in UTF-8 \(byte 0xe9\)"),
        ("c.csv", b"image,label\nx.jpg,dog\n", r"c\.csv has no column of captions, only image, label"),
        ("c.csv", b"a,caption\nx.jpg,dog\n", r"c\.csv has no column of picture names, only a, caption"),
        ("c.csv", b"image,caption\nx.jpg,A dog.\n", r"none of the pictures that c\.csv names \(x\.jpg"),
        (
            "c.csv",
            b"image;caption\nx.jpg;A dog, running.\n",
            r"c\.csv has its columns separated by semicolons, expected",
        ),
        ("c.csv", b"", r"c\.csv has no rows"),
        ("c.jsonl", b'{"image": "a"}\n{"image"', r"line 2 of c\.jsonl is no JSON"),
        ("c.json", b'{"images": [', r"c\.json is no JSON"),
        ("c.json", b'{"images": []}', r"c\.json has no `images` with `file_name`"),
        ("c.json", b'{"images": "\xe9"}', r"c\.json is not in UTF-8"),
    ],
)
def test_why_a_file_is_not_understood_is_said(tmp_path: Path, name: str, content: bytes, reason: str):
    """The message names the file and what is wrong with it: encoding, columns, JSON, absent pictures."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=reason):
        detect_format(tmp_path)


def test_where_the_pictures_lie_is_said_when_the_table_names_the_folder(tmp_path: Path):
    """A table whose names begin with a folder is read from the top, and a person is told that folder."""
    _pictures(tmp_path / "pictures", ["p0.jpg"])
    _table(tmp_path / "t.csv", ["image", "caption"], [["pictures/p0.jpg", "A dog."]])
    found = detect_format(tmp_path)
    assert (found.images, found.lies_in) == (".", "pictures")


def test_a_second_table_is_said_not_to_be_used(kaggle: Path):
    """One table is read; another that has captions is named, and a text that has none is not."""
    _table(kaggle / "more.csv", ["image", "caption"], [[_NAMES[0], "A cat."]])
    (kaggle / "readme.txt").write_text("Photographs.\nOf dogs.\n")
    found = detect_format(kaggle)
    assert found.files == ("more.csv",)
    assert "not used: captions.txt (one table is read)" in found.remarks


def test_a_missing_folder_is_named(tmp_path: Path):
    """A path that is no folder is a SourceError with the path."""
    with pytest.raises(SourceError, match="nowhere"):
        detect_format(tmp_path / "nowhere")


def test_pictures_without_captions_are_no_data_set(tmp_path: Path):
    """A survey of a table whose pictures are all missing says why nothing is left."""
    _pictures(tmp_path / "Images", ["p0.jpg"])
    _table(tmp_path / "t.csv", ["image", "caption"], [["p0.jpg", "A dog."]])
    found = detect_format(tmp_path)
    (tmp_path / "Images" / "p0.jpg").unlink()
    with pytest.raises(SourceError, match="the image file is missing"):
        survey_folder(found.ingest_params(path=str(tmp_path), name="own"), tmp_path)


def test_an_imported_folder_reads_the_same(kaggle: Path, tmp_path_factory: pytest.TempPathFactory):
    """After the import the same items come out of one archive, and a second import has nothing to do."""
    found = detect_format(kaggle)
    target = tmp_path_factory.mktemp("raw") / "own"
    import_folder(kaggle, target, found)
    assert sorted(path.name for path in target.iterdir()) == ["captions.txt", IMAGES_ARCHIVE]
    before = open_source(found.ingest_params(path="x", name="own"), kaggle)
    after = open_source(imported_format(found).ingest_params(path="x", name="own"), target)
    assert list(after.items()) == list(before.items())
    assert all(after.read(item.path) == before.read(item.path) for item in before.items())
    written = (target / IMAGES_ARCHIVE).stat().st_mtime_ns
    import_folder(kaggle, target, found)
    assert (target / IMAGES_ARCHIVE).stat().st_mtime_ns == written


def test_a_changed_picture_of_equal_size_is_imported(kaggle: Path, tmp_path_factory: pytest.TempPathFactory):
    """Pictures are compared by what they hold, not by their sizes."""
    found = detect_format(kaggle)
    target = tmp_path_factory.mktemp("raw") / "own"
    import_folder(kaggle, target, found)
    picture = kaggle / "Images" / "p0.jpg"
    changed = bytes(byte ^ 1 for byte in picture.read_bytes())
    picture.write_bytes(changed)
    import_folder(kaggle, target, found)
    with zipfile.ZipFile(target / IMAGES_ARCHIVE) as archive:
        assert archive.read("p0.jpg") == changed


def test_an_imported_archive_of_pictures_is_copied(tmp_path: Path):
    """Pictures that lie in an archive already stay in it, byte for byte."""
    source = tmp_path / "own"
    source.mkdir()
    with stored_archive(source / "pictures.zip") as add:
        add("p0.jpg", b"x")
    _table(source / "t.csv", ["image", "caption"], [["p0.jpg", "A tree."]])
    found = detect_format(source)
    import_folder(source, tmp_path / "raw", found)
    assert (tmp_path / "raw" / IMAGES_ARCHIVE).read_bytes() == (source / "pictures.zip").read_bytes()
    written = (tmp_path / "raw" / IMAGES_ARCHIVE).stat().st_mtime_ns
    import_folder(source, tmp_path / "raw", found)
    assert (tmp_path / "raw" / IMAGES_ARCHIVE).stat().st_mtime_ns == written
