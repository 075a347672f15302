"""The searches, over hand-made language models whose best captions are known."""

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from captiongen.decode.beam import beam_search
from captiongen.decode.sample import greedy, sample
from captiongen.decode.stepper import SpecialTokens

PAD, BOS, EOS = 0, 1, 2
SPECIAL = SpecialTokens(bos_id=BOS, eos_id=EOS, pad_id=PAD)
NUM_TOKENS = 6


class MarkovModel:
    """A next-token callable with one transition table per image: (B, V, V) log-probabilities."""

    def __init__(self, tables: Tensor) -> None:
        self.tables = tables

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        images = torch.arange(len(self.tables))[:, None].expand_as(tokens)
        return self.tables[images, tokens]


class HistoryModel:
    """A model whose odds depend on the whole prefix, which it rebuilds from `parents` alone."""

    def __init__(self, num_images: int, seed: int) -> None:
        self.num_images, self.seed = num_images, seed
        self.prefixes: list[list[tuple[int, ...]]] = [[()] for _ in range(num_images)]

    def __call__(self, tokens: Tensor, parents: Tensor) -> Tensor:
        self.prefixes = [
            [(*self.prefixes[image][parent], token) for parent, token in zip(parent_row, token_row, strict=True)]
            for image, (parent_row, token_row) in enumerate(zip(parents.tolist(), tokens.tolist(), strict=True))
        ]
        return torch.stack([torch.stack([self.odds(prefix) for prefix in rows]) for rows in self.prefixes])

    def odds(self, prefix: tuple[int, ...]) -> Tensor:
        generator = torch.Generator().manual_seed(hash((self.seed, prefix)) % 2**31)
        return _allowed(torch.randn(NUM_TOKENS, generator=generator))


def _allowed(logits: Tensor) -> Tensor:
    logits = logits.clone()
    logits[..., [PAD, BOS]] = float("-inf")
    return logits.log_softmax(dim=-1)


def random_tables(num_images: int, seed: int) -> Tensor:
    return _allowed(torch.randn(num_images, NUM_TOKENS, NUM_TOKENS, generator=torch.Generator().manual_seed(seed)) * 2)


def search(model, num_images: int, **changes):
    options = {"num_beams": 3, "num_hypotheses": 3, "length_penalty": 0.6, "max_tokens": 6} | changes
    return beam_search(model, num_images=num_images, special=SPECIAL, **options)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), num_images=st.integers(1, 4))
def test_one_beam_is_the_greedy_search(seed, num_images):
    """With one beam, tokens and scores are those of the greedy search, whatever the length penalty."""
    tables = random_tables(num_images, seed)
    beams = search(MarkovModel(tables), num_images, num_beams=1, num_hypotheses=1, length_penalty=1.3)
    straight = greedy(MarkovModel(tables), num_images=num_images, special=SPECIAL, max_tokens=6)
    assert [nbest[0].tokens for nbest in beams] == [one.tokens for one in straight]
    assert [nbest[0].is_complete for nbest in beams] == [one.is_complete for one in straight]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), num_beams=st.integers(1, 5))
def test_a_batch_gives_each_image_what_it_gets_alone(seed, num_beams):
    """Captions of an image do not depend on the images it is batched with."""
    tables = random_tables(4, seed)
    together = search(MarkovModel(tables), 4, num_beams=num_beams, num_hypotheses=num_beams)
    alone = [
        search(MarkovModel(tables[i : i + 1]), 1, num_beams=num_beams, num_hypotheses=num_beams)[0] for i in range(4)
    ]
    assert [[one.tokens for one in nbest] for nbest in together] == [[one.tokens for one in nbest] for nbest in alone]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), penalty=st.floats(0.0, 2.0))
def test_a_wide_beam_finds_the_exact_optimum(seed, penalty):
    """A beam wider than the number of captions ranks them as exhaustive enumeration does."""
    max_tokens = 4
    model = HistoryModel(1, seed)
    found = search(model, 1, num_beams=200, num_hypotheses=3, length_penalty=penalty, max_tokens=max_tokens)[0]
    words = [token for token in range(NUM_TOKENS) if token not in (PAD, BOS, EOS)]
    scored = []
    for length in range(1, max_tokens + 1):
        for body in product(words, repeat=length - 1):
            caption, total = (*body, EOS), 0.0
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
    nbest = search(MarkovModel(_allowed(logits)), 1, max_tokens=5)[0]
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
