"""`captiongen judge`: a table of captions in, a table of scores out, and nothing skipped."""

import csv
import json
from pathlib import Path

import pytest
from datasets import encode, gradient, write_files
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.errors import CaptionGenError, DataError, UsageError

CAPTIONS = {
    "dog.png": ["A brown dog runs on grass .", "A dog is running ."],
    "man.png": ["A man sits .", "A man rests ."],
}


#: Captions as each format of a captions file has them.
CAPTIONS_FILES = {
    "c.csv": "image,caption\n" + "".join(f'{name},"{text}"\n' for name, texts in CAPTIONS.items() for text in texts),
    "c.json": json.dumps(
        {
            "images": [{"id": number, "file_name": name} for number, name in enumerate(CAPTIONS)],
            "annotations": [
                {"image_id": number, "caption": text}
                for number, texts in enumerate(CAPTIONS.values())
                for text in texts
            ],
        }
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a project without models
    write_files(tmp_path / "photos", {name: encode(gradient(seed=seed)) for seed, name in enumerate(CAPTIONS)})
    lines = [f"{name}#{number}\t{text}\n" for name, texts in CAPTIONS.items() for number, text in enumerate(texts)]
    (tmp_path / "captions.txt").write_text("".join(lines))
    return tmp_path


def _judge(folder: Path, candidates: str, *, suffix: str = ".tsv") -> list[dict[str, str]]:
    (folder / f"candidates{suffix}").write_text(candidates)
    names = {"captions": "captions.txt", "candidates": f"candidates{suffix}", "out": "scores.csv"}
    options = [part for option, name in names.items() for part in (f"--{option}", str(folder / name))]
    CliRunner().invoke(app, ["judge", *options, "--no-image"], catch_exceptions=False)
    with (folder / "scores.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_each_candidate_gets_a_line_in_its_order(folder: Path):
    """Scores come in the order of the candidates, with the parts of the score and the errors by name."""
    rows = _judge(folder, "image\tcaption\nman.png\ta dog runs\ndog.png\ta brown dog runs\ndog.png\ta red dog runs\n")
    assert [row["caption"] for row in rows] == ["a dog runs", "a brown dog runs", "a red dog runs"]
    other, right, wrong = (float(row["score"]) for row in rows)
    assert other < wrong < right
    assert "colour: red (brown)" in rows[2]["errors"]


def test_a_caption_may_be_empty(folder: Path):
    """What says nothing is worth nothing."""
    empty, dots = _judge(folder, "image\tcaption\ndog.png\t\ndog.png\t...\n")
    assert (empty["caption"], empty["score"], dots["score"]) == ("", "0.000000", "0.000000")


def test_columns_may_stand_in_any_order(folder: Path):
    """The first line says which column is which."""
    (row,) = _judge(folder, "caption\tother\timage\na dog\tx\tdog.png\n")
    assert (row["image"], row["caption"]) == ("dog.png", "a dog")


@pytest.mark.parametrize(
    ("candidates", "words", "code"),
    [
        ("dog.png\ta dog\n", "columns image and caption", DataError.exit_code),
        ("", "found nothing", DataError.exit_code),
        ("image\tcaption\n", "found none", DataError.exit_code),
        ("image\tcaption\ncat.png\ta cat\n", "failed 1 times", DataError.exit_code),
        ("image\tcaption\n\ta dog\nman.png\n", "failed 2 times", DataError.exit_code),
        ("image\tcaption\tcaption\ndog.png\ta dog\ta cat\n", "columns of different names", DataError.exit_code),
    ],
)
def test_what_cannot_be_judged_stops_the_command(folder: Path, candidates: str, words: str, code: int):
    """A missing column, an unknown image, a missing cell: an error in words, and no scores."""
    with pytest.raises(CaptionGenError, match=words) as caught:
        _judge(folder, candidates)
    assert caught.value.exit_code == code
    assert not (folder / "scores.csv").exists()


def test_a_missing_file_is_named(folder: Path):
    """Candidates that are not there are a wrong call."""
    with pytest.raises(UsageError, match="--candidates"):
        arguments = ["judge", "--images", str(folder / "photos"), "--captions", str(folder / "captions.txt")]
        arguments += ["--candidates", str(folder / "none.tsv"), "--out", str(folder / "scores.csv")]
        CliRunner().invoke(app, arguments, catch_exceptions=False)


def test_candidates_may_be_csv(folder: Path):
    """A file that ends in .csv has commas and quotes; anything else has tabs, and its quotes are part of captions."""
    (quoted,) = _judge(folder, 'caption,image\n"a ""brown"" dog, running",dog.png\n', suffix=".csv")
    assert quoted["caption"] == 'a "brown" dog, running'
    (plain,) = _judge(folder, 'image\tcaption\ndog.png\t"a brown" dog\n')
    assert plain["caption"] == '"a brown" dog'
    with pytest.raises(DataError, match="line 2: no valid CSV"):
        _judge(folder, 'image,caption\ndog.png,"a dog\n', suffix=".csv")


@pytest.mark.parametrize("name", CAPTIONS_FILES)
def test_without_a_look_no_pictures_are_needed(folder: Path, name: str):
    """`--no-image` wants no `--images`, whatever the format of the captions, and scores as it does with them."""
    (folder / "c.tsv").write_text("image\tcaption\ndog.png\ta brown dog runs\n")
    (folder / name).write_text(CAPTIONS_FILES[name])
    arguments = ["judge", "--captions", name, "--candidates", "c.tsv", "--no-image", "--out"]
    CliRunner().invoke(app, [*arguments, "alone.csv"], catch_exceptions=False)
    CliRunner().invoke(app, [*arguments, "beside.csv", "--images", "photos"], catch_exceptions=False)
    assert (folder / "alone.csv").read_text() == (folder / "beside.csv").read_text()
    with pytest.raises(UsageError, match="Expected --images, or --no-image"):
        CliRunner().invoke(app, [*arguments[:-2], "--out", "scores.csv"], catch_exceptions=False)


def test_an_image_that_is_not_known_is_told_from_one_of_several(folder: Path):
    """A file name that several folders have asks for the folder; a code in a name reaches no terminal."""
    (folder / "captions.csv").write_text("image,caption\na/dog.png,A dog .\nb/dog.png,A cat .\n")
    (folder / "candidates.tsv").write_text("image\tcaption\ndog.png\ta dog\n\x1b[2J\ta dog\n")
    arguments = ["--captions", "captions.csv", "--candidates", "candidates.tsv", "--out", "scores.csv", "--no-image"]
    said = CliRunner().invoke(app, ["judge", *arguments]).output
    assert "dog.png: 2 captioned images have this file name; write the folder before it" in said
    assert r"\x1b[2J: not among the captioned pictures" in said
