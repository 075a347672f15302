"""A tiny project that can be released: real git, real DVC, real MLflow, stages that copy what tests wrote."""

import shutil
from collections.abc import Callable
from pathlib import Path

import tiny
from evaluated import evaluated, hypothesis
from repositories import commit, dvc, git_init

from captiongen.cli.layout import Layout
from captiongen.data.captions_table import read_captions
from captiongen.evaluation import write_evaluation
from captiongen.model.checkpoint import read_manifest
from captiongen.params import EvaluateParams, Params, load_params
from captiongen.types import CaptionedImage

STAGES = """
stages:
  preprocess:
    cmd: cp -r source/processed data/processed
    deps: [source/processed, data/raw/list.txt]
    outs: [data/processed]
  train:
    cmd: cp -r source/model models/captioner
    deps: [source/model, data/processed]
    outs: [models/captioner]
  evaluate:
    cmd: cp -r source/evaluation reports/evaluation
    deps: [source/evaluation, models/captioner, data/processed]
    outs: [reports/evaluation]
"""
Writer = Callable[[CaptionedImage], str]


def right(image: CaptionedImage) -> str:
    """Captions as people do."""
    return image.references[0]


def wrong(image: CaptionedImage) -> str:
    """Says the same of everything, and nothing of it is true."""
    return "two people swim in a lake"


def make_project(folder: Path, params_file: Path) -> tuple[Layout, Params]:
    """Makes the project, without a model yet."""
    git_init(folder)
    dvc(folder, "init", "--quiet")
    shutil.copy(params_file, folder / "params.yaml")
    (folder / ".gitignore").write_text("/.captiongen/\n/models/captioner\n/reports/\n/data/processed\n__pycache__/\n")
    (folder / "dvc.yaml").write_text(STAGES)
    for name in ("data/raw", "models", "reports", "source"):
        (folder / name).mkdir(parents=True)
    (folder / "models/README.md").write_text("captioners\n")
    (folder / "data/raw/list.txt").write_text("pictures\n")
    dvc(folder, "add", "--quiet", "data/raw/list.txt")
    evaluated(folder / "source")
    shutil.rmtree(folder / "source/evaluation")
    params = load_params(folder / "params.yaml")
    (folder / params.ingest.path).mkdir(parents=True)
    return Layout(folder), params


def make_model(layout: Layout, *, seed: int, says: Writer, split_hash: str | None = None) -> None:
    """Trains and evaluates: a model of this seed that was seen to say these captions; commits and runs the pipeline."""
    source = layout.root / "source"
    model = tiny.tiny_model_folder(source / "model", seed=seed)
    pictures = evaluated(source / "scratch").evaluation_folder / "captions.parquet"
    images = tuple(
        CaptionedImage(image.image_id, (hypothesis(says(image)),), image.references)
        for image in read_captions(pictures)
    )
    shutil.rmtree(source / "scratch")
    write_evaluation(
        images,
        read_manifest(model),
        EvaluateParams(num_resamples=100),
        split="test",
        split_hash=split_hash or _split_hash(source / "processed"),
        out_folder=source / "evaluation",
    )
    commit(layout.root, f"model {seed}")
    dvc(layout.root, "repro", "--quiet")


def _split_hash(processed: Path) -> str:
    from captiongen.data.shards import open_processed

    return open_processed(processed).split_hashes["test"]
