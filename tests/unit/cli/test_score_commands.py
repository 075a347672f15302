"""`captiongen score`: one model, any captioned pictures, never a silently smaller set."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.data.captions_table import read_captions, read_facts
from captiongen.errors import DataError, SourceError, UsageError
from captiongen.metrics.report import read_report

NAMES = [f"{colour}_{thing}.png" for colour in ("red", "green", "blue") for thing in tiny.THINGS]


def _captions(name: str) -> tuple[str, ...]:
    return tiny.tiny_captions(*name.removesuffix(".png").split("_"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.tiny_model_folder(tmp_path_factory.mktemp("model") / "captioner")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures, and their captions in each format beside them."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in NAMES:
        (folder / name).write_bytes(tiny.encoded(tiny.tiny_picture(*name.removesuffix(".png").split("_"))))
    lines = [(name, number, text) for name in NAMES for number, text in enumerate(_captions(name))]
    (tmp_path / "tokens.txt").write_text("".join(f"{name}#{number}\t{text}\n" for name, number, text in lines))
    (tmp_path / "table.csv").write_text("image,caption\n" + "".join(f"{name},{text}\n" for name, _, text in lines))
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"file": name, "said": list(_captions(name))}) + "\n" for name in NAMES)
    )
    images = [{"id": number, "file_name": name} for number, name in enumerate(NAMES)]
    annotations = [{"image_id": NAMES.index(name), "caption": text} for name, _, text in lines]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    shutil.make_archive(str(folder), "zip", tmp_path, "photos")
    return folder


def _arguments(model: Path, photos: Path, captions: str = "tokens.txt", *options: str) -> list[str]:
    folder = photos.parent
    named = ["--model", str(model), "--images", str(photos), "--captions", str(folder / captions)]
    return ["score", *named, "--out", str(folder / "metrics.json"), "--num-resamples", "100", *options]


def _score(model: Path, photos: Path, captions: str = "tokens.txt", *options: str) -> Path:
    """Runs the command and returns the report's path; project errors come through."""
    CliRunner().invoke(app, _arguments(model, photos, captions, *options), catch_exceptions=False)
    return photos.parent / "metrics.json"


@pytest.mark.parametrize(
    ("captions", "options"),
    [
        ("table.csv", ()),
        ("coco.json", ()),
        ("rows.jsonl", ("--image-column", "file", "--caption-column", "said")),
    ],
)
def test_every_format_gives_the_same_metrics(model: Path, photos: Path, captions: str, options: tuple[str, ...]):
    """Token file, table, JSON lines and COCO JSON of the same captions give the same numbers."""
    tokens = read_report(_score(model, photos))
    other = read_report(_score(model, photos, captions, *options))
    assert other.metrics["cider"].value == pytest.approx(tokens.metrics["cider"].value)
    assert other.signature.num_images == len(NAMES)
    assert other.signature.references_per_image == "5"


def test_pictures_may_lie_in_an_archive(model: Path, photos: Path):
    """A zip with a folder inside scores as the unpacked folder does, to the byte."""
    unpacked = _score(model, photos).read_bytes()
    assert _score(model, photos.with_suffix(".zip")).read_bytes() == unpacked


def test_a_split_file_names_what_is_scored(model: Path, photos: Path):
    """Only the named images are scored; captions and facts are kept beside the report."""
    (photos.parent / "split.txt").write_text(f"{NAMES[4]}\n{NAMES[1]}\n")
    kept = photos.parent / "captions.parquet"
    options = ("--split", str(photos.parent / "split.txt"), "--captions-out", str(kept))
    report = read_report(_score(model, photos, "coco.json", *options))
    assert [image.image_id for image in report.per_image] == ["1", "4"]
    assert [row.references for row in read_captions(kept)] == [_captions(NAMES[1]), _captions(NAMES[4])]
    assert read_facts(kept)["split_hash"] == report.signature.split_hash


def test_beams_and_limit_can_be_set(model: Path, photos: Path):
    """The signature says how many beams and images there were."""
    signature = read_report(_score(model, photos, "tokens.txt", "--num-beams", "2", "--limit", "3")).signature
    assert signature.decoding.startswith("beam2 ")
    assert signature.num_images == 3


