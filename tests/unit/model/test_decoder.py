"""The decoder's promises: no word sees the future, and caching changes nothing."""

import pytest
import torch

from captiongen.model.decoder import ARCHITECTURES, CaptionDecoder, sine_positions_2d
from captiongen.params import DecoderParams

B, K, T, V, C, G = 2, 3, 7, 19, 10, 4


@pytest.fixture(params=ARCHITECTURES)
def decoder(request):
    torch.manual_seed(0)
    params = DecoderParams(architecture=request.param, width=24, num_layers=2, num_heads=3, dropout=0.0)
    return CaptionDecoder(params, vocabulary_size=V, num_channels=C, grid_size=G, max_tokens=12).eval()


@pytest.fixture
def features():
    return torch.randn(B, C, G, G, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def tokens():
    return torch.randint(0, V, (B, K, T), generator=torch.Generator().manual_seed(2))


def test_token_by_token_equals_all_at_once(decoder, features, tokens):
    """Logits from cached keys and values are those of one pass over the whole caption."""
    whole, _, _ = decoder.advance(decoder.start(features), tokens)
    state, steps = decoder.start(features), []
    for t in range(T):
        logits, state, _ = decoder.advance(state, tokens[:, :, t : t + 1])
        steps.append(logits)
    torch.testing.assert_close(torch.cat(steps, dim=2), whole, atol=1e-5, rtol=1e-5)


def test_chunks_of_any_size_continue_a_caption(decoder, features, tokens):
    """Several tokens may follow a cached prefix; the mask shifts with the prefix."""
    whole, _, _ = decoder.advance(decoder.start(features), tokens)
    first, state, _ = decoder.advance(decoder.start(features), tokens[..., :3])
    second, _, _ = decoder.advance(state, tokens[..., 3:])
    torch.testing.assert_close(torch.cat([first, second], dim=2), whole, atol=1e-5, rtol=1e-5)


def test_a_later_token_changes_no_earlier_prediction(decoder, features, tokens):
    """Self-attention is causal."""
    changed = tokens.clone()
    changed[..., 4] = (changed[..., 4] + 1) % V
    before, _, _ = decoder.advance(decoder.start(features), tokens)
    after, _, _ = decoder.advance(decoder.start(features), changed)
    torch.testing.assert_close(before[:, :, :4], after[:, :, :4])
    assert not torch.allclose(before[:, :, 4:], after[:, :, 4:])


def test_rows_and_images_do_not_mix(decoder, features, tokens):
    """Each caption of each image is predicted as if it were alone."""
    together, _, _ = decoder.advance(decoder.start(features), tokens)
    for image in range(B):
        for row in range(K):
            alone, _, _ = decoder.advance(
                decoder.start(features[image : image + 1]), tokens[image : image + 1, row : row + 1]
            )
            torch.testing.assert_close(alone[0, 0], together[image, row], atol=1e-5, rtol=1e-5)


def test_selecting_parents_moves_their_history(decoder, features, tokens):
    """After `select`, a row goes on as the row it was picked from."""
    _, state, _ = decoder.advance(decoder.start(features), tokens[..., :4])
    parents = torch.tensor([[2, 2], [0, 1]])
    following = torch.tensor([[[5], [6]], [[7], [8]]])
    logits, _, _ = decoder.advance(state.select(parents), following)
    for image in range(B):
        for row in range(2):
            path = torch.cat([tokens[image, parents[image, row], :4], following[image, row]])
            whole, _, _ = decoder.advance(decoder.start(features[image : image + 1]), path[None, None])
            torch.testing.assert_close(logits[image, row, -1], whole[0, 0, -1], atol=1e-5, rtol=1e-5)


def test_states_that_go_on_from_one_state_do_not_disturb_each_other(decoder, features, tokens):
    """Two continuations of a state share what was read before, and each predicts as if the other did not exist."""
    _, state, _ = decoder.advance(decoder.start(features), tokens[..., :3])
    _, state, _ = decoder.advance(state, tokens[..., 3:4])
    other = (tokens[..., 4:5] + 1) % V
    _, straight, _ = decoder.advance(state, tokens[..., 4:5])
    _, aside, _ = decoder.advance(state, other)
    for ways, prefix in ((straight, tokens[..., :5]), (aside, torch.cat([tokens[..., :4], other], dim=-1))):
        logits, _, _ = decoder.advance(ways, tokens[..., 5:6])
        whole, _, _ = decoder.advance(decoder.start(features), torch.cat([prefix, tokens[..., 5:6]], dim=-1))
        torch.testing.assert_close(logits[:, :, -1], whole[:, :, -1], atol=1e-5, rtol=1e-5)


def test_an_image_that_leaves_takes_its_own_words_only(decoder, features, tokens):
    """After `keep` the images that stay go on as before, in their order, from step to step."""
    _, state, _ = decoder.advance(decoder.start(features), tokens[..., :1])
    for t in range(1, T):
        if t == 3:
            state = state.keep(torch.tensor([1]))
        step = tokens[1:, :, t : t + 1] if t >= 3 else tokens[..., t : t + 1]
        logits, state, _ = decoder.advance(state, step)
    whole, _, _ = decoder.advance(decoder.start(features), tokens)
    torch.testing.assert_close(logits[0, :, -1], whole[1, :, -1], atol=1e-5, rtol=1e-5)


def test_attention_to_the_image_sums_to_one(decoder, features, tokens):
    """Each word's weights over the grid are a distribution."""
    _, _, weights = decoder.advance(decoder.start(features), tokens)
    assert weights.shape == (B, K, T, G * G)
    torch.testing.assert_close(weights.sum(-1), torch.ones(B, K, T))


def test_the_image_matters(decoder, features, tokens):
    """Another image gives other predictions."""
    one, _, _ = decoder.advance(decoder.start(features), tokens)
    other, _, _ = decoder.advance(decoder.start(features.flip(0)), tokens)
    assert not torch.allclose(one, other, atol=1e-3)


def test_grid_positions_are_all_different():
    """No two places of the grid share a position."""
    positions = sine_positions_2d(7, 32)
    distances = torch.cdist(positions, positions) + torch.eye(49) * 9
    assert float(distances.min()) > 0.1
