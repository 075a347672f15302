"""The environment variables that CaptionGen sets for the tools beside it, in one list.

The command line and the flows call `apply_defaults`; the Makefile evaluates `captiongen env`, which prints the same
list for `bentoml`, `mlflow` and `prefect`. What the user has set wins.
"""

import logging
import os
from pathlib import Path

#: Nobody is told that, or how, this project runs.
TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "DVC_NO_ANALYTICS": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "GX_ANALYTICS_ENABLED": "false",
    "BENTOML_DO_NOT_TRACK": "True",  # BentoML knows this word only
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}

#: What the tools keep stays in the project folder, not in the user's home.
HOMES = {
    "PREFECT_HOME": ".captiongen/prefect",
    "BENTOML_HOME": ".bentoml",
}

#: Prefect gives its own server 20 s to start, and a busy 2-core machine needs more.
PATIENCE = {"PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120"}

#: A bar for each file that a run keeps, drawn into logs that nobody watches.
QUIET = {"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}

#: BentoML's own default is every network that the machine is in, and the service asks nobody who they are.
LOOPBACK = {"BENTOML_HOST": "127.0.0.1"}


def defaults(root: Path) -> dict[str, str]:
    """Returns every variable with its default value for the project in `root`."""
    homes = {name: str(root.resolve() / folder) for name, folder in HOMES.items()}
    return TELEMETRY_OFF | homes | PATIENCE | QUIET | LOOPBACK


def apply_defaults(root: Path | None = None) -> None:
    """Sets the variables that the user has not set; `root` is the project folder (None: the current folder).

    Matplotlib has no variable for what it says of every font that a machine lacks, twenty lines a plot; its logger is
    told here, for all plots.

    Call it before a vendor is imported: most of them read their settings at import.
    """
    for name, value in defaults(Path() if root is None else root).items():
        os.environ.setdefault(name, value)
    fonts = logging.getLogger("matplotlib.font_manager")
    if fonts.level == logging.NOTSET:
        fonts.setLevel(logging.ERROR)


def prepare_prefect(root: Path) -> None:
    """As `apply_defaults`, before Prefect is imported; also makes its home.

    Prefect makes that folder itself, but not the one above it: in a fresh clone its own server would not start, and say
    after two minutes of waiting that it timed out.
    """
    apply_defaults(root)
    Path(os.environ["PREFECT_HOME"]).mkdir(parents=True, exist_ok=True)
