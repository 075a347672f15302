"""The choice among candidates by what they have in common."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from captiongen.decode.consensus import by_consensus
from captiongen.decode.stepper import Decoded
from tests.language_models import EOS


def candidate(*words: int, score: float = -1.0, is_complete: bool = True) -> Decoded:
    return Decoded((*words, *([EOS] if is_complete else [])), (), score, is_complete)


def overlap(captions):
    """Share of words in common."""
    return np.array([[len({*a} & {*b}) / len({*a} | {*b}) for b in captions] for a in captions])


candidates = st.lists(
    st.builds(
        lambda words, score, is_complete: candidate(*words, score=score, is_complete=is_complete),
        st.lists(st.integers(3, 8), min_size=1, max_size=5),
        st.floats(-5.0, 0.0),
        st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


def test_the_caption_that_most_others_resemble_is_chosen():
    """A candidate that shares its words with several others beats a likelier one that stands alone."""
    loner = candidate(8, 9, score=-0.9)
    centre = candidate(3, 4, 5, score=-1.1)
    nbest = [loner, candidate(3, 4, score=-1.0), centre, candidate(4, 5, 6, score=-1.2)]
    assert by_consensus(nbest, overlap, temperature=1.0)[0] == centre
    assert by_consensus(nbest, overlap, temperature=1.0)[-1] == loner


@given(nbest=candidates, temperature=st.floats(0.1, 10.0))
def test_the_first_has_the_highest_expected_similarity(nbest, temperature):
    """No complete candidate promises more than the first, by the definition written out; all candidates stay."""
    ordered = by_consensus(nbest, overlap, temperature=temperature)
    total = sum(np.exp(other.score / temperature) for other in nbest)

    def body(one):
        return {*one.tokens} - {EOS}

    def promise(one):
        return sum(
            np.exp(other.score / temperature) / total * len(body(one) & body(other)) / len(body(one) | body(other))
            for other in nbest
        )

    same_kind = [one for one in nbest if one.is_complete == ordered[0].is_complete]
    assert promise(ordered[0]) == pytest.approx(max(promise(one) for one in same_kind))
    assert sorted(map(repr, ordered)) == sorted(map(repr, nbest))


@given(nbest=candidates)
def test_complete_captions_come_before_cut_ones(nbest):
    """No agreement among captions that the length limit cut lifts one above a complete caption."""
    kinds = [one.is_complete for one in by_consensus(nbest, overlap, temperature=1.0)]
    assert kinds == sorted(kinds, reverse=True)


def test_a_low_temperature_leaves_the_choice_to_the_likeliest():
    """Where one candidate has all the weight, it is the most similar to what is expected."""
    nbest = [candidate(8, 9, score=-0.9), candidate(3, 4, score=-1.0), candidate(3, 4, 5, score=-1.1)]
    assert by_consensus(nbest, overlap, temperature=0.01)[0] == nbest[0]
