"""The image encoder: a timm model cut before its classifier, as a map of image features.

Shapes: B images, S side of the image in px, C channels, G side of the feature grid, N = G * G positions.
"""

import hashlib
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from captiongen.errors import EncoderError
from captiongen.files import sha256_of_file
from captiongen.params import EncoderParams

#: What the encoder's tensors are called in a captioner's model.safetensors, before timm's own names.
_IN_CAPTIONER = "encoder.backbone."


class ImageEncoder(nn.Module):
    """Turns normalised images into a map of features.

    Args:
        params: which timm model, and how it is cut.
        backbone: the timm model, with or without its classifier.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, params: EncoderParams, backbone: Any) -> None:
        super().__init__()
        self.params = params
        self.backbone: Any = backbone  # timm's own methods are not part of nn.Module's type
        self._earlier_stage = _stage_before_last(backbone, params) if params.is_multiscale else None
        self._keeps_batch_statistics = False
        config = backbone.pretrained_cfg
        self.register_buffer("mean", torch.tensor(config["mean"]).view(1, 3, 1, 1) * 255.0, persistent=False)
        self.register_buffer("std", torch.tensor(config["std"]).view(1, 3, 1, 1) * 255.0, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Encodes images.

        Args:
            images: (B, 3, S, S) uint8 or float, 0..255, RGB; normalised here, by the statistics the weights know.

        Returns:
            (B, C, G, G) features.
        """
        normalised = self._normalise(images)
        if self._earlier_stage is None:
            return cast(Tensor, self.backbone.forward_features(normalised))
        last, (earlier,) = self.backbone.forward_intermediates(normalised, indices=[self._earlier_stage])
        return _with_earlier(last, earlier)

    def forward_with_stages(self, images: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """As `forward`, and the maps of the stages that are finer than the last.

        Returns:
            (B, C, G, G) features, and by their stride in px, finest first, the maps (B, C', S / stride, S / stride).
        """
        finer = self._finer_stages()
        wanted = sorted({*finer.values(), *([] if self._earlier_stage is None else [self._earlier_stage])})
        last, maps = self.backbone.forward_intermediates(self._normalise(images), indices=wanted)
        of_stage = dict(zip(wanted, maps, strict=True))
        features = last if self._earlier_stage is None else _with_earlier(last, of_stage[self._earlier_stage])
        return features, {stride: of_stage[index] for stride, index in finer.items()}

    def stage_channels(self) -> dict[int, int]:
        """C' of the maps that `forward_with_stages` adds, by their stride in px."""
        return {stride: self.backbone.feature_info[index]["num_chs"] for stride, index in self._finer_stages().items()}

    def _finer_stages(self) -> dict[int, int]:
        strides = [stage["reduction"] for stage in self.backbone.feature_info]
        return {stride: index for index, stride in enumerate(strides) if stride < strides[-1]}

    def _normalise(self, images: Tensor) -> Tensor:
        return ((images.float() - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def keep_batch_statistics(self) -> None:
        """From now on batch norms normalise by the statistics they have learned, in training mode too.

        Under a decoder that was trained on this encoder's features, the statistics of a small batch are noise that it
        never saw; captioners and detectors are finetuned with them fixed (arXiv 1506.01497).
        """
        self._keeps_batch_statistics = True
        self.train(self.training)

    def train(self, mode: bool = True) -> "ImageEncoder":
        """Sets the mode of training or evaluation, as `nn.Module.train`."""
        super().train(mode)
        if self._keeps_batch_statistics:
            for module in self.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    @property
    def num_classes(self) -> int:
        """Classes that `classify` knows; 0 where the classifier is cut off."""
        return int(self.backbone.num_classes)

    def classify(self, features: Tensor) -> Tensor:
        """Class logits (B, `num_classes`) from features that this encoder made, (B, C, G, G)."""
        return cast(Tensor, self.backbone.forward_head(features[:, : self.backbone.num_features]))

    def sha256(self) -> str:
        """Of all that decides what features come out: the weights and how the network is cut."""
        digest = hashlib.sha256(self.describe().encode())
        for name, tensor in sorted(self.state_dict().items()):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
        return digest.hexdigest()

    def describe(self) -> str:
        """Everything but the weights that decides what features come out."""
        cut = f"stride {self.params.output_stride}" + (", multiscale" if self.params.is_multiscale else "")
        return f"{self.params.name} ({cut})"

    @torch.no_grad()
    def measure(self, image_size_px: int) -> tuple[int, int]:
        """Returns (C, G) for images of this size."""
        was_training = self.training
        self.eval()
        try:
            features = self(torch.zeros(1, 3, image_size_px, image_size_px, device=self.mean.device))
            found = str(tuple(features.shape))
        except AssertionError as error:  # of vision transformers, which take one size
            features, found = torch.empty(0), str(error)
        self.train(was_training)
        if features.ndim != 4:
            raise EncoderError(
                f"Expected an encoder with a map (batch, channels, rows, columns), found {found}. "
                "Choose a convolutional timm model such as convnext_nano."
            )
        return features.shape[1], features.shape[2]


def build_encoder(params: EncoderParams, *, with_weights: bool = True, with_classifier: bool = False) -> ImageEncoder:
    """Builds the encoder that `params` name.

    Args:
        params: the section `train.encoder`, or a teacher's.
        with_weights: False leaves the weights random, for a checkpoint that brings its own.
        with_classifier: keeps timm's classifier where the weights have one.

    Raises:
        EncoderError: timm knows no such model, the weights cannot be had, or they do not fit.
    """
    import timm

    weights = params.weights if with_weights else "none"
    options: dict[str, object] = {"drop_path_rate": params.drop_path} if params.drop_path else {}
    if params.output_stride != 32:
        options["output_stride"] = params.output_stride
    if params.layer_scale is not None:
        options["ls_init_value"] = params.layer_scale
    try:
        backbone = timm.create_model(params.name, pretrained=weights == "hub", **options)
    except Exception as error:  # timm raises RuntimeError, hub errors, and TypeErrors of the model's own
        raise EncoderError(_why_not_built(params, error)) from error
    knows_classes = weights == "hub" or (weights != "none" and _load_weights(backbone, params))
    if not (with_classifier and knows_classes):
        backbone.reset_classifier(0, "")
    return ImageEncoder(params, backbone.to(memory_format=torch.channels_last))


def _why_not_built(params: EncoderParams, error: Exception) -> str:
    cause = str(error).strip().splitlines()
    detail = cause[0] if cause else type(error).__name__
    if params.weights == "hub":
        return (
            f"Could not get pretrained weights of {params.name!r} from the model hub: {detail}. Offline, import a file "
            "with `captiongen fetch weights FILE` and set weights to its path in params.yaml."
        )
    if params.layer_scale is not None and "ls_init_value" in detail:
        return (
            f"The encoder {params.name!r} does not scale its residual branches: layer_scale={params.layer_scale} has "
            "nothing to set. Remove it, or choose a model that does, such as convnext_nano."
        )
    return (
        f"timm could not build the encoder {params.name!r}: {detail}. "
        "`python -c 'import captiongen, timm; print(timm.list_models(\"convnext*\"))'` lists names."
    )


def _load_weights(backbone: Any, params: EncoderParams) -> bool:
    """Loads the file that `params` name; returns whether the classifier was in it."""
    path = Path(params.weights)
    if not path.is_file():
        raise EncoderError(
            f"Weights of {params.name}: expected a safetensors file, found none at {path}. Use `none` for random "
            "weights, `hub` for timm's, `captiongen fetch weights FILE` to import a file, or `dvc pull` to restore one."
        )
    if params.weights_sha256 is not None and (found := sha256_of_file(path)) != params.weights_sha256:
        raise EncoderError(
            f"{path}: expected sha256 {params.weights_sha256}, found {found}. Restore the file with `dvc pull`, or, if "
            "it was replaced on purpose, import it again with `captiongen fetch weights`."
        )
    try:
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise EncoderError(f"{path} is no readable safetensors file: {error}") from error
    of_captioner = {k.removeprefix(_IN_CAPTIONER): v for k, v in state.items() if k.startswith(_IN_CAPTIONER)}
    return _fit(backbone, of_captioner or state, params, path)


def _fit(backbone: Any, state: dict[str, Tensor], params: EncoderParams, path: Path) -> bool:
    """Loads `state`, forgiving only what concerns the classifier; returns whether that was there, and fits."""
    classifier = backbone.pretrained_cfg.get("classifier") or ()
    prefixes = tuple(f"{name}." for name in ([classifier] if isinstance(classifier, str) else classifier))
    expected = {k: v for k, v in backbone.state_dict().items() if not k.startswith(prefixes)}
    found = {k: v for k, v in state.items() if not k.startswith(prefixes)}
    missing, surplus = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    misshapen = [k for k in expected.keys() & found.keys() if expected[k].shape != found[k].shape]
    if missing or surplus or misshapen:
        raise EncoderError(
            f"{path} does not fit the encoder {params.name!r}: {len(missing)} tensors missing {missing[:3]}, "
            f"{len(surplus)} unknown {surplus[:3]}, {len(misshapen)} of another shape {sorted(misshapen)[:3]}. "
            "Give the weights of exactly this timm model."
        )
    has_classifier = _shapes(state) == _shapes(backbone.state_dict())
    backbone.load_state_dict(state if has_classifier else found, strict=False)
    return has_classifier


def _shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in state.items()}


def _with_earlier(last: Tensor, earlier: Tensor) -> Tensor:
    """(B, C, G, G) and a finer map of C' channels -> (B, C + C', G, G)."""
    return torch.cat([last, F.adaptive_avg_pool2d(earlier, (last.shape[2], last.shape[3]))], dim=1)


def _stage_before_last(backbone: Any, params: EncoderParams) -> int:
    """Index of the last stage whose map is finer than the final one, or of the last but one where strides are cut."""
    reductions = [stage["reduction"] for stage in backbone.feature_info]
    finer = [index for index, reduction in enumerate(reductions) if reduction < params.output_stride]
    return finer[-1] if finer else len(reductions) - 2
