"""Encoders: any timm model by name, weights from a file, and clear words when they do not fit."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from captiongen.errors import EncoderError
from captiongen.files import sha256_of_file
from captiongen.model.encoder import build_encoder
from captiongen.params import EncoderParams
from tests.tiny import tiny_model_folder


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory):
    import timm

    torch.manual_seed(7)
    path = tmp_path_factory.mktemp("weights") / "test_convnext.safetensors"
    save_file({k: v.contiguous() for k, v in timm.create_model("test_convnext").state_dict().items()}, path)
    return path


@pytest.mark.parametrize(
    ("name", "stride", "side"), [("test_convnext", 32, 2), ("test_convnext", 16, 4), ("test_efficientnet", 32, 2)]
)
def test_the_feature_map_has_the_size_it_measures(name, stride, side):
    """`measure` tells the channels and the grid that `forward` gives."""
    encoder = build_encoder(EncoderParams(name=name, output_stride=stride)).eval()
    channels, grid = encoder.measure(64)
    features = encoder(torch.zeros(2, 3, 64, 64, dtype=torch.uint8))
    assert features.shape == (2, channels, grid, grid)
    assert grid == side


def test_multiscale_adds_the_channels_of_the_stage_before():
    """With `is_multiscale` the map carries the last two stages on the last one's grid."""
    plain, _ = build_encoder(EncoderParams(name="test_convnext")).measure(64)
    both, grid = build_encoder(EncoderParams(name="test_convnext", is_multiscale=True)).measure(64)
    assert (both, grid) == (plain + 48, 2)


def test_kept_batch_statistics_serve_in_training_too():
    """After `keep_batch_statistics` a batch in training mode is normalised as in evaluation, and leaves no trace."""
    torch.manual_seed(5)
    encoder = build_encoder(EncoderParams(name="test_efficientnet"))
    pictures = torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8)
    encoder.train()(pictures)  # statistics worth keeping
    expected = encoder.eval()(pictures)
    encoder.keep_batch_statistics()
    before = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert torch.equal(encoder.train()(pictures), expected)
    assert all(torch.equal(before[name], tensor) for name, tensor in encoder.state_dict().items())


def test_weights_from_a_file_are_the_file_s(weights_file):
    """Every tensor of the encoder is the file's; the classifier is left out."""
    digest = sha256_of_file(weights_file)
    encoder = build_encoder(EncoderParams(name="test_convnext", weights=str(weights_file), weights_sha256=digest))
    stored = load_file(weights_file)
    loaded = {name.removeprefix("backbone."): tensor for name, tensor in encoder.state_dict().items()}
    assert set(loaded) == {name for name in stored if not name.startswith("head.fc.")}
    assert all(torch.equal(stored[name], tensor) for name, tensor in loaded.items())


def test_a_captioner_lends_its_encoder(tmp_path):
    """`weights` may name a captioner's model.safetensors: every tensor of the encoder is the captioner's."""
    path = tiny_model_folder(tmp_path / "captioner", seed=9) / "model.safetensors"
    encoder = build_encoder(EncoderParams(name="test_convnext", weights=str(path), weights_sha256=sha256_of_file(path)))
    stored = load_file(path)
    assert all(torch.equal(stored[f"encoder.{name}"], tensor) for name, tensor in encoder.state_dict().items())


def test_a_captioner_with_another_encoder_lends_none(tmp_path):
    """The encoder of a captioner is held to the same fit as timm's own file."""
    path = tiny_model_folder(tmp_path / "captioner") / "model.safetensors"
    with pytest.raises(EncoderError, match="does not fit the encoder 'test_convnext2'"):
        build_encoder(EncoderParams(name="test_convnext2", weights=str(path)))


