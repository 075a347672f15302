"""Runs the stages of dvc.yaml one by one, in the order that DVC itself plans; there is no second list of stages."""

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from captiongen.adapters.process_group import run_group
from captiongen.errors import GateError, ServiceError

if TYPE_CHECKING:
    from dvc.stage import Stage

_NUM_ERROR_LINES = 15
_GATE_EXIT_CODE = GateError.exit_code
#: What DVC writes when it really runs a stage, or takes changed source data in.
_RUNS = re.compile(r"^(?:Running stage '(?P<stage>[^']+)'|Verifying data sources in stage: '(?P<source>[^']+)')")


@dataclass(frozen=True, slots=True)
class StageRun:
    """How one stage went.

    Attributes:
        name: the stage as dvc.yaml names it, or the .dvc file of source data.
        outcome: `ran`, or `cached` when its outputs were there already or came out of DVC's cache.
        seconds: wall time, DVC's own about 2 s included.
    """

    name: str
    outcome: Literal["ran", "cached"]
    seconds: float


class DvcPipeline:
    """The pipeline of one project folder.

    Stages must be run in the order of `stages`, and `check_complete` called at the end: `dvc repro -s` alone takes a
    stage for up to date while one before it is stale. Then dvc.lock is, byte for byte, what a plain `dvc repro` writes.
    """

    def __init__(self, project: Path) -> None:
        self._project = project.resolve()

    def stages(self) -> tuple[str, ...]:
        """Returns what `dvc repro` would go through, in its order: stages, and the .dvc files of their source data.

        Raises:
            ServiceError: the folder is no DVC project, or dvc.yaml cannot be read.
        """
        from dvc.dvcfile import PROJECT_FILE
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        try:
            with Repo(str(self._project)) as repo:
                # DVC resolves names against the current folder, which need not be the project's.
                targets = collect_stages(repo, [str(self._project / PROJECT_FILE)])
                plan = plan_repro(get_active_graph(repo.index.graph), targets)
                return tuple(_name(stage, self._project) for stage in plan)
        except DvcException as error:
            raise ServiceError(f"DVC cannot read the pipeline in {self._project}: {error}") from error

    @contextmanager
    def exclusive(self, *, log: Callable[[str], None]) -> Iterator[None]:
        """Keeps other runs of this pipeline out while the block runs; waits for one that is at work, and says so.

        The lock dies with its process, so a run that was killed holds nobody up.
        """
        from filelock import FileLock, Timeout

        folder = self._project / ".captiongen"
        folder.mkdir(exist_ok=True)
        lock = FileLock(folder / "pipeline.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log(f"another run of the pipeline is at work in {self._project}: waiting for it")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def run_stage(self, name: str, *, log: Callable[[str], None]) -> StageRun:
        """Brings one stage up to date; its output goes to `log` line by line as it comes.

        Everything the stage starts ends with this call, also when the call is interrupted or this process is killed.

        Raises:
            GateError: the stage's own check said no (exit code 4); the message ends with the stage's last lines.
            ServiceError: the stage or DVC failed otherwise.
        """
        start = time.monotonic()
        code, lines = self._repro("--single-item", name, log=log)
        if code != 0:
            kind = GateError if any(f"exited with {_GATE_EXIT_CODE}" in line for line in lines) else ServiceError
            raise kind(f"Stage {name} failed (DVC's exit code {code}). Its last lines:\n{_tail(lines)}")
        outcome: Literal["ran", "cached"] = "ran" if any(_RUNS.match(line) for line in lines) else "cached"
        return StageRun(name, outcome, time.monotonic() - start)

    def check_complete(self) -> None:
        """Holds that a plain `dvc repro` would find nothing left to do.

        Raises:
            ServiceError: it would run stages, which are named; or DVC failed.
        """
        code, lines = self._repro("--dry", log=lambda line: None)
        stale = [match["stage"] or match["source"] for match in map(_RUNS.match, lines) if match]
        if stale:  # with an exit code where a later stage misses what they would write
            raise ServiceError(
                f"Expected the pipeline to be up to date, but these stages are stale: {', '.join(stale)}. "
                "Run `dvc repro`; if that just happened, something changed files meanwhile."
            )
        if code != 0:
            raise ServiceError(f"`dvc repro --dry` failed (exit code {code}):\n{_tail(lines)}")

    def _repro(self, *arguments: str, log: Callable[[str], None]) -> tuple[int, list[str]]:
        lines: list[str] = []

        def keep(line: str) -> None:
            lines.append(line)
            log(line)

        programs = Path(sys.executable).parent  # where `captiongen` lies, activated or not
        code = run_group(
            [sys.executable, "-m", "dvc", "--wait-for-lock", "repro", *arguments],
            cwd=self._project,
            log=keep,
            environment={
                "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
                "DVC_NO_ANALYTICS": "1",
            },
        )
        return code, lines


def _tail(lines: list[str]) -> str:
    return "\n".join([line for line in lines if line][-_NUM_ERROR_LINES:])


def _name(stage: "Stage", project: Path) -> str:
    """The stage as `dvc repro` takes it in the project folder, whatever the current folder is."""
    file = str(Path(stage.path).relative_to(project))
    if stage.is_data_source:
        return file
    return stage.name if file == "dvc.yaml" else f"{file}:{stage.name}"
