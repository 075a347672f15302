"""Small real git and DVC repositories for tests."""

import subprocess
from collections.abc import Mapping
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Runs git and returns what it said."""
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def dvc(folder: Path, *arguments: str) -> None:
    """Runs DVC, in this process, which saves a second of start-up each time."""
    from dvc.cli import main

    assert main(["--cd", str(folder), *arguments]) == 0, f"dvc {' '.join(arguments)} failed"


def git_repository(folder: Path, files: Mapping[str, str]) -> str:
    """Makes a repository with one commit of these files; returns its sha."""
    git_init(folder)
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return commit(folder)


def git_init(folder: Path) -> None:
    """Makes an empty repository."""
    folder.mkdir(parents=True, exist_ok=True)
    git(folder, "init", "--quiet", "--initial-branch=main")


def commit(folder: Path, message: str = "a state") -> str:
    """Commits everything; returns the sha."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD").strip()
