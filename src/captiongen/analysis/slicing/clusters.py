"""Pictures that look alike to the encoder, named by the words that people say of them more than of others."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from captiongen.analysis.errors.corpus import content_lemmas
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.types import Captions

_IMAGES_PER_CLUSTER = 40
_MIN_CLUSTERS, _MAX_CLUSTERS = 2, 16
_NUM_WORDS = 3
_SEED = 0


def cluster_pictures(features: npt.NDArray[np.float32], references: Captions, reader: FactReader) -> tuple[str, ...]:
    """Returns the name of each image's cluster, such as "snow, ski, slope".

    Args:
        features: mean over positions, (images, C).
        references: theirs, in the same order.
        reader: reads lemmas.
    """
    from sklearn.cluster import KMeans
    from sklearn.preprocessing import normalize

    num_clusters = min(max(_MIN_CLUSTERS, len(features) // _IMAGES_PER_CLUSTER), _MAX_CLUSTERS)
    if len(features) < 2 * num_clusters:
        return ("all",) * len(features)
    centred = normalize(features - features.mean(axis=0))  # of unit length: squared distances then rank as cosines do
    labels = KMeans(num_clusters, n_init=4, random_state=_SEED).fit_predict(centred)
    said = [{lemma for text in texts for lemma in content_lemmas(text, reader)} for texts in references.values()]
    names = {label: _telling_words([words for words, own in zip(said, labels, strict=True) if own == label], said)
             for label in sorted(set(labels))}  # fmt: skip
    return tuple(names[label] for label in labels)


def _telling_words(members: Sequence[set[str]], everybody: Sequence[set[str]]) -> str:
    """The words whose share among the members exceeds that among all images most."""
    ours, all_words = (Counter(word for words in some for word in words) for some in (members, everybody))
    excess = {word: count / len(members) - all_words[word] / len(everybody) for word, count in ours.items()}
    return ", ".join(sorted(excess, key=lambda word: (-excess[word], word))[:_NUM_WORDS]) or "no words"
