"""The searches, over hand-made language models whose best captions are known."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captiongen.decode.beam import beam_search
from captiongen.decode.repetition import NoRepeatNgram
from captiongen.decode.sample import greedy, sample
from tests.language_models import (
    BOS,
    EOS,
    NUM_TOKENS,
    PAD,
    SPECIAL,
    HistoryModel,
    MarkovModel,
    allowed,
    has_repeat,
    random_tables,
)

#: Sizes of n-grams that may not repeat; 0 lets them.
GUARDS = st.integers(0, 3)


def guarded(model, size):
    return NoRepeatNgram(model, size) if size else model


def search(model, num_images: int, **changes):
    options = {"num_beams": 3, "num_hypotheses": 3, "length_penalty": 0.6, "max_tokens": 6} | changes
    return beam_search(model, num_images=num_images, special=SPECIAL, **options)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), num_images=st.integers(1, 4), guard=GUARDS)
def test_one_beam_is_the_greedy_search(seed, num_images, guard):
    """With one beam, tokens and scores are those of the greedy search, whatever the length penalty and the guard."""
    tables = random_tables(num_images, seed)
    model = guarded(MarkovModel(tables), guard)
    beams = search(model, num_images, num_beams=1, num_hypotheses=1, length_penalty=1.3)
    model = guarded(MarkovModel(tables), guard)
    straight = greedy(model, num_images=num_images, special=SPECIAL, max_tokens=6)
    assert [nbest[0].token_log_probabilities for nbest in beams] == [one.token_log_probabilities for one in straight]
    assert [nbest[0].tokens for nbest in beams] == [one.tokens for one in straight]
    assert [nbest[0].is_complete for nbest in beams] == [one.is_complete for one in straight]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), num_beams=st.integers(1, 5), guard=GUARDS)
def test_a_batch_gives_each_image_what_it_gets_alone(seed, num_beams, guard):
    """Captions of an image do not depend on the images it is batched with, nor on when those leave the batch."""
    tables = random_tables(4, seed)

    def found(some):
        return search(guarded(MarkovModel(some), guard), len(some), num_beams=num_beams, num_hypotheses=num_beams)

    together, alone = found(tables), [found(tables[image : image + 1])[0] for image in range(4)]
    assert [[one.tokens for one in nbest] for nbest in together] == [[one.tokens for one in nbest] for nbest in alone]


def test_an_image_whose_search_is_over_leaves_the_batch():
    """The model is asked about images that are still being searched only, and the captions keep their places."""
    tables = random_tables(3, seed=0)
    tables[1] = float("-inf")
    tables[1, :, EOS] = 0.0  # the second image's caption ends at once; the others' never do
    tables[[0, 2], :, EOS] = float("-inf")
    model = MarkovModel(tables)
    found = search(model, 3, max_tokens=5)
    assert model.batch_sizes == [3, 2, 2, 2, 2]
    assert [one.tokens for one in found[1]] == [(EOS,)]
    assert [len(nbest[0].tokens) for nbest in found] == [5, 1, 5]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.floats(0.0, 2.0), guard=GUARDS)
def test_a_wide_beam_finds_the_exact_optimum(seed, penalty, guard):
    """A beam wider than the number of captions ranks those without a repeat as exhaustive enumeration does."""
    max_tokens = 4
    model = HistoryModel(1, seed)
    found = search(
        guarded(model, guard), 1, num_beams=200, num_hypotheses=3, length_penalty=penalty, max_tokens=max_tokens
    )[0]
    words = [token for token in range(NUM_TOKENS) if token not in (PAD, BOS, EOS)]
    scored = []
    for length in range(1, max_tokens + 1):
        for body in product(words, repeat=length - 1):
            caption, total = (*body, EOS), 0.0
            if has_repeat(caption, guard):
                continue
            for position, token in enumerate(caption):
                total += float(model.odds((BOS, *caption[:position]))[token])
            scored.append((total / length**penalty, caption))
    best = sorted(scored, reverse=True)[:3]
    assert [one.tokens for one in found] == [caption for _, caption in best]
    assert [one.score for one in found] == pytest.approx([score for score, _ in best], abs=1e-5)


def test_a_model_that_reads_its_whole_prefix_sees_the_right_one():
    """Parents tell the model which row each hypothesis continues: log-probabilities match a recomputation."""
    model = HistoryModel(2, seed=5)
    for nbest in search(model, 2, num_beams=4, num_hypotheses=4):
        for one in nbest:
            logs = [float(model.odds((BOS, *one.tokens[:t]))[token]) for t, token in enumerate(one.tokens)]
            assert list(one.token_log_probabilities) == pytest.approx(logs, abs=1e-6)


def test_the_length_limit_cuts_and_says_so():
    """A model that never ends gives captions of the longest length, marked as incomplete."""
    logits = torch.zeros(1, NUM_TOKENS, NUM_TOKENS)
    logits[..., EOS] = float("-inf")
    nbest = search(MarkovModel(allowed(logits)), 1, max_tokens=5)[0]
    assert len(nbest) == 3
    assert all(len(one.tokens) == 5 and not one.is_complete for one in nbest)


def test_complete_captions_come_before_cut_ones():
    """A caption that ended ranks above one that the limit cut, even with a lower score."""
    logits = torch.full((1, NUM_TOKENS, NUM_TOKENS), float("-inf"))
    logits[0, BOS, 3], logits[0, BOS, 4] = 0.0, -3.0
    logits[0, 3, 3], logits[0, 4, EOS] = 0.0, 0.0
    nbest = search(MarkovModel(logits.log_softmax(dim=-1)), 1, num_beams=2, num_hypotheses=2, max_tokens=4)[0]
    assert nbest[0].tokens == (4, EOS)
    assert nbest[1].tokens == (3, 3, 3, 3)
    assert nbest[1].score > nbest[0].score


def test_a_larger_length_penalty_never_shortens_the_best_caption():
    """Length normalisation favours longer captions as the penalty grows."""
    lengths = [
        len(search(HistoryModel(1, seed=11), 1, num_beams=100, length_penalty=penalty)[0][0].tokens)
        for penalty in (0.0, 0.5, 1.0, 2.0)
    ]
    assert lengths == sorted(lengths)


def generators(seed, num_images):
    return [torch.Generator().manual_seed(seed) for _ in range(num_images)]


def test_the_same_seed_samples_the_same_captions():
    """Sampling repeats with its seed and varies without."""

    def draw(seed):
        found = sample(MarkovModel(random_tables(8, 1)), generators=generators(seed, 8), special=SPECIAL, max_tokens=8)
        return [one.tokens for [one] in found]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_a_tiny_nucleus_is_the_greedy_search():
    """Sampling from the smallest nucleus takes the most probable token each time."""
    tables = random_tables(5, 2)
    found = sample(MarkovModel(tables), generators=generators(0, 5), special=SPECIAL, max_tokens=6, top_p=1e-6)
    straight = greedy(MarkovModel(tables), num_images=5, special=SPECIAL, max_tokens=6)
    assert [one.tokens for [one] in found] == [one.tokens for one in straight]


def test_a_sample_does_not_depend_on_its_batch():
    """Each image's captions are the same alone, in a batch, and in another order."""
    tables = random_tables(4, 6)

    def draw(images):
        found = sample(
            MarkovModel(tables[images]),
            generators=generators(5, len(images)),
            special=SPECIAL,
            max_tokens=8,
            num_samples=2,
        )
        return {image: [one.tokens for one in drawn] for image, drawn in zip(images, found, strict=True)}

    together = draw([0, 1, 2, 3])
    assert draw([3, 1, 0, 2]) == together
    assert all(draw([image]) == {image: together[image]} for image in together)


def test_several_samples_of_an_image_are_drawn_apart():
    """Asked for many, each image gets as many, drawn by itself, each as likely as the model says."""
    tables = random_tables(2, 9)
    found = sample(MarkovModel(tables), generators=generators(1, 2), special=SPECIAL, max_tokens=1, num_samples=3000)
    for image, drawn in enumerate(found):
        counts = torch.bincount(torch.tensor([one.tokens[0] for one in drawn]), minlength=NUM_TOKENS) / 3000
        assert torch.allclose(counts, tables[image, BOS].exp(), atol=0.03)
