"""A stage is stale after an edit of any module that it imports: dvc.yaml's `deps` cover them all."""

from pathlib import Path

import grimp
import pytest
import yaml

STAGES = ["ingest", "validate", "preprocess", "train", "evaluate", "analyse"]
#: They make torchvision importable and hold the version: neither changes what a stage computes.
WITHOUT_EFFECT = {"captiongen", "captiongen._torchvision"}


@pytest.fixture(scope="module")
def imports() -> grimp.ImportGraph:
    return grimp.build_graph("captiongen", cache_dir=None)


def _file_of(module: str, project: Path) -> Path:
    path = project.joinpath("src", *module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _code_deps(stage: str, project: Path) -> list[Path]:
    deps = yaml.safe_load((project / "dvc.yaml").read_text())["stages"][stage]["deps"]
    return [project / dep for dep in deps if dep.startswith("src/")]


@pytest.mark.parametrize("stage", STAGES)
def test_every_imported_module_is_a_dependency(imports: grimp.ImportGraph, project: Path, stage: str):
    """Each module that a stage imports, directly or not, lies in a file or folder that `deps` names."""
    name = f"captiongen.stages.{stage}"
    modules = ({name} | imports.find_upstream_modules(name)) - WITHOUT_EFFECT
    deps = _code_deps(stage, project)
    uncovered = [
        module
        for module in modules
        if not any(dep == _file_of(module, project) or dep in _file_of(module, project).parents for dep in deps)
    ]
    assert uncovered == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_is_superfluous(imports: grimp.ImportGraph, project: Path, stage: str):
    """Each file or folder of code that `deps` names is imported by the stage, so that nothing reruns in vain.

    Adapters are the exception: the command line hands them in.
    """
    name = f"captiongen.stages.{stage}"
    files = [_file_of(module, project) for module in {name} | imports.find_upstream_modules(name)]
    adapters = project / "src" / "captiongen" / "adapters"
    idle = [
        dep.relative_to(project).as_posix()
        for dep in _code_deps(stage, project)
        if adapters not in dep.parents and not any(dep == file or dep in file.parents for file in files)
    ]
    assert idle == []
