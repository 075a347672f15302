"""Prefect on this machine, whole: server, work pool, deployments with their schedules, and a worker.

    python -m flows.local --port 4200

Everything ends together, on Ctrl-C, on SIGTERM, or when one of the two processes dies.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from captiongen.adapters.readiness import is_ready_in_time
from captiongen.cli.app import run
from captiongen.cli.environment import prepare_prefect
from captiongen.errors import ServiceError

POOL = "captiongen"
_START_SECONDS, _STOP_SECONDS = 300.0, 15.0  # a machine that also trains needs minutes


@contextmanager
def prefect_server(port: int) -> Iterator[str]:
    """Runs a Prefect server on 127.0.0.1 while the block runs; yields its API's address when it answers.

    Raises:
        ServiceError: it does not answer in time, or ends.
    """
    url = f"http://127.0.0.1:{port}/api"
    with _running("server", "start", "--host", "127.0.0.1", "--port", str(port), url=url) as process:
        if not is_ready_in_time(process, f"{url}/health", seconds=_START_SECONDS):
            raise ServiceError(f"Prefect's server does not answer on port {port}; its log stands above.")
        yield url


def deploy(project: Path, url: str, *, pool: str = POOL) -> None:
    """Makes the work pool, where it is missing, and applies every deployment of prefect.yaml.

    Raises:
        ServiceError: Prefect refuses.
    """
    _prefect(project, url, "work-pool", "create", pool, "--type", "process", "--overwrite")
    _prefect(project, url, "--no-prompt", "deploy", "--all")


@contextmanager
def worker(project: Path, url: str, *, pool: str = POOL) -> Iterator["subprocess.Popen[bytes]"]:
    """Runs a worker that takes flow runs off the pool while the block runs."""
    with _running("worker", "start", "--pool", pool, "--type", "process", project=project, url=url) as process:
        yield process


def main(
    port: Annotated[int, typer.Option(help="Port of the server, on 127.0.0.1.")] = 4200,
    project: Annotated[Path, typer.Option(help="Folder of prefect.yaml.")] = Path(),
) -> None:
    """Runs Prefect's server and a worker, with the deployments of prefect.yaml applied, until Ctrl-C."""
    prepare_prefect(project)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with prefect_server(port) as url:
        deploy(project, url)
        with worker(project, url) as process:
            typer.echo(f"\nPrefect at http://127.0.0.1:{port} with a worker; Ctrl-C ends both. Try, in another shell:")
            typer.echo(f"  PREFECT_API_URL={url} prefect deployment run pipeline/nightly --watch")
            try:
                process.wait()
            except KeyboardInterrupt:
                return
    raise ServiceError("Prefect's worker ended by itself; its log stands above.")


@contextmanager
def _running(*arguments: str, url: str, project: Path = Path()) -> "Iterator[subprocess.Popen[bytes]]":
    process = subprocess.Popen(
        # In a terminal Prefect would stop and ask, such as for a profile whose address is another one.
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        stdin=subprocess.DEVNULL,
        cwd=project,
        env=_environment(url),
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others in order
    )
    try:
        yield process
    finally:
        for name in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                os.killpg(process.pid, name)
                _wait(process)


def _wait(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        return


def _prefect(project: Path, url: str, *arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *arguments],
        cwd=project,
        env=_environment(url),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ServiceError(f"`prefect {' '.join(arguments)}` failed: {(done.stderr or done.stdout).strip()}")


def _environment(url: str) -> dict[str, str]:
    # The worker's flow runs call `captiongen` and `dvc`, activated environment or not.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return {**os.environ, "PATH": path, "PREFECT_API_URL": url}


if __name__ == "__main__":
    run(lambda: typer.run(main))
