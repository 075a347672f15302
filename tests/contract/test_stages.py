"""One name per stage: dvc.yaml, params.yaml, the module, its function, the command and the test file agree."""

import importlib
import inspect
from pathlib import Path

import pytest
import typer.main
import yaml

from captiongen.cli.app import app
from captiongen.params import Params

STAGES = ["ingest", "validate", "preprocess", "train", "evaluate", "analyse", "audit"]


@pytest.fixture(scope="module")
def graph(project: Path) -> dict:
    return yaml.safe_load((project / "dvc.yaml").read_text())["stages"]


def test_dvc_lists_the_stages_in_order_and_each_calls_its_own_command(graph):
    """`dvc.yaml` holds exactly these stages, and the `cmd` of each is `captiongen <stage>`."""
    assert list(graph) == STAGES
    assert {name: stage["cmd"] for name, stage in graph.items()} == {name: f"captiongen {name}" for name in STAGES}


def test_params_have_one_section_per_stage(project: Path):
    """The sections of params.yaml, and of its schema, are the stages, followed by `release`."""
    sections = [*STAGES, "release"]
    assert list(yaml.safe_load((project / "params.yaml").read_text())) == sections
    assert [field.alias or name for name, field in Params.model_fields.items()] == sections


def test_modules_are_the_stages(project: Path):
    """`captiongen/stages` holds one module per stage and nothing else."""
    folder = project / "src" / "captiongen" / "stages"
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_module_has_one_public_function_of_its_name(stage: str):
    """`stages/train.py` defines `train` and no other public function."""
    module = importlib.import_module(f"captiongen.stages.{stage}")
    functions = inspect.getmembers(module, inspect.isfunction)
    public = [name for name, value in functions if value.__module__ == module.__name__ and not name.startswith("_")]
    assert public == [stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_every_param_section_that_its_module_reads(graph, stage: str):
    """A stage is stale after a change of its own section of params.yaml."""
    assert stage in graph[stage]["params"]


def test_every_stage_is_a_command():
    """`captiongen <stage>` exists for every stage."""
    assert set(STAGES) <= set(typer.main.get_command(app).commands)


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_has_its_test_file(project: Path, stage: str):
    """`tests/unit/stages/test_<stage>.py` exists for every stage."""
    assert (project / "tests" / "unit" / "stages" / f"test_{stage}.py").is_file()
