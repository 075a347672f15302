"""tools/starter.sh: what it runs, what it refuses, and what it commits; programs that log their call stand in."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from commands import all_commands

#: What the real `use --weights` and `fetch` write, as far as git sees it.
_WRITES = """case $1 in
  use) echo starter >params.yaml
    mkdir -p data/raw/weights; echo w >data/raw/weights/w.dvc; echo /w >data/raw/weights/.gitignore ;;
  fetch) echo f >data/raw/flickr8k.dvc; echo /flickr8k >data/raw/.gitignore ;;
esac"""


@pytest.fixture
def repository(project: Path, tmp_path: Path) -> Path:
    """A committed repository with the script, whose `captiongen use` and `fetch` change what the real ones change."""
    root = tmp_path / "repository"
    shutil.copytree(project / "tools", root / "tools", ignore=shutil.ignore_patterns("__pycache__", "bootstrap.py"))
    (root / "tools" / "bootstrap.py").write_text("")
    (root / ".gitignore").write_text(".venv\ncalls\n")
    (root / "src").mkdir()
    (root / "src" / "model.py").write_text("width = 3\n")
    (root / "params.yaml").write_text("scenes\n")
    (root / "data" / "raw").mkdir(parents=True)
    (root / "data" / "raw" / "scenes.dvc").write_text("scenes\n")
    (root / "data" / "raw" / ".gitignore").write_text("/scenes\n")
    _program(root, "captiongen", _WRITES)
    _program(root, "dvc", "")
    (root / ".venv" / "bin" / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    (root / ".venv" / "bin" / "python").chmod(0o755)
    _git(root, "init", "-q")
    _git(root, "add", "-A")
    _git(root, "commit", "-q", "-m", "first")
    return root


def _program(root: Path, name: str, does: str) -> None:
    path = root / ".venv" / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/bash\n[ "$1" = env ] && exit\necho "{name} $*" >>calls\n{does}\n')
    path.chmod(0o755)


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout


def _make_starter(root: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "FROM": str(root), "WEIGHTS": str(root / "params.yaml"), **settings}
    script = str(root / "tools" / "starter.sh")
    return subprocess.run([script], env=environment, cwd=root, capture_output=True, text=True, check=False)


def _calls(root: Path) -> list[str]:
    return [" ".join(line.split()[:2]) for line in (root / "calls").read_text().splitlines()]


ALL = ["captiongen use", "captiongen fetch", "dvc repro", "captiongen release", "captiongen make-starter"]


def test_one_command_makes_and_commits_what_it_was_asked_to(repository: Path):
    """Settings, data, training, release and the small copy, in this order; a commit of settings and pointers alone."""
    (repository / "notes.txt").write_text("mine\n")
    made = _make_starter(repository, COMMIT="Train the starter")
    assert made.returncode == 0, made.stderr
    assert _calls(repository) == ALL
    assert _git(repository, "log", "-1", "--format=%s").strip() == "Train the starter"
    committed = _git(repository, "show", "--format=", "--name-only", "HEAD").split()
    pointers = [".gitignore", "flickr8k.dvc", "weights/.gitignore", "weights/w.dvc"]
    assert committed == [*(f"data/raw/{name}" for name in pointers), "params.yaml"]
    assert _git(repository, "status", "--porcelain").split() == ["??", "notes.txt"]


def test_nothing_is_committed_that_nobody_asked_for(repository: Path):
    """Without a message it stops before the training and says what to commit; once that is done it goes on."""
    stopped = _make_starter(repository)
    assert stopped.returncode == 4
    assert "params.yaml" in stopped.stderr
    assert "COMMIT=" in stopped.stderr
    assert _calls(repository) == ALL[:2]
    _git(repository, "add", "-A")
    _git(repository, "commit", "-q", "-m", "mine")
    assert _make_starter(repository).returncode == 0
    assert _calls(repository) == ALL[:2] + ALL
    assert _git(repository, "log", "-1", "--format=%s").strip() == "mine"


def test_changed_code_is_refused_before_anything_is_written(repository: Path):
    """The starter names the commit of its code, so code that no commit holds stops the command at once."""
    (repository / "src" / "model.py").write_text("width = 4\n")
    stopped = _make_starter(repository, COMMIT="Train the starter")
    assert stopped.returncode == 4
    assert "src/model.py" in stopped.stderr
    assert not (repository / "calls").exists()
    assert (repository / "params.yaml").read_text() == "scenes\n"


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"FROM": ""}, "FROM is missing"),
        ({"WEIGHTS": ""}, "WEIGHTS is missing"),
        ({"FROM": "no-folder"}, "FROM=no-folder is no folder"),
        ({"WEIGHTS": "no-file"}, "WEIGHTS=no-file is no file"),
    ],
)
def test_what_is_missing_is_said_with_the_usage(repository: Path, settings: dict[str, str], says: str):
    """A call that cannot work exits with 2, names what is missing, and says what may be given."""
    refused = _make_starter(repository, **settings)
    assert refused.returncode == 2
    assert says in refused.stderr
    assert "usage: make starter FROM=FOLDER WEIGHTS=FILE" in refused.stderr
    assert not (repository / "calls").exists()


@pytest.mark.parametrize(("origin", "weights", "has_options"), [(None, None, True), ("download", "preset", False)])
def test_a_dry_run_tells_commands_that_exist(
    repository: Path, origin: str | None, weights: str | None, has_options: bool
):
    """DRY_RUN prints what would run and runs none of it; each `captiongen` command has the options that it is given."""
    given = {"FROM": origin, "WEIGHTS": weights}
    told = _make_starter(repository, DRY_RUN="yes", **{key: value for key, value in given.items() if value}).stdout
    commands = all_commands()
    for line in re.findall(r"captiongen (.+)", told):
        name, *words = line.split()
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert {word for word in words if word.startswith("--")} <= options
    assert ("--from" in told, "--weights" in told) == (has_options, has_options)
    assert not (repository / "calls").exists()
