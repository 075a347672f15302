"""Nobody is told that this project runs: each tool itself, asked in a fresh process, says that its telemetry is off."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from captiongen.cli.environment import TELEMETRY_OFF

QUESTIONS = {
    "dvc": "from dvc.analytics import is_enabled; on = is_enabled()",
    "mlflow": "from mlflow.telemetry.utils import is_telemetry_disabled; on = not is_telemetry_disabled()",
    "bentoml": "from bentoml._internal.utils.analytics.usage_stats import do_not_track; on = not do_not_track()",
    "gradio": "from gradio.analytics import analytics_enabled; on = analytics_enabled()",
    "huggingface_hub": "from huggingface_hub import constants; on = not constants.HF_HUB_DISABLE_TELEMETRY",
    "prefect client": "from prefect._internal.analytics import enabled; on = enabled.is_telemetry_enabled()",
    "prefect server": "from prefect.settings import get_current_settings as s; on = s().server.analytics_enabled",
}


@pytest.mark.parametrize("tool", QUESTIONS)
def test_telemetry_is_off(tool: str, tmp_path: Path):
    """With the project's environment, in a folder of no project, the tool answers that it reports nothing."""
    environment = {name: value for name, value in os.environ.items() if name not in TELEMETRY_OFF}
    code = (
        f"from captiongen.cli.environment import apply_defaults; apply_defaults(); {QUESTIONS[tool]}; print(bool(on))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert process.stdout.split()[-1:] == ["False"], process.stderr


def test_the_repository_switches_dvc_off_for_plain_dvc_commands(project: Path):
    """`.dvc/config` turns DVC's analytics and its look for updates off, also for who calls `dvc` without our CLI."""
    lines = [line.strip() for line in (project / ".dvc" / "config").read_text().splitlines()]
    assert "analytics = false" in lines
    assert "check_update = false" in lines
