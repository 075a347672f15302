"""One way to name a model on the command line, wherever it lives."""

from difflib import get_close_matches
from pathlib import Path

from captiongen.cli.layout import Layout
from captiongen.errors import ServiceError, UsageError

HELP = (
    "models:/NAME@ALIAS or models:/NAME/VERSION (registry), bento:TAG (packaged), `starter` (comes with the "
    "repository), or a captioner folder. By default the Bento that was released last, else models/captioner, else the "
    "starter."
)
STARTER = "starter"


def model_folder(uri: str | None, *, project: Path, model_name: str) -> Path:
    """Returns the captioner folder that a URI names.

    Args:
        uri: as `HELP` says; None for the default.
        project: the project folder.
        model_name: the released model's name, for the default.

    Raises:
        UsageError: there is no such model, or no model at all.
        ServiceError: the registry or BentoML's store fails.
    """
    from captiongen.adapters.bento_packaging import bento_model_folder
    from captiongen.adapters.mlflow_registry import download_model

    if uri is None:
        return _default(project, model_name)
    if uri == STARTER:
        return starter_folder(project)
    if uri.startswith("bento:"):
        return bento_model_folder(uri.removeprefix("bento:"), project=project)
    if not uri.startswith(("models:/", "runs:/")) and not Path(uri).is_dir():
        hint = f" Did you mean {STARTER!r}?" if get_close_matches(uri, [STARTER]) else ""
        raise UsageError(
            f"Expected a model as models:/NAME@ALIAS, models:/NAME/VERSION, runs:/RUN/PATH, bento:TAG, {STARTER!r} or "
            f"a captioner folder, found {uri!r}.{hint}"
        )
    return download_model(uri, project=project)


def _default(project: Path, model_name: str) -> Path:
    from captiongen.adapters.bento_packaging import bento_model_folder

    try:
        return bento_model_folder(f"{model_name.lower()}:latest", project=project)
    except ServiceError:
        layout = Layout(project)
        for folder in (layout.model, layout.starter):
            if (folder / "manifest.json").is_file():
                return folder
        raise UsageError(
            "Expected a model, found no Bento, no models/captioner and no models/starter. Restore the latter with "
            "`git checkout models/starter`, run `make run` or `dvc repro`, or name one with --model."
        ) from None


def starter_folder(project: Path) -> Path:
    """Returns the folder of the captioner that comes with the repository.

    Raises:
        UsageError: it is not there.
    """
    folder = Layout(project).starter
    if not (folder / "manifest.json").is_file():
        raise UsageError(f"Expected the starter in {folder}, found none. `git checkout {folder}` restores it.")
    return folder
