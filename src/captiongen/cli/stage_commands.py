"""The DVC stages as commands: `dvc.yaml` calls exactly these."""

import typer

from captiongen.cli.layout import Layout
from captiongen.params import load_params

app = typer.Typer(rich_markup_mode="markdown")


@app.command(rich_help_panel="Stages (dvc.yaml)")
def ingest() -> None:
    """Lists every image and caption of the data set in one manifest."""
    from captiongen.stages.ingest import ingest as run

    layout = Layout()
    params = load_params(layout.params)
    run(params.ingest, source_folder=layout.root / params.ingest.path, out_folder=layout.interim)
