"""What the review page shows and keeps: the pictures and captions of this project, and its decisions."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress

from captiongen.cli.corrections_desk import CorrectionsDesk
from captiongen.cli.layout import Layout
from captiongen.data.corrections import Picture, Proposal
from captiongen.data.decisions import Verdict
from captiongen.data.manifest import read_manifest
from captiongen.data.shards import open_processed
from captiongen.data.sources import Source, open_source
from captiongen.errors import DataError
from captiongen.params import load_params
from captiongen.serving.review import ShownImage

_NUM_OF_SLICE = 12


class ProjectReview:
    """The desk of one project, as the page wants it.

    Args:
        desk: keeps decisions.
        keep: which undecided proposals this review is about.
        source: where the pictures of the data set are.
        paths: image id -> path of its picture in the source.
        captions: image id -> captions of the train split as training reads them.
        by: who decides, "" for nobody named.
    """

    def __init__(
        self,
        desk: CorrectionsDesk,
        *,
        keep: Callable[[Sequence[Proposal]], Sequence[Proposal]],
        source: Source,
        paths: Mapping[str, str],
        captions: Mapping[str, Sequence[str]],
        by: str,
    ) -> None:
        self._desk, self._keep, self._by = desk, keep, by
        self._source, self._paths, self._captions = source, paths, captions

    def undecided(self) -> Sequence[Proposal]:
        """As `captiongen.serving.review.Desk` has it."""
        return self._keep(self._desk.decisions.undecided())

    def decide(self, proposals: Sequence[Proposal], verdict: Verdict) -> None:
        """As `captiongen.serving.review.Desk` has it."""
        self._desk.decide(proposals, verdict, by=self._by)

    def undo(self, ids: Collection[str]) -> None:
        """As `captiongen.serving.review.Desk` has it."""
        self._desk.undo(ids)

    def images(self, proposal: Proposal) -> Sequence[ShownImage]:
        """As `captiongen.serving.review.Desk` has it."""
        added = {one.image_ids[0]: one.picture for one in (*self._accepted(), proposal) if one.picture is not None}
        return [
            ShownImage(image_id, self._file(image_id, added), tuple(self._captions.get(image_id, ())))
            for image_id in proposal.image_ids[:_NUM_OF_SLICE]
        ]

    def _accepted(self) -> Iterator[Proposal]:
        return (one.proposal for one in self._desk.decisions.decided(Verdict.ACCEPTED).values())

    def _file(self, image_id: str, added: Mapping[str, Picture]) -> bytes | None:
        """A picture that cannot be read is said on the page: without it some things can be decided all the same."""
        with suppress(DataError):
            if image_id in self._paths:
                return self._source.read(self._paths[image_id])
            if image_id in added:
                return self._desk.picture(added[image_id])
        return None


def open_review(
    layout: Layout, desk: CorrectionsDesk, *, keep: Callable[[Sequence[Proposal]], Sequence[Proposal]], by: str
) -> ProjectReview:
    """Opens the review of a project that has been preprocessed.

    Raises:
        DataError: the manifest, the processed data or the data set is missing or damaged.
        ParamsError: params.yaml is missing or wrong.
    """
    params = load_params(layout.params)
    source = open_source(params.ingest, layout.root / params.ingest.path)  # without it nothing else can be made
    manifest = read_manifest(layout.interim / "manifest.parquet")
    return ProjectReview(
        desk,
        keep=keep,
        source=source,
        paths=dict(zip(manifest["image_id"], manifest["path"], strict=True)),
        captions=open_processed(layout.processed).references("train"),
        by=by,
    )
