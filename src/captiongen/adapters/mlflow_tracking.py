"""Runs in MLflow: what a training had as input, how it went, and what the evaluation of its model said later.

A run is found by the hash of the model it made (tag `captiongen.model_sha256`), or, before there is one, by the name of
its training (`captiongen.training`), never by its id: an id in an output of the pipeline would make two runs of the
same pipeline differ.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captiongen.adapters.git_state import read_git_state
from captiongen.adapters.mlflow_store import experiment_id, open_client, translated_errors
from captiongen.data.captioned_picture import draw_caption
from captiongen.ports import Scalar

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Run

MODEL_TAG, TRAINING_TAG = "captiongen.model_sha256", "captiongen.training"
_HOST_TAG, _PID_TAG, _STARTED_TAG = "captiongen.host", "captiongen.pid", "captiongen.process_started"
_METRICS_PER_BATCH = 200
_PARAMS_PER_BATCH = 100  # MLflow's own limit
_TERMINATED = 128 + signal.SIGTERM


class MlflowTracker:
    """A `captiongen.ports.Tracker` that writes to one MLflow run; metrics go out in batches.

    Raises:
        ServiceError: from every method, when the tracking server fails.
    """

    def __init__(self, client: "MlflowClient", run_id: str) -> None:
        self._client = client
        self._run_id = run_id
        self._metrics: list[Metric] = []

    @property
    def run_id(self) -> str:
        """The run's id. It must not enter an output of the pipeline."""
        return self._run_id

    def log_params(self, params: Mapping[str, Scalar]) -> None:
        """Records settings. MLflow's params are final: one that a later stage gives another value becomes a tag."""
        from mlflow.entities import Param

        with translated_errors("recording params"):
            known = self._client.get_run(self._run_id).data.params
            texts = {name: str(value) for name, value in params.items()}
            fresh = [Param(name, text) for name, text in texts.items() if name not in known]
            for start in range(0, len(fresh), _PARAMS_PER_BATCH):
                self._client.log_batch(self._run_id, params=fresh[start : start + _PARAMS_PER_BATCH])
        self.log_tags({name: text for name, text in texts.items() if known.get(name, text) != text})

    def log_metrics(self, metrics: Mapping[str, float], *, step: int) -> None:
        """Records numbers of one step; they are sent when enough have gathered, and by `flush`."""
        from mlflow.entities import Metric

        now_ms = time.time_ns() // 1_000_000
        self._metrics += [Metric(name, float(value), now_ms, step) for name, value in metrics.items()]
        if len(self._metrics) >= _METRICS_PER_BATCH:
            self.flush()

    def log_tags(self, tags: Mapping[str, str]) -> None:
        """Records facts to search by."""
        from mlflow.entities import RunTag

        if tags:
            with translated_errors("recording tags"):
                self._client.log_batch(self._run_id, tags=[RunTag(name, text) for name, text in tags.items()])

    def log_dataset(self, name: str, *, path: str, md5: str, context: str) -> None:
        """Records an input of the run by its DVC hash.

        Args:
            name: of the data set.
            path: in the project folder.
            md5: as DVC has it, with its suffix `.dir` for a folder.
            context: what it was used for, such as `training`.
        """
        import json

        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"path": path, "md5": md5})
        dataset = Dataset(name=f"{name}/{path}", digest=md5, source_type="dvc", source=source)
        with translated_errors("recording data inputs"):
            self._client.log_inputs(
                self._run_id, datasets=[DatasetInput(dataset, [InputTag("mlflow.data.context", context)])]
            )

    def log_file(self, path: Path, *, folder: str) -> None:
        """Keeps a copy of a file, or of all files of a folder, under `folder`."""
        with translated_errors(f"keeping {path}"):
            if path.is_dir():
                self._client.log_artifacts(self._run_id, str(path), folder)
            else:
                self._client.log_artifact(self._run_id, str(path), folder)

    def log_captions(self, images: Sequence[bytes], captions: Sequence[str], *, name: str, step: int) -> None:
        """Shows sample captions: each picture with its caption drawn under it, one series a picture over the steps."""
        with translated_errors("showing captions"):
            for index, (image, caption) in enumerate(zip(images, captions, strict=True)):
                self._client.log_image(self._run_id, draw_caption(image, caption), key=f"{name}/{index:02d}", step=step)

    def log_curves(self, curves: Mapping[str, Sequence[tuple[float, float]]], *, name: str, x_label: str) -> None:
        """Draws curves, each a list of (x, y), one above the other with a shared x axis, and keeps the plot."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 2.5 * len(curves)), layout="constrained")
        for axes, (label, points) in zip(
            figure.subplots(len(curves), sharex=True, squeeze=False), curves.items(), strict=True
        ):
            axes[0].plot(*zip(*points, strict=True), marker="o")
            axes[0].set(ylabel=label)
        figure.axes[-1].set(xlabel=x_label)
        with translated_errors("drawing curves"):
            self._client.log_figure(self._run_id, figure, f"plots/{name}.png")

    def flush(self) -> None:
        """Sends the metrics that are still here."""
        if self._metrics:
            batch, self._metrics = self._metrics, []
            with translated_errors("recording metrics"):
                self._client.log_batch(self._run_id, metrics=batch)


@contextmanager
def open_run(project: Path, *, name: str, unfinished: str | None = None) -> Iterator[MlflowTracker]:
    """Opens a run and closes it as what it became: FINISHED, FAILED, or KILLED when a signal ended it.

    Runs of dead processes of this machine that still count as running are closed as KILLED first. A training that goes
    on goes on in its run where the server still has it; what it repeats stands twice there, at the same steps.

    Args:
        project: the project folder.
        name: of a new run.
        unfinished: the name of a training of this machine that has something to go on from.

    Raises:
        ServiceError: the tracking server fails.
    """
    client = open_client(project)
    with translated_errors("opening a run"):
        experiment = experiment_id(client, project)
        close_dead_runs(client, experiment)
        left = _left_run(client, experiment, unfinished) if unfinished else None
        run = _reopened(client, left, project) if left else client.create_run(experiment, None, _origin(project), name)
        monitor = _start_system_metrics(client, run, goes_on=left is not None)
    tracker = MlflowTracker(client, run.info.run_id)
    status = "FAILED"
    try:
        with _sigterm_as_exit():
            yield tracker
            tracker.flush()
        status = "FINISHED"
    except (KeyboardInterrupt, SystemExit):
        status = "KILLED"
        raise
    finally:
        monitor.finish()
        with translated_errors("closing the run"):
            client.set_terminated(run.info.run_id, status)


@contextmanager
def continue_run(
    project: Path, model_sha256: str, *, restore: Callable[[MlflowTracker], None] | None = None
) -> Iterator[MlflowTracker]:
    """Goes on with the run that made a model; its status stays as it is.

    Where this tracking server has no such run, as when DVC restored the model from a cache or a remote, one is made and
    tagged `captiongen.restored_from_cache`.

    Args:
        project: the project folder.
        model_sha256: of the model's weights.
        restore: tells a newly made run what can be known of the training from what is on disk.

    Raises:
        ServiceError: the tracking server fails.
    """
    client = open_client(project)
    run_id = find_run(client, project, model_sha256)
    is_new = run_id is None
    if run_id is None:
        with translated_errors("opening a run"):
            tags = {**_origin(project), MODEL_TAG: model_sha256, "captiongen.restored_from_cache": "true"}
            run = client.create_run(experiment_id(client, project), run_name="restored", tags=tags)
            run_id = run.info.run_id
    tracker = MlflowTracker(client, run_id)
    try:
        if is_new and restore is not None:
            restore(tracker)
        yield tracker
        tracker.flush()
    finally:
        if is_new:
            with translated_errors("closing the run"):
                client.set_terminated(run_id)


def find_run(client: "MlflowClient", project: Path, model_sha256: str) -> str | None:
    """Returns the id of the newest run that made this model, None when the server knows none."""
    with translated_errors("searching runs"):
        runs = client.search_runs(
            [experiment_id(client, project)],
            filter_string=f"tags.`{MODEL_TAG}` = '{model_sha256}'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
    return str(runs[0].info.run_id) if runs else None


def close_dead_runs(client: "MlflowClient", experiment: str) -> None:
    """Closes, as KILLED, runs that a process of this machine opened and did not live to close."""
    running = client.search_runs([experiment], f"attributes.status = 'RUNNING' and tags.`{_HOST_TAG}` = '{_host()}'")
    for run in running:
        if not _is_alive(run.data.tags):
            client.set_terminated(run.info.run_id, "KILLED")


def _left_run(client: "MlflowClient", experiment: str, training: str) -> "Run | None":
    """The newest run of a training on this machine, unless that came to its end or is still at work."""
    runs = client.search_runs(
        [experiment],
        filter_string=f"tags.`{TRAINING_TAG}` = '{training}' and tags.`{_HOST_TAG}` = '{_host()}'",
        order_by=["attributes.start_time DESC"],
        max_results=1,
    )
    return runs[0] if runs and runs[0].info.status in ("KILLED", "FAILED") else None


def _reopened(client: "MlflowClient", run: "Run", project: Path) -> "Run":
    """Makes the run one of this process, and running again."""
    from mlflow.entities import RunTag

    # Before it counts as running: others close what runs without a living process.
    client.log_batch(run.info.run_id, tags=[RunTag(name, text) for name, text in _origin(project).items()])
    client.update_run(run.info.run_id, "RUNNING")
    return run


def _origin(project: Path) -> dict[str, str]:
    """Tags that say which code and which process write to a run."""
    import psutil

    git = read_git_state(project)
    return {
        "mlflow.source.git.commit": git.sha,
        "captiongen.git_sha": git.sha,
        "captiongen.is_dirty": str(git.is_dirty).lower(),
        _HOST_TAG: _host(),
        _PID_TAG: str(os.getpid()),
        _STARTED_TAG: f"{psutil.Process().create_time():.0f}",
    }


def _is_alive(tags: Mapping[str, str]) -> bool:
    import psutil

    try:
        born: float = psutil.Process(int(tags[_PID_TAG])).create_time()
        # Numbers of processes come round again, but not with the same time of birth.
        return abs(born - float(tags[_STARTED_TAG])) < 2.0
    except (KeyError, ValueError, psutil.NoSuchProcess):
        return False


def _host() -> str:
    return socket.gethostname()


def _start_system_metrics(client: "MlflowClient", run: "Run", *, goes_on: bool) -> Any:
    import logging

    from mlflow.system_metrics import system_metrics_monitor

    logging.getLogger(system_metrics_monitor.__name__).setLevel(logging.WARNING)
    monitor = system_metrics_monitor.SystemMetricsMonitor(
        run.info.run_id, resume_logging=goes_on, tracking_uri=client.tracking_uri
    )
    monitor.start()
    return monitor


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Lets SIGTERM unwind the stack as Ctrl-C does, unless someone else handles it already."""
    is_ours = (
        threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    )

    def leave(signum: int, frame: object) -> None:
        raise SystemExit(_TERMINATED)

    if is_ours:
        signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        if is_ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
