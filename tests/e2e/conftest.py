"""Projects on a handful of drawn pictures, in which the real commands run as a user runs them."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

NUM_IMAGES = 120
#: So small that the whole chain takes seconds; what it learns does not matter here.
TINY = {
    "preprocess": {"image_size_px": 64},
    "train": {
        "decoder": {"width": 32, "num_layers": 1, "num_heads": 2},
        "phases": [{"kind": "finetuned", "num_epochs": 2, "batch_size": 32}],
        "selection": {"every_num_epochs": 1},
        "decode": {"num_beams": 2, "max_tokens": 12},
    },
    "evaluate": {"num_resamples": 100},
    "analyse": {"num_worst": 5},
    "release": {"min_cider_over_floor": -1000.0, "num_resamples": 100},
}


@dataclass(frozen=True)
class Project:
    """A project folder, and the commands run in it."""

    folder: Path

    def environment(self) -> dict[str, str]:
        """What the commands see: the programs of this environment, and tools whose files stay in the folder."""
        own = {
            "PREFECT_HOME": str(self.folder / ".captiongen" / "prefect"),
            "BENTOML_HOME": str(self.folder / ".bentoml"),
        }
        return {**os.environ, **own, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def run(self, *command: str, expected: int = 0) -> str:
        """Runs a command to its end; returns what it printed, and fails on another exit code than expected."""
        process = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert process.returncode == expected, f"{' '.join(command)}: {process.returncode}\n{process.stdout}"
        return process.stdout

    def read(self, path: str) -> bytes:
        """Returns a file's bytes."""
        return (self.folder / path).read_bytes()

    def change_params(self, changes: dict) -> None:
        """Merges `changes` into params.yaml."""
        path = self.folder / "params.yaml"
        path.write_text(yaml.safe_dump(_merged(yaml.safe_load(path.read_text()), changes), sort_keys=False))

    def commit(self, message: str) -> None:
        """Commits everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", message)


def _merged(base: dict, changes: dict) -> dict:
    return base | {
        key: _merged(base[key], value) if isinstance(value, dict) and isinstance(base.get(key), dict) else value
        for key, value in changes.items()
    }


def make_project(origin: Path, folder: Path) -> Project:
    """Makes a project as `git clone` would, with the working copy's files, tiny params and its data fetched."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listing, cwd=origin, capture_output=True, text=True, check=True).stdout.splitlines()
    for name in names:
        if (origin / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin / name, folder / name)
    project = Project(folder)
    project.run("git", "init", "-q")
    project.change_params(TINY)
    project.run("captiongen", "fetch", "scenes", "--num-images", str(NUM_IMAGES))
    project.commit("start")
    return project


@pytest.fixture(scope="session")
def reproduced(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project after `captiongen fetch` and one `dvc repro`, with dvc.lock committed."""
    made = make_project(project, tmp_path_factory.mktemp("reproduced"))
    made.run("dvc", "repro")
    made.commit("what the run wrote")
    return made
