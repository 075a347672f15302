"""The released captioner over HTTP, on this machine."""

import os
import socket
import subprocess
import sys
import webbrowser
from contextlib import suppress
from typing import Annotated

import typer

from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import STARTER
from captiongen.cli.parent_process import sigterm_with_parent
from captiongen.cli.starter_commands import starter_bento
from captiongen.errors import ServiceError, UsageError
from captiongen.params import load_params

app = typer.Typer(rich_markup_mode="markdown")

_START_SECONDS, _STOP_SECONDS = 120.0, 20.0
_DRAIN_SECONDS = 30  # what a request may take at most, and some more


@app.command(
    rich_help_panel="Models and captions",
    epilog="Examples: `captiongen serve --port 3001 --open` · `captiongen serve starter`",
)
def serve(
    tag: Annotated[
        str | None,
        typer.Argument(help="The Bento, or `starter`; by default the Bento that was released last."),
    ] = None,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1.", min=1, max=65535)] = 3000,
    is_opened: Annotated[bool, typer.Option("--open", help="Open the web page when the service is ready.")] = False,
    has_feedback: Annotated[
        bool,
        typer.Option("--feedback", help="Take reports of captions into .captiongen/feedback; see docs/operations.md."),
    ] = False,
) -> None:
    """Serves a released captioner on this machine: the web page at `/`, `POST /caption` for programs.

    Runs until Ctrl-C. What is in flight then is still answered.
    """
    need_port(port)
    if tag == STARTER:
        found = starter_bento(Layout())
    else:
        found = _find_bento(tag or f"{load_params(Layout().params).release.model_name.lower()}:latest")
    url = f"http://127.0.0.1:{port}"
    typer.echo(f"{found} at {url}")
    if has_feedback:
        typer.echo(f"  reports of captions are kept in {_take_feedback(Layout())}")
    typer.echo(f"  caption a picture: curl -F image=@PICTURE.jpg {url}/caption")
    command = [sys.executable, "-m", "bentoml", "serve", found, "--host", "127.0.0.1", "--port", str(port)]
    # Without it one client that keeps a connection open keeps the server from ever ending.
    command += ["--timeout-graceful-shutdown", str(_DRAIN_SECONDS)]
    if not is_opened:
        sys.stdout.flush()
        os.execv(sys.executable, command)  # noqa: S606 - signals must reach the server itself
    _serve_and_open(command, url)


def _take_feedback(layout: Layout) -> str:
    """Turns feedback on for the server to come; returns its folder: the environment's, or that of the project."""
    folder = os.environ.get("CAPTIONGEN_FEEDBACK") or str(layout.feedback.resolve())
    os.environ["CAPTIONGEN_FEEDBACK"] = folder
    return folder


def _find_bento(tag: str) -> str:
    """Returns the full tag of a Bento in the project's store."""
    import bentoml
    from bentoml.exceptions import BentoMLException

    from captiongen.adapters.bento_packaging import check_tag

    check_tag(tag)
    try:
        return str(bentoml.bentos.get(tag).tag)
    except BentoMLException:
        raise UsageError(
            f"Expected the Bento {tag} in {os.environ['BENTOML_HOME']}, found none. Nothing has been released here "
            "yet under that name: run `make run`, or `dvc repro` and `captiongen release`. `captiongen serve starter` "
            "serves the captioner that comes with the repository."
        ) from None


def need_port(port: int) -> None:
    """Refuses a port of 127.0.0.1 on which somebody listens.

    Raises:
        UsageError: it is taken.
    """
    with socket.socket() as probe:
        is_taken = probe.connect_ex(("127.0.0.1", port)) == 0
    if is_taken:
        raise UsageError(f"Port {port} is taken. Stop what listens there, or choose another: --port {port + 1}.")


def _serve_and_open(command: list[str], url: str) -> None:
    from captiongen.adapters.readiness import is_ready_in_time

    process = subprocess.Popen(command, preexec_fn=sigterm_with_parent())
    try:
        if not is_ready_in_time(process, f"{url}/readyz", seconds=_START_SECONDS):
            raise ServiceError(f"The service {_why_not_ready(process)}; its log stands above.")
        typer.echo(f"the page: {url}/")
        webbrowser.open(f"{url}/")
        process.wait()
    except KeyboardInterrupt:
        process.wait()  # Ctrl-C went to it too
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):  # so that its port is free again
            process.wait(_STOP_SECONDS)
    if process.returncode > 0:
        raise ServiceError(f"The service ended with exit code {process.returncode}; its log stands above.")


def _why_not_ready(process: "subprocess.Popen[bytes]") -> str:
    code = process.poll()
    return f"is not ready after {_START_SECONDS:.0f} s" if code is None else f"ended with exit code {code}"
