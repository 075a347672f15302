"""Importing does nothing: no vendor is loaded, no folder is made."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

VENDORS = ["mlflow", "prefect", "dvc", "great_expectations", "bentoml", "gradio"]

_PROBE = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted(sys.modules)))
"""


def _modules_after_importing(names: list[str], folder: Path) -> set[str]:
    process = subprocess.run(
        [sys.executable, "-c", _PROBE, *names], cwd=folder, capture_output=True, text=True, check=True
    )
    return set(json.loads(process.stdout))


def _core_modules(project: Path) -> list[str]:
    root = project / "src"
    outer = ("cli", "adapters", "serving")
    paths = [path for path in (root / "captiongen").rglob("*.py") if path.relative_to(root).parts[1] not in outer]
    parts = [path.relative_to(root).with_suffix("").parts for path in paths]
    return [".".join(part[:-1] if part[-1] == "__init__" else part) for part in parts]


def test_importing_the_whole_core_loads_no_vendor_and_writes_nothing(project: Path, tmp_path: Path):
    """Every module outside cli, adapters and serving imports without MLflow, Prefect, DVC, GX, BentoML or Gradio."""
    loaded = _modules_after_importing(_core_modules(project), tmp_path)
    assert loaded.isdisjoint(VENDORS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["captiongen", "captiongen.cli", "captiongen.text.normalise", "captiongen.params"])
def test_light_modules_stay_light(name: str, tmp_path: Path):
    """The package, its command line, text and params import neither torch nor pandas nor a vendor."""
    loaded = _modules_after_importing([name], tmp_path)
    assert loaded.isdisjoint([*VENDORS, "torch", "timm", "pandas", "matplotlib"])
    assert list(tmp_path.iterdir()) == []
