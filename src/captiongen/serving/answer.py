"""What `POST /caption` answers, as pydantic models: they check, serialise and document it."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel

from captiongen.model.release import Release
from captiongen.types import CaptionResult, Hypothesis


class Word(BaseModel):
    """A word and the model's probability of it given the words before, 0..1."""

    word: str
    probability: float


class Alternative(BaseModel):
    """One caption of the n-best list; `score` is the length-normalised log-probability it was ranked by."""

    caption: str
    score: float


class ModelCard(BaseModel):
    """Which model answered, and where it comes from."""

    name: str
    version: str
    run_id: str
    git_sha: str
    dataset: str
    data_hash: str
    bento: str

    @classmethod
    def of(cls, release: Release, *, bento: str) -> Self:
        """Describes a release served by a Bento (its tag, or `source` when served from the source tree)."""
        lineage = release.lineage
        return cls(
            name=release.name,
            version=release.version,
            run_id=lineage.run_id,
            git_sha=lineage.git_sha,
            dataset=lineage.dataset,
            data_hash=lineage.data_hash,
            bento=bento,
        )


class Captioned(BaseModel):
    """What the model says of one picture; also what travels between the two services.

    Attributes:
        caption: the best caption.
        score: its score.
        is_complete: False when it was cut at the length limit.
        words: its words with their probabilities.
        alternatives: the runners-up, best first.
        attention: (words, grid rows, grid columns), each map sums to 1; None unless asked for.
    """

    caption: str
    score: float
    is_complete: bool
    words: list[Word]
    alternatives: list[Alternative]
    attention: list[list[list[float]]] | None = None

    @classmethod
    def of(cls, result: CaptionResult) -> Self:
        """Describes a caption result."""
        best, *others = result.hypotheses
        return cls(
            caption=best.caption,
            score=best.score,
            is_complete=best.is_complete,
            words=[Word(word=one.word, probability=one.probability) for one in best.words],
            alternatives=_alternatives(others),
            attention=None if result.attention is None else result.attention.tolist(),
        )


class CaptionAnswer(BaseModel):
    """The body of a successful `POST /caption`."""

    caption: str
    score: float
    is_complete: bool
    words: list[Word]
    alternatives: list[Alternative]
    model: ModelCard


def _alternatives(hypotheses: Sequence[Hypothesis]) -> list[Alternative]:
    return [Alternative(caption=one.caption, score=one.score) for one in hypotheses]
