"""The pipeline through a real DVC."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from repositories import commit, dvc, git_init

from captiongen.adapters.dvc_pipeline import DvcPipeline
from captiongen.errors import GateError, ServiceError

# Written in another order than they must run in.
STAGES = """
stages:
  count:
    cmd: wc -w < copy.txt > count.txt && cat bar.txt
    deps: [copy.txt]
    params: [scale]
    outs: [count.txt]
  copy:
    cmd: cat data/raw.txt > copy.txt
    deps: [data/raw.txt]
    outs: [copy.txt]
"""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dvc") / "project"
    git_init(folder)
    dvc(folder, "init", "--quiet")
    (folder / "data").mkdir()
    (folder / "data/raw.txt").write_text("a b c\n")
    (folder / "bar.txt").write_text("counted\n")
    (folder / "dvc.yaml").write_text(STAGES)
    (folder / "params.yaml").write_text("scale: 1\n")
    dvc(folder, "add", "--quiet", "data/raw.txt")
    commit(folder)
    return folder


@pytest.fixture
def folder(template: Path, tmp_path: Path) -> Path:
    """A fresh copy of a project with two stages and one tracked file."""
    return shutil.copytree(template, tmp_path / "project", symlinks=True)


def run_all(pipeline: DvcPipeline) -> list[tuple[str, str]]:
    lines: list[str] = []
    return [
        (one.name, one.outcome) for one in (pipeline.run_stage(name, log=lines.append) for name in pipeline.stages())
    ]


def test_stages_come_in_the_order_that_dvc_plans(folder: Path, monkeypatch: pytest.MonkeyPatch):
    """The order follows the data, not the file, and does not depend on the current folder."""
    expected = ("data/raw.txt.dvc", "copy", "count")
    assert DvcPipeline(folder).stages() == expected
    monkeypatch.chdir(folder.parent)
    assert DvcPipeline(folder).stages() == expected


def test_a_run_writes_the_lock_file_of_a_plain_repro(folder: Path):
    """Stage by stage or all at once: dvc.lock is the same, byte for byte; a second run finds all cached."""
    pipeline = DvcPipeline(folder)
    assert run_all(pipeline) == [("data/raw.txt.dvc", "cached"), ("copy", "ran"), ("count", "ran")]
    pipeline.check_complete()
    by_stages = (folder / "dvc.lock").read_bytes()
    assert pipeline.run_stage("count", log=lambda line: None).outcome == "cached"
    assert (folder / "dvc.lock").read_bytes() == by_stages
    (folder / "dvc.lock").unlink()
    (folder / "copy.txt").unlink()
    dvc(folder, "repro", "--quiet", "--force")
    assert (folder / "dvc.lock").read_bytes() == by_stages


def test_what_is_stale_is_named(folder: Path):
    """After a change of a param the pipeline is not complete, and the message names the stage."""
    pipeline = DvcPipeline(folder)
    with pytest.raises(ServiceError, match="stale: copy"):
        pipeline.check_complete()
    dvc(folder, "repro", "--quiet")
    (folder / "params.yaml").write_text("scale: 2\n")
    with pytest.raises(ServiceError, match="stale: count"):
        pipeline.check_complete()


@pytest.mark.parametrize(("code", "error"), [(3, ServiceError), (4, GateError)])
def test_a_failed_stage_surfaces_with_its_last_words(folder: Path, code: int, error: type[Exception]):
    """What the stage said is in the error; exit code 4 is a gate that said no."""
    (folder / "dvc.yaml").write_text(
        STAGES.replace("cat data/raw.txt", f"echo 'rows 3 and 7 are bad' >&2; exit {code}; cat")
    )
    with pytest.raises(error, match="rows 3 and 7 are bad") as caught:
        DvcPipeline(folder).run_stage("copy", log=lambda line: None)
    assert type(caught.value) is error


def test_output_streams_while_the_stage_runs(folder: Path):
    """A line reaches the log before the stage ends."""
    (folder / "dvc.yaml").write_text(
        STAGES.replace("cat data/raw.txt", "echo early >&2; sleep 1.5; echo late >&2; cat data/raw.txt")
    )
    said: dict[str, float] = {}
    DvcPipeline(folder).run_stage("copy", log=lambda line: said.setdefault(line, time.monotonic()) and None)
    assert said["late"] - said["early"] > 1.0


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_a_caller_that_is_killed(folder: Path, name: signal.Signals):
    """Whatever kills the caller, DVC and the stage's own processes are gone within seconds."""
    (folder / "dvc.yaml").write_text(STAGES.replace("cat data/raw.txt", "echo $$ > pid; sleep 300; cat data/raw.txt"))
    script = f"""
from pathlib import Path
from captiongen.adapters.dvc_pipeline import DvcPipeline
DvcPipeline(Path({str(folder)!r})).run_stage("copy", log=lambda line: None)
"""
    caller = subprocess.Popen([sys.executable, "-c", script])
    stage = wait_for_process(folder / "pid")
    os.kill(caller.pid, name)
    caller.wait(10)
    _, alive = psutil.wait_procs([stage], timeout=10)
    assert not alive


