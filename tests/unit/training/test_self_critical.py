"""Self-critical training: the value is the reward, the gradient prefers what scores better."""

import pytest
import torch

from captiongen.data.batches import Batch, encode_captions, pad
from captiongen.decode.stepper import Decoded
from captiongen.inference import search
from captiongen.metrics.cider import CiderScorer
from captiongen.model.captioner import build_captioner
from captiongen.params import DecodeParams, DecoderParams, EncoderParams
from captiongen.training.self_critical import SelfCritical
from tests.tiny import COLOURS, THINGS, tiny_captions, tiny_tokenizer

REFERENCES = {f"{colour}-{thing}": tiny_captions(colour, thing) for colour in COLOURS for thing in THINGS}
MAX_TOKENS = 12


def tiny_captioner(dropout=0.3):
    torch.manual_seed(0)
    captioner = build_captioner(
        EncoderParams(name="test_convnext"),
        DecoderParams(width=32, num_layers=1, num_heads=2, dropout=dropout),
        image_size_px=64,
        vocabulary_size=tiny_tokenizer().vocabulary_size,
        max_tokens=MAX_TOKENS,
    )
    captioner.encoder.requires_grad_(False)
    return captioner


def batch():
    num_images = len(REFERENCES)
    features = torch.randn(num_images, 64, 2, 2, generator=torch.Generator().manual_seed(1))
    tokens = encode_captions(list(REFERENCES.values()), tiny_tokenizer(), max_tokens=MAX_TOKENS)
    return Batch(range(num_images), features, pad(tokens, tiny_tokenizer().pad_id), is_features=True, is_mirrored=[])


def objective(num_samples=4, draws="samples"):
    return SelfCritical(
        REFERENCES, tiny_tokenizer(), num_samples=num_samples, max_tokens=MAX_TOKENS, seed=0, draws=draws
    )


def test_the_same_step_draws_the_same_captions():
    """Loss and gradient of a step repeat exactly, whatever was drawn before; another step draws others."""
    captioner, goal = tiny_captioner(), objective()
    losses = []
    for step in (1, 2, 1):
        captioner.zero_grad()
        goal(captioner, batch(), step=step).backward()
        losses.append(captioner.decoder.embedding.weight.grad.clone())
    assert torch.equal(losses[0], losses[2])
    assert not torch.equal(losses[0], losses[1])


@pytest.mark.parametrize("draws", ["samples", "beams"])
def test_steps_raise_the_reward(draws):
    """A few dozen steps raise the mean CIDEr-D of the captions drawn."""
    captioner, goal = tiny_captioner(dropout=0.0), objective(draws=draws)
    optimiser = torch.optim.Adam(captioner.decoder.parameters(), lr=3e-3)
    rewards = []
    for step in range(60):
        optimiser.zero_grad()
        loss = goal(captioner, batch(), step=step)
        loss.backward()
        optimiser.step()
        rewards.append(-loss.item())
    assert sum(rewards[-10:]) > 1.5 * sum(rewards[:10])


def test_beams_are_those_of_the_search():
    """With `beams` the loss is minus the mean reward of the captions that the beam search finds."""
    captioner, goal = tiny_captioner(), objective(num_samples=3, draws="beams")
    loss = goal(captioner, batch(), step=0)
    decode = DecodeParams(num_beams=3, num_hypotheses=3, length_penalty=0.8, max_tokens=MAX_TOKENS)
    with torch.no_grad():
        found = search(captioner.decoder, batch().inputs, decode)
    assert loss.item() == pytest.approx(-goal._rewards(range(len(REFERENCES)), found).mean().item())


def test_the_gradient_is_that_of_the_weighted_log_likelihood(monkeypatch):
    """It equals the gradient of the captions' log-probabilities, each times its lead over the mean of the others."""
    captioner, goal = tiny_captioner(dropout=0.0), objective(num_samples=2)
    tokenizer = tiny_tokenizer()
    one = Batch([0], batch().inputs[:1], batch().tokens[:1], is_features=True, is_mirrored=[])
    good, bad = (
        Decoded(tuple(tokenizer.encode(text)[1:]), (), 0.0, True)
        for text in (next(iter(REFERENCES.values()))[0], next(reversed(REFERENCES.values()))[1])
    )
    monkeypatch.setattr(goal, "_draw", lambda *_: [[good, bad]])
    loss = goal(captioner, one, step=0)
    loss.backward()
    found = captioner.decoder.embedding.weight.grad.clone()
    rewards = goal._rewards([0], [[good, bad]])[0]
    assert loss.item() == pytest.approx(-rewards.mean().item())
    assert rewards[0] > rewards[1]

    captioner.zero_grad()
    state, total = captioner.decoder.start(one.inputs), torch.zeros(())
    for caption, lead in ((good, rewards[0] - rewards[1]), (bad, rewards[1] - rewards[0])):
        tokens = torch.tensor([1, *caption.tokens])
        logits = captioner.decoder.advance(state, tokens[None, None, :-1])[0][0, 0]
        logits[:, [0, 1, 3]] = float("-inf")
        logits[0, 2] = float("-inf")
        total = total - lead * logits.log_softmax(-1).gather(1, tokens[1:, None]).sum()
    (total / (len(good.tokens) + len(bad.tokens))).backward()
    torch.testing.assert_close(found, captioner.decoder.embedding.weight.grad)


def test_a_caption_that_stops_in_mid_sentence_earns_less():
    """The end token is part of the reward: the same words without it score lower."""
    goal, tokenizer = objective(), tiny_tokenizer()
    text = next(iter(REFERENCES.values()))[0]
    ids = tuple(tokenizer.encode(text)[1:])
    whole, cut = Decoded(ids, (), 0.0, True), Decoded(ids[:-1], (), 0.0, False)
    rewards = goal._rewards([0], [[whole, cut]])[0]
    assert rewards[0] > rewards[1]


def test_the_reward_is_cider_under_the_training_references():
    """A reward is CIDEr-D over 100, with the end token as a word and frequencies from all training references."""
    goal, tokenizer = objective(), tiny_tokenizer()
    image_id, texts = next(iter(REFERENCES.items()))
    scorer = CiderScorer(
        {
            name: [[*tokenizer.decode(tokenizer.encode(t)).split(), "<eos>"] for t in ts]
            for name, ts in REFERENCES.items()
        }
    )
    expected = scorer.score(image_id, [*texts[1].lower().rstrip(".").split(), "<eos>"]) / 100
    found = goal._rewards([0], [[Decoded(tuple(tokenizer.encode(texts[1])[1:]), (), 0.0, True)]])
    assert found.item() == pytest.approx(expected)
