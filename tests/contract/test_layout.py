"""dvc.yaml and `Layout` name the same paths."""

from pathlib import Path

import yaml

from captiongen.cli.layout import Layout


def test_every_output_of_the_graph_lies_where_layout_says(project: Path):
    """Each `out`, `metric` and `plot` of a stage is a folder of `Layout` or lies in one."""
    layout = Layout()
    folders = {
        "ingest": [layout.interim],
        "validate": [layout.validation],
        "preprocess": [layout.processed, layout.data_card],
        "train": [layout.model, layout.training],
        "evaluate": [layout.evaluation],
        "analyse": [layout.analysis, layout.corrections.proposals("analysis")],
        "audit": [layout.audit, layout.corrections.proposals("audit")],
    }
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    for name, stage in stages.items():
        entries = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
        paths = [Path(next(iter(entry)) if isinstance(entry, dict) else entry) for entry in entries]
        for path in paths:
            assert any(folder == path or folder in path.parents for folder in folders[name]), (name, path)
        for folder in folders[name]:
            assert any(folder == path or folder in path.parents for path in paths), (name, folder)


def test_nothing_that_a_run_writes_is_tracked_by_git(project: Path):
    """`.gitignore` names the state folder and every output of the graph."""
    ignored = (project / ".gitignore").read_text().splitlines()
    assert {
        "/.captiongen/",
        "/.bentoml/",
        "/data/interim/",
        "/data/processed/",
        "/models/captioner/",
        "/reports/",
    } <= set(ignored)