def test_an_image_without_a_file_stops_the_scoring(model: Path, photos: Path):
    """A missing picture leaves no report; --allow-missing scores the rest under another split hash."""
    whole = read_report(_score(model, photos)).signature
    (photos / NAMES[2]).unlink()
    (photos.parent / "metrics.json").unlink()
    with pytest.raises(DataError, match="failed 1 times"):
        _score(model, photos)
    assert not (photos.parent / "metrics.json").exists()
    part = read_report(_score(model, photos, "tokens.txt", "--allow-missing")).signature
    assert part.num_images == len(NAMES) - 1
    assert part.split_hash != whole.split_hash


def test_a_replaced_picture_is_another_split(model: Path, photos: Path):
    """Scores over other pictures of the same names do not carry the same split hash."""
    before = read_report(_score(model, photos)).signature
    (photos / NAMES[2]).write_bytes(tiny.encoded(tiny.tiny_picture("yellow", "ball")))
    assert read_report(_score(model, photos)).signature.split_hash != before.split_hash


def test_all_unreadable_pictures_are_named(model: Path, photos: Path):
    """Damaged pictures are all named, not only the first, and sound ones are not."""
    for name in NAMES[:2]:
        (photos / name).write_bytes(b"\x89PNG no more")
    result = CliRunner().invoke(app, _arguments(model, photos))
    assert isinstance(result.exception, DataError)
    assert all(name in result.stderr for name in NAMES[:2])
    assert NAMES[2] not in result.stderr


def test_a_name_without_captions_is_missing(model: Path, photos: Path):
    """A split file that names an image the captions do not know stops the scoring."""
    (photos.parent / "split.txt").write_text(f"{NAMES[0]}\nnowhere.png\n")
    with pytest.raises(DataError, match="failed 1 times"):
        _score(model, photos, "tokens.txt", "--split", str(photos.parent / "split.txt"))


def test_other_formats_are_refused(model: Path, photos: Path):
    """A captions file of an unknown kind is an error that lists the kinds."""
    (photos.parent / "captions.xml").write_text("<captions/>")
    with pytest.raises(SourceError, match=r"found captions\.xml"):
        _score(model, photos, "captions.xml")


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_caption_is_no_caption(model: Path, photos: Path, blank: str):
    """An image whose caption is blank is named and stops the scoring; --allow-missing leaves it out."""
    table = photos.parent / "table.csv"
    lines = [line for line in table.read_text().splitlines() if not line.startswith(NAMES[1])]
    table.write_text("\n".join([*lines, f"{NAMES[1]},{blank}"]) + "\n")
    result = CliRunner().invoke(app, _arguments(model, photos, "table.csv"))
    assert isinstance(result.exception, DataError)
    assert f"{NAMES[1]}: its caption is blank" in result.stderr
    assert not (photos.parent / "metrics.json").exists()
    assert read_report(_score(model, photos, "table.csv", "--allow-missing")).signature.num_images == len(NAMES) - 1


@pytest.mark.parametrize("device", ["foo", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_said_in_words(model: Path, photos: Path, device: str):
    """Neither a misspelt device nor one that this machine lacks ends in a traceback."""
    with pytest.raises(UsageError, match=f"found '{device}'"):
        _score(model, photos, "tokens.txt", "--device", device)


@pytest.mark.parametrize("option", ["--out", "--captions-out"])
@pytest.mark.parametrize("place", ["photos", "tokens.txt/metrics.json"])
def test_a_place_that_cannot_be_written_is_refused_first(photos: Path, option: str, place: str):
    """A folder, or a path through a file, is refused before the model is looked for."""
    with pytest.raises(UsageError, match="Expected a f"):
        _score(Path("no-model"), photos, "tokens.txt", option, str(photos.parent / place))


def test_missing_inputs_are_named_by_their_options(model: Path, photos: Path):
    """A captions file or pictures that are not there: the error says which option names them."""
    with pytest.raises(UsageError, match=r"nowhere\.csv \(--captions\)"):
        _score(model, photos, "nowhere.csv")
    with pytest.raises(UsageError, match=r"\(--images\)"):
        _score(model, photos, "tokens.txt", "--images", str(photos.parent / "nowhere"))