def test_a_killed_dvc_takes_its_stage_with_it(folder: Path):
    """A DVC that is killed outright fails the stage and leaves no process of it behind."""
    (folder / "dvc.yaml").write_text(STAGES.replace("cat data/raw.txt", "echo $$ > pid; sleep 300; cat data/raw.txt"))
    pipeline = DvcPipeline(folder)
    killed: list[psutil.Process] = []

    def kill(line: str) -> None:
        if line.startswith("> "):
            stage = wait_for_process(folder / "pid")
            killed.append(stage)
            next(one for one in stage.parents() if "dvc" in one.cmdline() and "repro" in one.cmdline()[:6]).kill()

    with pytest.raises(ServiceError, match="137"):
        pipeline.run_stage("copy", log=kill)
    assert killed
    assert not killed[0].is_running()


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_a_stage_of_ours_ends_with_a_plain_dvc_that_is_killed(folder: Path, shell: str):
    """Kill -9 of a `dvc repro` that a person typed takes the stage's command with it, whichever shell stands between.

    Bash becomes the command; Debian's sh, which DVC takes where SHELL is not set, stays and waits for it.
    """
    (folder / "stage.py").write_text(
        "import os, time, pathlib\n"
        "from captiongen.cli.parent_process import end_with_dvc\n"
        "end_with_dvc()\n"
        "pathlib.Path('pid').write_text(str(os.getpid()))\n"
        "time.sleep(300)\n"
    )
    (folder / "dvc.yaml").write_text(STAGES.replace("cat data/raw.txt", f"{sys.executable} stage.py #"))
    dvc = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro"],
        cwd=folder,
        env={**os.environ, "SHELL": shell},
        stdout=subprocess.DEVNULL,
    )
    stage = wait_for_process(folder / "pid")
    dvc.kill()
    dvc.wait()
    _, alive = psutil.wait_procs([stage], timeout=10)
    assert not alive


def test_two_runs_of_a_pipeline_take_turns(folder: Path):
    """The second one says that it waits, and enters when the first has left."""
    script = f"""
import sys, time
from pathlib import Path
from captiongen.adapters.dvc_pipeline import DvcPipeline
with DvcPipeline(Path({str(folder)!r})).exclusive(log=print):
    print("in", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdin=-1, stdout=-1, text=True) as first:
        assert first.stdout.readline() == "in\n"
        said: list[str] = []

        def let_the_first_go(line: str) -> None:
            said.append(line)
            first.stdin.close()

        with DvcPipeline(folder).exclusive(log=let_the_first_go):
            assert first.wait(10) == 0
    assert "waiting" in said[0]


def wait_for_process(pid_file: Path) -> psutil.Process:
    """The process that wrote its number there, once it has."""
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        if pid_file.is_file() and (text := pid_file.read_text().strip()):
            return psutil.Process(int(text))
        time.sleep(0.05)
    raise AssertionError("the stage never started")
