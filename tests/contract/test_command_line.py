"""The command line explains itself, starts fast, and turns project errors into exit codes."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
from commands import all_commands

COMMANDS = all_commands()


def _captiongen(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).parent / "captiongen"
    return subprocess.run([program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


def test_help_comes_fast(tmp_path: Path):
    """`captiongen --help` loads no heavy library: it costs less than 2 s of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert _captiongen("--help", cwd=tmp_path).returncode == 0
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_with_an_example(name: str):
    """The help of each command has a sentence and an example that starts with the command itself."""
    command = COMMANDS[name]
    text = f"{command.help or ''} {command.epilog or ''}"
    assert command.help
    assert f"captiongen {name}" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str):
    """Each option and argument of each command has help text."""
    parameters = COMMANDS[name].params
    assert [p.name for p in parameters if p.name != "help" and not getattr(p, "help", None)] == []


def test_a_project_error_is_one_line_and_its_exit_code(tmp_path: Path):
    """Outside a project, `captiongen ingest` says that params.yaml is missing and what to do, and exits with 2."""
    process = _captiongen("ingest", cwd=tmp_path)
    assert process.returncode == 2
    assert process.stderr.startswith("error: params.yaml is missing")
    assert "captiongen use scenes" in process.stderr
    assert process.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_key_in_params_is_named(tmp_path: Path, project: Path):
    """A misspelt key stops every stage with exit code 2 and its dotted name."""
    params = (project / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params.replace("num_epochs", "num_epoch"))
    process = _captiongen("ingest", cwd=tmp_path)
    assert process.returncode == 2
    assert "train.phases.0.finetuned.num_epoch: unknown key" in process.stderr
