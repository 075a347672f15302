"""The repetition guard, in front of language models that like to repeat themselves."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.decode.beam import beam_search
from captiongen.decode.repetition import NoRepeatNgram
from captiongen.decode.sample import greedy, sample
from tests.language_models import EOS, SPECIAL, MarkovModel, has_repeat, random_tables

SEARCHES = {
    "beam": lambda model, n: [
        one
        for nbest in beam_search(
            model, num_images=n, special=SPECIAL, num_beams=4, num_hypotheses=4, length_penalty=0.6, max_tokens=12
        )
        for one in nbest
    ],
    "greedy": lambda model, n: greedy(model, num_images=n, special=SPECIAL, max_tokens=12),
    "sample": lambda model, n: [
        one
        for drawn in sample(
            model,
            generators=[torch.Generator().manual_seed(image) for image in range(n)],
            special=SPECIAL,
            max_tokens=12,
            num_samples=3,
            temperature=2.0,
        )
        for one in drawn
    ],
}


def reluctant(num_images, seed):
    """Tables of images whose captions hardly ever end."""
    tables = random_tables(num_images, seed)
    tables[:, :, EOS] -= 8.0
    return tables.log_softmax(dim=-1)


@pytest.mark.parametrize("method", SEARCHES)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), size=st.integers(1, 4))
def test_no_ngram_comes_twice(method, seed, size):
    """Whatever the search, its captions hold each n-gram once at most, where the same search without guard repeats."""
    tables = reluctant(3, seed)
    assert any(has_repeat(one.tokens, size) for one in SEARCHES[method](MarkovModel(tables), 3))
    assert not any(
        has_repeat(one.tokens, size) for one in SEARCHES[method](NoRepeatNgram(MarkovModel(tables), size), 3)
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), method=st.sampled_from(sorted(SEARCHES)))
def test_a_guard_that_nothing_trips_changes_nothing(seed, method):
    """With n-grams longer than any caption, captions and scores are those of the model alone."""
    tables = reluctant(2, seed)
    assert SEARCHES[method](NoRepeatNgram(MarkovModel(tables), 13), 2) == SEARCHES[method](MarkovModel(tables), 2)


def test_words_that_may_come_keep_the_model_s_own_probability():
    """What a caption scores is what the model thinks of it, not of it among captions without repeats."""
    tables = reluctant(1, seed=4)
    [one] = greedy(NoRepeatNgram(MarkovModel(tables), 1), num_images=1, special=SPECIAL, max_tokens=12)
    before = (SPECIAL.bos_id, *one.tokens)
    logs = [float(tables[0, last, token]) for last, token in zip(before, one.tokens, strict=False)]
    assert list(one.token_log_probabilities) == pytest.approx(logs)