def test_a_teacher_keeps_its_classifier(weights_file):
    """With its classifier the encoder says of an image what the whole timm model says."""
    import timm

    params = EncoderParams(name="test_convnext", weights=str(weights_file))
    encoder = build_encoder(params, with_classifier=True).eval()
    whole = timm.create_model("test_convnext").eval()
    whole.load_state_dict(load_file(weights_file))
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = whole((images - encoder.mean) / encoder.std)
        torch.testing.assert_close(encoder.classify(encoder(images)), expected, rtol=1e-4, atol=1e-5)
    assert (encoder.num_classes, build_encoder(params).num_classes) == (1000, 0)


def test_a_captioner_s_encoder_has_no_classes(tmp_path):
    """A captioner's file has no classifier, so none is kept; a random one would teach nonsense."""
    path = tiny_model_folder(tmp_path / "captioner") / "model.safetensors"
    assert build_encoder(EncoderParams(name="test_convnext", weights=str(path)), with_classifier=True).num_classes == 0


def test_a_file_of_another_model_is_refused(weights_file):
    """Weights that do not fit are refused with what is missing and what is too much."""
    with pytest.raises(EncoderError, match="does not fit the encoder 'test_convnext2'"):
        build_encoder(EncoderParams(name="test_convnext2", weights=str(weights_file)))


def test_a_file_with_another_hash_is_refused(weights_file):
    """A file that is not the recorded one is refused before it is read."""
    with pytest.raises(EncoderError, match="expected sha256 0000"):
        build_encoder(EncoderParams(name="test_convnext", weights=str(weights_file), weights_sha256="0" * 64))


def test_a_missing_or_broken_file_is_named(tmp_path):
    """A path without a file, and a file that is no safetensors, each get their own words."""
    with pytest.raises(EncoderError, match="found none at"):
        build_encoder(EncoderParams(name="test_convnext", weights=str(tmp_path / "absent.safetensors")))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no weights")
    with pytest.raises(EncoderError, match="no readable safetensors"):
        build_encoder(EncoderParams(name="test_convnext", weights=str(broken)))


def test_an_unknown_encoder_is_named():
    """A name that timm does not know says how to list names."""
    with pytest.raises(EncoderError, match=r"could not build the encoder 'convnext_gigantic'.*list_models"):
        build_encoder(EncoderParams(name="convnext_gigantic"))


@pytest.mark.parametrize("is_multiscale", [False, True])
@pytest.mark.parametrize(("stride", "finer"), [(32, [4, 8, 16]), (16, [4, 8])])
def test_stages_come_with_the_features_that_forward_gives(is_multiscale, stride, finer):
    """`forward_with_stages` adds a map for each stride that is finer than the last one's."""
    encoder = build_encoder(
        EncoderParams(name="test_convnext", is_multiscale=is_multiscale, output_stride=stride)
    ).eval()
    pictures = torch.randint(256, (2, 3, 64, 64), dtype=torch.uint8)
    features, stages = encoder.forward_with_stages(pictures)
    torch.testing.assert_close(features, encoder(pictures))
    assert sorted(stages) == finer
    assert all(stages[one].shape[-2:] == (64 // one, 64 // one) for one in finer)


def test_random_blocks_begin_as_open_as_asked_for():
    """`layer_scale` is what every residual branch of a random ConvNeXt is scaled by."""
    encoder = build_encoder(EncoderParams(name="test_convnext", layer_scale=0.25))
    scales = [parameter for name, parameter in encoder.named_parameters() if name.endswith("gamma")]
    assert scales
    assert all(bool((scale == 0.25).all()) for scale in scales)


def test_an_encoder_that_scales_no_branches_refuses_a_scale():
    """`layer_scale` for a model that has none is an error that names the model."""
    with pytest.raises(EncoderError, match=r"test_efficientnet.*layer_scale"):
        build_encoder(EncoderParams(name="test_efficientnet", layer_scale=0.25))


def test_a_vision_transformer_is_refused_in_words():
    """An encoder that takes one size of picture, and makes no map, is an error that says what to choose."""
    encoder = build_encoder(EncoderParams(name="test_vit"))
    with pytest.raises(EncoderError, match="Expected an encoder with a map"):
        encoder.measure(64)
