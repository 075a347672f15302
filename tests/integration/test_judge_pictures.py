"""`captiongen judge --model`: a captioner and its matcher look at real picture files."""

import csv
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from captiongen.cli.app import app
from captiongen.errors import DataError, UsageError
from tests.tiny import COLOURS, THINGS, encoded, tiny_captions, tiny_model_folder, tiny_picture

SCENES = [(colour, thing) for colour in COLOURS for thing in THINGS]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with pictures, captions, candidates, and a captioner with a reranker."""
    project = tmp_path_factory.mktemp("project")
    (project / "photos").mkdir()
    lines = []
    for seed, scene in enumerate(SCENES):
        name = "-".join(scene) + ".png"
        (project / "photos" / name).write_bytes(encoded(tiny_picture(*scene, seed=seed, size=(90, 70))))
        lines += [f"{name}#{number}\t{caption}\n" for number, caption in enumerate(tiny_captions(*scene))]
    (project / "captions.txt").write_text("".join(lines))
    rows = [
        ("red-ball.png", "a red ball"),
        ("blue-box.png", "a zebra"),
        ("red-ball.png", ""),
        ("blue-box.png", "a box"),
    ]
    (project / "candidates.tsv").write_text("image\tcaption\n" + "".join(f"{name}\t{text}\n" for name, text in rows))
    tiny_model_folder(project / "captioner", has_reranker=True)
    return project


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def _run(*arguments: str) -> str:
    return CliRunner().invoke(app, arguments, catch_exceptions=False).output


def _judge(*options: str) -> tuple[list[dict[str, str]], str]:
    names = {"images": "photos", "captions": "captions.txt", "candidates": "candidates.tsv", "out": "scores.csv"}
    told = _run("judge", *(part for option, name in names.items() for part in (f"--{option}", name)), *options)
    with Path("scores.csv").open(newline="") as file:
        return list(csv.DictReader(file)), told


def test_every_candidate_is_scored_by_its_picture(project: Path):
    """Unknown words and empty captions too; the last line says who looked, and the same files give the same scores."""
    rows, told = _judge("--model", "captioner")
    assert len(rows) == 4
    assert all(0.0 <= float(row[column]) <= 1.0 for row in rows for column in ("score", "likeness", "image_score"))
    assert len({row["image_score"] for row in rows}) == 4
    assert "by the pictures (captioner and its matcher) and the references (its matcher compares them)" in told
    assert [float(row["score"]) == 0 for row in rows] == [False, False, True, False]  # the empty one, its row kept
    assert _judge("--model", "captioner")[0] == rows


def test_without_pictures_the_references_judge_alone(project: Path):
    """`--no-image` reads no picture, even where all are damaged."""
    looked, _ = _judge("--model", "captioner")
    for picture in (project / "photos").iterdir():
        picture.write_bytes(b"nothing")
    rows, told = _judge("--model", "captioner", "--no-image")
    assert "by the references (the matcher of captioner compares them) alone" in told
    assert {row["image_score"] for row in rows} == {""}
    assert [row["likeness"] for row in rows] == [row["likeness"] for row in looked]
    assert [row["score"] for row in rows] != [row["score"] for row in looked]


def test_a_captioner_without_a_reranker_looks_alone(project: Path):
    """No matcher, no likeness, and the last line says who looked."""
    tiny_model_folder(project / "other", seed=7)
    rows, told = _judge("--model", "other")
    assert told.strip().endswith("by the pictures (other) and the references: scores.csv")
    assert {row["likeness"] for row in rows} == {""}


def test_all_pictures_that_cannot_be_read_are_named(project: Path):
    """Those judged and those compared with, each once; no scores then."""
    damaged = ("red-ball.png", "blue-box.png", "green-ball.png")
    for name in damaged:
        (project / "photos" / name).write_bytes(b"nothing")
    arguments = ["--images", "photos", "--captions", "captions.txt", "--candidates", "candidates.tsv"]
    run = CliRunner().invoke(app, ["judge", *arguments, "--out", "scores.csv", "--model", "captioner"])
    assert isinstance(run.exception, DataError)
    assert "found 3 that cannot" in str(run.exception)
    assert [run.output.count(f"{name}: ") for name in damaged] == [1, 1, 1]
    assert not (project / "scores.csv").exists()


def test_without_a_model_the_starter_is_meant(project: Path):
    """Where it is not there, the message says how it comes back."""
    with pytest.raises(UsageError, match="git checkout"):
        _judge()
