"""A stage is stale after an edit of any module that it imports: dvc.yaml's `deps` cover them all."""

from pathlib import Path

import grimp
import pytest
import yaml

STAGES = ["ingest", "validate", "preprocess", "train", "evaluate", "analyse", "audit"]
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


def _imported(imports: grimp.ImportGraph, stage: str, project: Path) -> set[str]:
    """The stage, the adapters that the command line hands it, and every module of the project that these import."""
    adapters = project / "src" / "captiongen" / "adapters"
    handed_in = {f"captiongen.adapters.{dep.stem}" for dep in _code_deps(stage, project) if adapters in dep.parents}
    roots = {f"captiongen.stages.{stage}"} | handed_in
    return roots.union(*map(imports.find_upstream_modules, roots)) - WITHOUT_EFFECT


@pytest.mark.parametrize("stage", STAGES)
def test_every_imported_module_is_a_dependency(imports: grimp.ImportGraph, project: Path, stage: str):
    """Each module that a stage imports, directly or not, lies in a file or folder that `deps` names."""
    modules = _imported(imports, stage, project)
    deps = _code_deps(stage, project)
    uncovered = [
        module
        for module in modules
        if not any(dep == _file_of(module, project) or dep in _file_of(module, project).parents for dep in deps)
    ]
    assert uncovered == []


@pytest.mark.parametrize("stage", STAGES)
def test_no_dependency_is_superfluous(imports: grimp.ImportGraph, project: Path, stage: str):
    """Each file or folder of code that `deps` names is used by the stage, so that nothing reruns in vain."""
    files = [_file_of(module, project) for module in _imported(imports, stage, project)]
    idle = [
        dep.relative_to(project).as_posix()
        for dep in _code_deps(stage, project)
        if not any(dep == file or dep in file.parents for file in files)
    ]
    assert idle == []
