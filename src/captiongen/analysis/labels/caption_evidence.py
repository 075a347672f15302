"""What speaks for and against a caption: how a captioner takes it, and what the image's other captions say.

A captioner knows more than how likely a caption is. The same caption under other images tells language from sight: what
its own image adds is grounding (pointwise mutual information, Church and Hanks 1990), what is left is how well it reads
whatever there is to see. And people who saw the same picture chose much the same words.

Grounding here is not the score of `captiongen.analysis.judging.grounding`, although both hold a caption's image against
others. A judge's score stands alone: it follows the formula, a mean of probabilities over many other images, of which
those that the caption fits too count most. Here a regression weighs columns beside each other: the end token counts as
`ending` alone, and logarithms are averaged, because the mean of two probabilities is hardly more than the larger one.

Shapes: K images of the background, C channels, G side of the feature grid.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

import numpy as np
import numpy.typing as npt
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor
from tqdm import tqdm

from captiongen.likelihood import CaptionLikelihood, Likelihood, under_each_image
from captiongen.text.normalise import metric_tokens
from captiongen.text.tokenizer import CaptionTokenizer

_IMAGES_PER_PASS, _CAPTIONS_PER_PASS = 32, 96
_MAD_TO_DEVIATION = 1.4826  # of a normal distribution

FloatArray = npt.NDArray[np.float64]
#: A caption that stands, or might stand, among those of an image: the image's position, its own place there, its text.
Candidate = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class CaptionEvidence:
    """What is known of one caption of one image; log-probabilities are natural.

    Attributes:
        likelihood: mean log-probability of its words, given its image.
        fluency: the same given other images: how well it reads.
        hardest_word: log-probability of the least likely word, given its image.
        grounding: how much likelier its image makes it than others do, in nats per word.
        lead: grounding over the median of the image's other captions.
        ending: log-probability that it ends where it ends, given its image.
        agreement: cosine, 0..1, of its words with those of the image's other captions.
        num_words: its length in tokens.
    """

    likelihood: float
    fluency: float
    hardest_word: float
    grounding: float
    lead: float
    ending: float
    agreement: float
    num_words: int


class EvidenceReader:
    """Reads captions with one captioner.

    Args:
        likelihood: asks the captioner.
        background: (K, C, G, G) features of a few images that every caption is tried on.
        places: positions of these images; none is the background of its own captions, unless there is no other.
        captions: of each image, by its position.
    """

    def __init__(
        self,
        likelihood: CaptionLikelihood,
        background: Tensor,
        places: Sequence[int],
        captions: Sequence[Sequence[str]],
    ) -> None:
        self._likelihood, self._background, self._captions = likelihood, background, captions
        self._places = np.array(places)
        #: Of the captions as they are: image -> place -> grounding.
        self._grounding: dict[int, dict[int, float]] = defaultdict(dict)
        self._vectorizer = TfidfVectorizer(analyzer=metric_tokens, sublinear_tf=True)
        texts = [text for of_one in captions for text in of_one]
        self._vectorizer.fit(texts if any(map(metric_tokens, texts)) else ["nothing"])

    def read(self, features: npt.NDArray[np.generic], candidates: Sequence[Candidate]) -> list[CaptionEvidence]:
        """Returns the evidence on each candidate, held against the captions at the image's other places.

        Args:
            features: (images, C, G, G) of the captioner's encoder, by position.
            candidates: in the order of their images; these images' own captions are among them, or were read before.
        """
        own = list(self._given_their_images(features, candidates))
        words = [one.log_probabilities[: _num_words(one)] for one in own]
        lengths = np.array([max(1, len(one)) for one in words])
        likelihood = np.array([one.sum() for one in words]) / lengths
        fluency = self._given_the_background(candidates) / lengths
        grounding = likelihood - fluency
        usual, agreement = self._usual_grounding(candidates, grounding), self._agreement(candidates)
        return [
            CaptionEvidence(
                likelihood=float(likelihood[row]),
                fluency=float(fluency[row]),
                hardest_word=float(min(words[row], default=0.0)),
                grounding=float(grounding[row]),
                lead=float(grounding[row] - usual[row]),
                ending=float(one.log_probabilities[len(words[row]) :].sum()),
                agreement=float(agreement[row]),
                num_words=len(words[row]),
            )
            for row, one in enumerate(own)
        ]

    def _given_their_images(
        self, features: npt.NDArray[np.generic], candidates: Sequence[Candidate]
    ) -> Iterator[Likelihood]:
        by_image = [(image, [text for _, _, text in group]) for image, group in groupby(candidates, itemgetter(0))]
        starts = range(0, len(by_image), _IMAGES_PER_PASS)
        for start in tqdm(starts, desc="captions under their images", unit="batch", disable=None):
            images, texts = zip(*by_image[start : start + _IMAGES_PER_PASS], strict=True)
            maps = torch.from_numpy(np.ascontiguousarray(features[list(images)]))
            for of_one in self._likelihood(maps, texts):
                yield from of_one

    def _given_the_background(self, candidates: Sequence[Candidate]) -> FloatArray:
        """The log-probability of each caption's words, a mean over the other images of the background."""
        texts, found = [text for _, _, text in candidates], np.empty(len(candidates))
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        asked = under_each_image(
            self._likelihood, self._background, [texts[row] for row in order], captions_per_pass=_CAPTIONS_PER_PASS
        )
        progress = tqdm(asked, total=len(order), desc="captions under other images", unit="caption", disable=None)
        for row, of_one in zip(order, progress, strict=True):
            under_each = np.array([one.log_probabilities[: _num_words(one)].sum() for one in of_one])
            others = under_each[self._places != candidates[row][0]]
            found[row] = (others if len(others) else under_each).mean()
        return found

    def _usual_grounding(self, candidates: Sequence[Candidate], grounding: FloatArray) -> FloatArray:
        """The median grounding of the image's other captions, or the candidate's own where none is known."""
        for (image, place, text), value in zip(candidates, grounding, strict=True):
            if text == self._captions[image][place]:
                self._grounding[image][place] = float(value)
        siblings = (
            [value for other, value in self._grounding[image].items() if other != place]
            for image, place, _ in candidates
        )
        return np.array([np.median(theirs or own) for theirs, own in zip(siblings, grounding, strict=True)])

    def _agreement(self, candidates: Sequence[Candidate]) -> FloatArray:
        """The cosine of each candidate with the image's other captions, taken as one text."""
        others = [
            " ".join(text for other, text in enumerate(self._captions[image]) if other != place)
            for image, place, _ in candidates
        ]
        own, theirs = (self._vectorizer.transform(texts) for texts in ((text for _, _, text in candidates), others))
        return np.asarray(own.multiply(theirs).sum(axis=1)).ravel()


def median_and_deviation(values: Sequence[float] | FloatArray) -> tuple[float, float]:
    """The median, and the median absolute deviation in units of a standard deviation, above 0."""
    median = float(np.median(values))
    return median, max(1e-9, _MAD_TO_DEVIATION * float(np.median(np.abs(np.array(values) - median))))


def _num_words(one: Likelihood) -> int:
    """Its tokens but the one that ends it, which a caption that was cut does not have."""
    return len(one.tokens) - (one.tokens[-1:] == (CaptionTokenizer.eos_id,))
