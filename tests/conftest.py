"""What every test shares: captiongen first, the tools' files in a temporary folder, no network, one thread."""

import os
import shutil
import tempfile
from pathlib import Path, PurePosixPath

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

import captiongen  # noqa: F401 - before timm, torchmetrics or mlflow.pytorch: it makes torchvision importable
from captiongen.cli.environment import TELEMETRY_OFF, apply_defaults

_PROJECT = Path(__file__).resolve().parent.parent
_STATE = Path(tempfile.mkdtemp(prefix="captiongen-tests-"))

# Most tools read their settings when they are imported, so this is no fixture. Nothing of the user's is read or
# written, and a test that would reach the model hub fails at once.
for _name in (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_REGISTRY_URI",
    "PREFECT_API_URL",
    "PREFECT_PROFILE",
    "GIT_DIR",
    "DVC_ROOT",
):
    os.environ.pop(_name, None)
os.environ.update(TELEMETRY_OFF)
os.environ.update(
    PREFECT_HOME=str(_STATE / "prefect"),
    BENTOML_HOME=str(_STATE / "bentoml"),
    DVC_SITE_CACHE_DIR=str(_STATE / "dvc" / "site"),
    DVC_GLOBAL_CONFIG_DIR=str(_STATE / "dvc" / "global"),
    DVC_SYSTEM_CONFIG_DIR=str(_STATE / "dvc" / "system"),
    GIT_AUTHOR_NAME="test",
    GIT_AUTHOR_EMAIL="test@example.org",
    GIT_COMMITTER_NAME="test",
    GIT_COMMITTER_EMAIL="test@example.org",
    HF_HUB_OFFLINE="1",
    MPLBACKEND="Agg",
)
os.environ.setdefault("OMP_NUM_THREADS", "1")
apply_defaults(_STATE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests get half an hour each instead of five minutes: what they wait for is not stuck."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Keeps a file's tests on one worker, and a folder's where its files share a server or a project.

    In pytest 9.2 the groups of `--dist loadgroup` are lost: xdist 3.8 writes them to an attribute that is gone.
    """

    class SharedFixtures(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = PurePosixPath(nodeid.split("::")[0])
            shares = path.parent.name in ("e2e", "serving") and "unit" not in path.parts
            return str(path.parent if shares else path)

    return SharedFixtures(config, log)


def pytest_sessionfinish() -> None:
    """Removes what the tools wrote."""
    shutil.rmtree(_STATE, ignore_errors=True)


@pytest.fixture(scope="session")
def project() -> Path:
    """The root of this repository."""
    return _PROJECT


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with Flickr8k's archives; tests that ask for it are skipped where it is not."""
    folder = Path(os.environ.get("CAPTIONGEN_FLICKR8K", _PROJECT.parent / "shared" / "flickr8k"))
    if not (folder / "Flickr8k_text.zip").is_file():
        pytest.skip("Flickr8k's archives are not here: set CAPTIONGEN_FLICKR8K to the folder that holds them")
    return folder
