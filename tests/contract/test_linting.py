"""What the checks look at."""

import subprocess
import sys
import tomllib
from pathlib import Path


def test_every_module_of_the_repository_is_linted(project: Path) -> None:
    """A folder of data at the root is left out by its path, so that no package of the same name is."""
    tracked = subprocess.run(["git", "ls-files", "*.py"], cwd=project, capture_output=True, text=True, check=True)
    ruff = [sys.executable, "-m", "ruff", "check", "--show-files"]
    linted = subprocess.run(ruff, cwd=project, capture_output=True, text=True, check=True)
    names = {Path(line).relative_to(project).as_posix() for line in linted.stdout.split("\n") if line}
    missing = {name for name in tracked.stdout.split() if (project / name).is_file()} - names
    assert not missing


def test_the_type_checker_leaves_out_no_package(project: Path) -> None:
    """Mypy reads all of src: it has no pattern that could match a package."""
    settings = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mypy"]
    assert settings["files"] == ["src"]
    assert "exclude" not in settings
