"""An error analysis as tables of a Prefect run, for whoever looks there first."""

from pathlib import Path


def publish_analysis(folder: Path, title: str, *, num_worst: int) -> None:
    """Makes a table artifact of each part of an analysis that has rows; call it from a flow.

    Args:
        folder: what `analyse` wrote.
        title: the model and the split.
        num_worst: captions to show.
    """
    from prefect.artifacts import create_table_artifact

    from captiongen.analysis.tables import shown_tables

    for table in shown_tables(folder, num_worst=num_worst):
        if table.rows:
            create_table_artifact(list(table.rows), key=table.key, description=f"{table.title}: {title}")
