"""Corrections through a real DVC: what is decided makes stale what it changes, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from corrected import drop
from datasets import encode, gradient, write_files, write_table_dataset
from repositories import commit, dvc, git, git_init

from captiongen.data.corrections import CorrectionsFolder, Kind, Picture, Proposal, write_proposals
from captiongen.data.shards import open_processed
from captiongen.files import sha256_of_file

WRONG, RIGHT = "A dog number 1 , running .", "A dog number 0 , running ."
PROPOSAL, OTHER = drop("0.png", WRONG), drop("1.png", WRONG)
#: Training is not what is tested: this reads what training reads.
TRAIN = {"cmd": "cp data/processed/index.json model.json", "deps": ["data/processed"], "outs": ["model.json"]}


class Project:
    """A DVC project of twenty pictures, in which the real commands run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.corrections = CorrectionsFolder(folder / "corrections")

    def run(self, *command: str) -> str:
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.run(
            command, cwd=self.folder, env={**os.environ, "PATH": programs}, capture_output=True, text=True, check=False
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout + process.stderr

    def stale(self) -> set[str]:
        return set(json.loads(self.run("dvc", "status", "--json")))

    def captions(self, image_id: str) -> tuple[str, ...]:
        return open_processed(self.folder / "data" / "processed").references("train")[image_id]


@pytest.fixture(scope="module")
def project(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The repository's own graph up to training, run once."""
    folder = tmp_path_factory.mktemp("corrected") / "project"
    git_init(folder)
    dvc(folder, "init", "--quiet")
    write_table_dataset(folder / "data" / "raw" / "mine", num_images=20)
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    stages = {name: stages[name] for name in ("ingest", "validate", "preprocess")} | {"train": TRAIN}
    for stage in stages.values():
        stage["deps"] = [path for path in stage["deps"] if not path.startswith("src/")]
    params = yaml.safe_load((project / "params.yaml").read_text()) | {
        "ingest": {"source": "table", "path": "data/raw/mine", "name": "mine", "table": {"split_column": "split"}},
        "validate": {
            "captions_per_image": 2,
            "min_vocabulary": 1,
            "min_side_px": 16,
            "warn": ["duplicate_files", "lookalikes"],
        },
    }
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    write_files(
        folder, {name: (project / name).read_bytes() for name in (".gitignore", "corrections/decisions/accepted.jsonl")}
    )
    made = Project(folder)
    made.run("dvc", "repro", "--quiet")
    commit(folder)
    write_proposals(made.corrections.proposals("audit"), [PROPOSAL, OTHER])
    assert made.stale() == set()
    return made


@pytest.mark.slow
def test_only_what_is_accepted_makes_the_next_repro_work(project: Project):
    """A rejection leaves all as it is; an acceptance makes preprocess stale, then train; the caption is gone."""
    project.run("captiongen", "corrections", "reject", OTHER.id)
    assert project.stale() == set()
    project.run("captiongen", "corrections", "accept", PROPOSAL.id)
    assert project.stale() == {"preprocess"}
    split_hash = open_processed(project.folder / "data" / "processed").split_hashes["train"]
    project.run("dvc", "repro", "--quiet", "--single-item", "preprocess")
    assert project.stale() == {"train"}
    project.run("dvc", "repro", "--quiet")
    assert project.captions("0.png") == (RIGHT,)
    assert project.captions("1.png") == (RIGHT, WRONG)
    assert json.loads((project.folder / "model.json").read_text())["split_hashes"]["train"] != split_hash
    project.run("captiongen", "corrections", "undo", PROPOSAL.id)
    project.run("dvc", "repro", "--quiet")  # from DVC's cache: this has been made before
    assert open_processed(project.folder / "data" / "processed").split_hashes["train"] == split_hash


@pytest.mark.slow
def test_an_accepted_picture_travels_with_dvc(project: Project, tmp_path: Path):
    """It is trained on, git does not hold it, and a clone that pulls has it."""
    data = encode(gradient(seed=99), "JPEG")
    write_files(project.corrections.proposed_pictures, {"cat.jpg": data})
    picture = Picture("cat.jpg", sha256_of_file(project.corrections.proposed_pictures / "cat.jpg"))
    proposal = Proposal(Kind.ADD_IMAGE, ("cat",), "feedback", "By a user.", 0.5, instead="A cat .", picture=picture)
    write_proposals(project.corrections.proposals("feedback"), [proposal])
    project.run("captiongen", "corrections", "accept", proposal.id)
    project.run("dvc", "repro", "--quiet")
    assert project.captions("cat") == ("A cat .",)
    assert project.stale() == set()

    project.run("dvc", "remote", "add", "--default", "--quiet", "storage", str(tmp_path / "storage"))
    project.run("dvc", "push", "--quiet")
    commit(project.folder)
    assert "corrections/pictures.dvc" in git(project.folder, "ls-files", "corrections").split()
    assert "corrections/pictures/cat.jpg" not in git(project.folder, "ls-files", "corrections").split()
    git(tmp_path, "clone", "--quiet", str(project.folder), "clone")
    clone = Project(tmp_path / "clone")
    clone.run("dvc", "pull", "--quiet", "corrections/pictures.dvc")
    assert (clone.corrections.pictures / "cat.jpg").read_bytes() == data
