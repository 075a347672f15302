"""What `POST /caption` answers, as pydantic models: they check, serialise and document it."""

from typing import Self

from pydantic import BaseModel

from captiongen.model.release import Release
from captiongen.types import CaptionResult


class Word(BaseModel):
    """A word, the model's probability of it given the words before, and the chance that a person would say it, 0..1.

    `confidence` is null where the model is not calibrated.
    """

    word: str
    probability: float
    confidence: float | None


class Alternative(BaseModel):
    """A runner-up; `score` is what it was ranked by, as in `CaptionAnswer`."""

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


class CaptionAnswer(BaseModel):
    """The body of a successful `POST /caption`.

    Attributes:
        caption: the best caption.
        score: what made it the best: the length-normalised log-probability, or, where a reranker chose, the weight of
            all that speaks for it; comparable among the captions of one picture only.
        is_complete: False when it was cut at the length limit.
        confidence: the chance that it is as good as a person's, 0..1; null where the model is not calibrated.
        is_doubtful: that chance is below what was asked of the model: better show no caption.
        words: its words with their probabilities.
        alternatives: the runners-up, best first.
        model: who answers.
        receipt: to be sent to `POST /feedback` with a report of this caption; null where the service takes none.
    """

    caption: str
    score: float
    is_complete: bool
    confidence: float | None
    is_doubtful: bool
    words: list[Word]
    alternatives: list[Alternative]
    model: ModelCard
    receipt: str | None

    @classmethod
    def of(cls, result: CaptionResult, model: ModelCard, *, receipt: str | None) -> Self:
        """Describes a caption result of a model."""
        best, *others = result.hypotheses
        return cls(
            caption=best.caption,
            score=best.score,
            is_complete=best.is_complete,
            confidence=best.confidence,
            is_doubtful=result.is_doubtful,
            words=[Word(word=one.word, probability=one.probability, confidence=one.confidence) for one in best.words],
            alternatives=[Alternative(caption=one.caption, score=one.score) for one in others],
            model=model,
            receipt=receipt,
        )
