"""The environment of the tools beside us."""

import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from captiongen.cli.environment import apply_defaults, defaults, prepare_prefect


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which none of our variables is set; restored afterwards."""
    for name in defaults(Path()):
        monkeypatch.setenv(name, "")  # so that monkeypatch restores it
        monkeypatch.delenv(name)


def test_the_user_wins(clean_environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A variable that is set already keeps its value; the others get theirs."""
    monkeypatch.setenv("PREFECT_HOME", "/mine")
    apply_defaults(tmp_path)
    assert os.environ["PREFECT_HOME"] == "/mine"
    assert os.environ["BENTOML_HOME"] == str(tmp_path / ".bentoml")
    assert os.environ["DO_NOT_TRACK"] == "1"


def test_homes_lie_in_the_project_and_are_not_made(clean_environment, tmp_path: Path):
    """Homes are absolute paths in the project, and naming them makes no folder."""
    apply_defaults(tmp_path)
    assert Path(os.environ["PREFECT_HOME"]).is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_shell_gets_the_same_list(clean_environment, tmp_path: Path):
    """`eval "$(captiongen env)"` sets what `apply_defaults` sets, also in a folder with a blank in its name."""
    folder = tmp_path / "my project"
    folder.mkdir()
    captiongen = Path(sys.executable).parent / "captiongen"
    script = f'eval "$({shlex.quote(str(captiongen))} env)" && env -0'
    process = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=True)
    shell = dict(line.split("=", 1) for line in process.stdout.split("\0") if "=" in line)
    assert {name: shell[name] for name in defaults(folder)} == defaults(folder)
    assert shell["MLFLOW_TRACKING_URI"] == f"sqlite:///{folder / '.captiongen' / 'mlflow.db'}"


def test_a_plain_bentoml_serve_listens_on_this_machine_only():
    """BentoML's own default is every network that the machine is in; its `serve` takes ours from the environment."""
    # In a process of its own: BentoML's command line cannot be built where a service was loaded before.
    script = """
import click
from bentoml_cli.cli import create_bentoml_cli
from captiongen.cli.environment import apply_defaults

apply_defaults()
serve = create_bentoml_cli().commands["serve"]
print(next(option for option in serve.params if option.name == "host").resolve_envvar_value(click.Context(serve)))
"""
    environment = {name: value for name, value in os.environ.items() if name != "BENTOML_HOST"}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "127.0.0.1"


def test_plots_say_nothing_of_fonts_that_a_machine_lacks(clean_environment, caplog: pytest.LogCaptureFixture):
    """Looking for a font that is not there leaves no line, and MLflow draws no bars for the files it keeps."""
    from matplotlib.font_manager import FontProperties, findfont

    apply_defaults()
    findfont(FontProperties(family="no such font"))
    assert [record for record in caplog.records if record.levelno < logging.ERROR] == []
    from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

    assert MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.get() is False


def test_prefect_finds_its_home_in_a_fresh_clone(clean_environment, tmp_path: Path):
    """The folder is there before Prefect looks, parents and all."""
    prepare_prefect(tmp_path)
    assert Path(os.environ["PREFECT_HOME"]) == tmp_path / ".captiongen" / "prefect"
    assert Path(os.environ["PREFECT_HOME"]).is_dir()
