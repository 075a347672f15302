"""Settings come in at the edge: the core reads no environment, no current directory and no clock of the host."""

import ast
from pathlib import Path

import pytest

CORE = ["stages", "training", "analysis", "model", "data", "decode", "metrics", "text", "inference.py", "params.py"]


def _files(project: Path, name: str) -> list[Path]:
    path = project / "src" / "captiongen" / name
    return [path] if path.is_file() else sorted(path.rglob("*.py"))


@pytest.mark.parametrize("name", CORE)
def test_the_core_reads_no_environment_and_no_current_directory(project: Path, name: str):
    """No module of the core mentions os.environ, os.getenv, os.getcwd, os.chdir or Path.cwd."""
    found = [
        f"{path.name}:{node.lineno} {node.attr}"
        for path in _files(project, name)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "getcwd", "chdir", "cwd"}
    ]
    assert found == []
