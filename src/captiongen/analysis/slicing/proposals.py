"""What the analysis proposes for the next training: slices that fail, to be shown more often.

Only slices by what people say are proposed: whether a training image belongs to one can be read off its captions. The
analysed split itself is never trained on; the proposal names training images of the same kind.
"""

from collections.abc import Sequence
from itertools import compress

import numpy as np

from captiongen.analysis.errors.corpus import CaptionCorpus
from captiongen.analysis.errors.fact_reader import FactReader
from captiongen.analysis.slicing.properties import Members, text_properties
from captiongen.analysis.slicing.slices import MIN_IMAGES, Slice
from captiongen.data.corrections import Kind, Proposal
from captiongen.types import Captions

_WEIGHT = 2.0
# Of the training images, at most: what is shown twice so often is no slice but the data set.
_MAX_SHARE = 0.5


def propose_weights(
    worse: Sequence[Slice], training: Captions, reader: FactReader, corpus: CaptionCorpus
) -> tuple[Proposal, ...]:
    """Proposes to show the training images of each failing slice twice an epoch.

    Args:
        worse: slices found to be worse than the rest.
        training: captions of the training images, by image id.
        reader: that the slices were found with.
        corpus: of these captions.
    """
    if not worse or not training:
        return ()
    members = text_properties(training, reader, corpus)
    found = ((one, _images(one, training, members)) for one in worse)
    return tuple(
        Proposal(
            kind=Kind.WEIGHT_IMAGES,
            image_ids=image_ids,
            source="analysis",
            reason=f"{one.name}: badness {one.difference:+.2f} against the rest of the split on {len(one.image_ids)} "
            f"images (q = {one.q_value:.1g}); {len(image_ids)} training images are like them.",
            score=1.0 - min(1.0, one.q_value),
            weight=_WEIGHT,
        )
        for one, image_ids in found
        if MIN_IMAGES <= len(image_ids) <= _MAX_SHARE * len(training)
    )


def _images(one: Slice, training: Captions, members: Members) -> tuple[str, ...]:
    """Ids of training images that have all properties of a slice; none where a property is not of the captions."""
    if not all(name in members for name in one.properties):
        return ()
    is_member = np.logical_and.reduce([members[name] for name in one.properties])
    return tuple(sorted(compress(training, is_member)))
