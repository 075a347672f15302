"""The stage `train`, whole, on tiny data."""

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

import pytest
import timm
import torch
from filelock import FileLock
from safetensors.torch import load_file, save_file

from captiongen.data.shards import open_processed, write_index, write_sampling_weights
from captiongen.errors import CheckpointError, DataError, EncoderError, TrainingError
from captiongen.files import sha256_of_file
from captiongen.inference import CaptionEngine, caption_split
from captiongen.metrics.calibration import fit_calibration, word_outcomes
from captiongen.metrics.report import score_captions
from captiongen.model.captioner import build_captioner
from captiongen.model.checkpoint import load_captioner
from captiongen.model.encoder import build_encoder
from captiongen.model.pretrained import load_pretrained
from captiongen.params import (
    DecodeParams,
    DecoderParams,
    DistilledPhase,
    EncoderParams,
    MatcherParams,
    RerankerParams,
    SelectionParams,
    TokenizerParams,
    TrainParams,
)
from captiongen.ports import NullTracker
from captiongen.text.tokenizer import CaptionTokenizer
from tests.tiny import (
    encoded,
    language_model_params,
    language_model_tokenizer,
    tiny_encoder,
    tiny_picture,
    tiny_processed,
)
from tests.trained import train_in


@pytest.fixture(scope="module")
def params(tmp_path_factory) -> Callable[..., TrainParams]:
    encoder = tiny_encoder(tmp_path_factory.mktemp("weights"))

    def make(*kinds: str, num_epochs: int = 2, **changes) -> TrainParams:
        return TrainParams(
            encoder=encoder,
            decoder=DecoderParams(width=32, num_layers=1, num_heads=2),
            phases=[{"kind": kind, "num_epochs": num_epochs, "batch_size": 8} for kind in kinds or ["finetuned"]],
            **changes,
            decode=DecodeParams(num_beams=2, max_tokens=12),
        )

    return make


@pytest.fixture(scope="module")
def data_folder(tmp_path_factory):
    return tiny_processed(tmp_path_factory.mktemp("processed"))


class RecordingTracker(NullTracker):
    def __init__(self):
        self.tags, self.metrics, self.params = {}, [], {}

    def log_tags(self, tags):
        self.tags |= tags

    def log_metrics(self, metrics, *, step):
        self.metrics.append((step, dict(metrics)))

    def log_params(self, params):
        self.params |= params


@pytest.mark.parametrize("training", ["finetuned", "frozen"])
def test_a_trained_captioner_captions(tmp_path, data_folder, training, params):
    """The folder that training leaves loads and captions; reports and tracker tell how it went."""
    tracker = RecordingTracker()
    result = train_in(params(training), data_folder, tmp_path, tracker=tracker)
    engine = CaptionEngine.load(tmp_path / "captioner")
    data = open_processed(data_folder)
    assert engine.manifest == result.manifest
    assert engine.manifest.data_hash == data.data_hash
    assert engine.manifest.preprocessing == data.preprocessing
    assert tracker.tags["captiongen.model_sha256"] == result.manifest.weights_sha256
    assert tracker.params["train.phases.1.kind"] == training
    assert [step for step, metrics in tracker.metrics if "dev_cider" in metrics] == [2, 4]
    summary = json.loads((tmp_path / "reports" / "train.json").read_text())
    assert summary["dev_cider"] == result.manifest.dev_cider
    curves = (tmp_path / "reports" / "curves.csv").read_text().splitlines()
    assert curves[0] == "epoch,phase,train_loss,learning_rate,dev_cider,dev_r2"
    assert len(curves) == 3


def test_a_training_learns_on_dev_what_its_probabilities_are_worth(tmp_path, data_folder, params):
    """The manifest carries the calibration of exactly the dev captions that the finished captioner writes."""
    trained = train_in(params("finetuned", num_epochs=4), data_folder, tmp_path).manifest
    engine, data = CaptionEngine.load(tmp_path / "captioner"), open_processed(data_folder)
    images = list(caption_split(engine, data, "dev", batch_size=5))
    words = word_outcomes(images)
    assert 0 < words.is_right.sum() < len(words.is_right)
    learnt = fit_calibration(images, score_dev(images)).word
    assert (learnt.slope, learnt.intercept) == pytest.approx(
        (trained.calibration.word.slope, trained.calibration.word.intercept), abs=1e-3
    )


def score_dev(images):
    captions = {image.image_id: image.hypotheses[0].caption for image in images}
    references = {image.image_id: image.references for image in images}
    report = score_captions(captions, references, decoding="", split_hash="", num_resamples=1, seed=0)
    return report.per_image


@pytest.fixture(scope="module")
def reranked(params) -> Callable[..., TrainParams]:
    """Settings of a captioner whose captions a reranker chooses."""

    def make(*kinds: str, temperature: float = 0.125, **changes) -> TrainParams:
        plain = params(*kinds, **changes)
        matcher = MatcherParams(width=8, num_epochs=2)
        return plain.model_copy(
            update={
                "decode": plain.decode.model_copy(update={"choice": "reranked"}),
                "reranker": RerankerParams(matcher=matcher, temperature=temperature),
            }
        )

    return make


def test_a_training_ends_with_a_reranker(tmp_path, data_folder, reranked):
    """It remembers the captions of train, and the calibration is of the captions that it chooses."""
    trained = train_in(reranked("finetuned"), data_folder, tmp_path).manifest
    engine, data = CaptionEngine.load(tmp_path / "captioner"), open_processed(data_folder)
    reranker = load_captioner(tmp_path / "captioner").captioner.reranker
    captions = [caption for of_one in data.references("train").values() for caption in of_one]
    assert sum(len(of_one) for of_one in reranker.captions()) == len(captions)
    assert trained.decode.choice == "reranked"
    images = list(caption_split(engine, data, "dev", batch_size=32))
    learnt = fit_calibration(images, score_dev(images)).word
    assert (learnt.slope, learnt.intercept) == pytest.approx(
        (trained.calibration.word.slope, trained.calibration.word.intercept), abs=1e-3
    )


def test_a_reranker_learns_from_the_dev_images_that_choose(tmp_path, data_folder, reranked):
    """With fewer of them than dev has, too."""
    params = reranked("frozen", selection=SelectionParams(max_images=3))
    assert train_in(params, data_folder, tmp_path).manifest.reranker is not None


def test_what_is_never_shown_is_not_remembered(tmp_path, params, reranked):
    """An image that people weighted with 0 has no caption in the captioner."""
    data = open_processed(tiny_processed(tmp_path / "processed"))
    hidden, *_ = data.references("train")
    write_sampling_weights(data.folder, {hidden: 0.0})
    train_in(reranked("frozen"), data.folder, tmp_path)
    remembered = load_captioner(tmp_path / "captioner").captioner.reranker
    assert len(remembered.captions()) == len(data.references("train")) - 1


def test_one_shown_image_is_too_few_for_a_reranker(tmp_path, params, reranked):
    """It is said before anything is trained, and that weights leave no more; without a reranker it is enough."""
    data = open_processed(tiny_processed(tmp_path / "processed"))
    hidden = list(data.references("train"))[1:]
    write_sampling_weights(data.folder, dict.fromkeys(hidden, 0.0))
    with pytest.raises(DataError, match=rf"two training images.*found 1 \({len(hidden)} others have the weight 0"):
        train_in(reranked("frozen"), data.folder, tmp_path)
    assert not (tmp_path / "state").exists()
    assert train_in(params("frozen"), data.folder, tmp_path).manifest.reranker is None


def test_another_reranker_repeats_no_phase(tmp_path, data_folder, params, reranked):
    """Asked for after the training, or with other settings, it is made of the captioner that is there."""
    train_in(params("frozen"), data_folder, tmp_path)
    phases = sorted(path.name for path in (tmp_path / "state" / "training").iterdir())
    for temperature in (0.125, 1.0):
        again = train_in(reranked("frozen", temperature=temperature), data_folder, tmp_path)
        assert again.manifest.reranker.temperature == temperature
        assert sorted(path.name for path in (tmp_path / "state" / "training").iterdir()) == phases


def test_a_captioner_with_a_reranker_can_be_started_from(tmp_path, data_folder, params, reranked):
    """The next one begins with its weights, and has the reranker that its own settings ask for."""
    first = train_in(reranked("frozen"), data_folder, tmp_path / "first").manifest
    origin = {"path": str(tmp_path / "first" / "captioner"), "weights_sha256": first.weights_sha256}
    second = train_in(params("self_critical", num_epochs=1, start_from=origin), data_folder, tmp_path / "second")
    assert second.manifest.reranker is None


def test_training_again_gives_the_same_bytes(tmp_path, data_folder, params):
    """Two trainings with the same params and data write the same files, so DVC sees one model."""
    outputs = []
    for name in ("one", "two"):
        train_in(params(), data_folder, tmp_path / name)
        folder = tmp_path / name
        outputs.append(
            {path.name: path.read_bytes() for part in ("captioner", "reports") for path in (folder / part).iterdir()}
        )
    assert outputs[0] == outputs[1]


def test_a_frozen_encoder_keeps_its_weights(tmp_path, data_folder, params):
    """After a frozen phase the encoder of the trained model is the one it began with."""
    from captiongen.model.captioner import build_captioner

    options = params("frozen")
    train_in(options, data_folder, tmp_path)
    trained = load_captioner(tmp_path / "captioner")
    torch.manual_seed(options.seed)
    fresh = build_captioner(
        options.encoder,
        options.decoder,
        image_size_px=64,
        vocabulary_size=trained.tokenizer.vocabulary_size,
        max_tokens=12,
    )
    for name, tensor in fresh.encoder.state_dict().items():
        assert torch.equal(tensor, trained.captioner.encoder.state_dict()[name]), name


@pytest.mark.parametrize("is_trained", [True, False])
def test_only_a_random_encoder_learns_batch_statistics(tmp_path, data_folder, is_trained, params):
    """Finetuning moves a trained encoder's weights and not its batch statistics; a random one must learn them."""
    encoder = tiny_encoder(tmp_path, "test_efficientnet") if is_trained else EncoderParams(name="test_efficientnet")
    torch.manual_seed(0)
    train_in(params("finetuned", num_epochs=1).model_copy(update={"encoder": encoder}), data_folder, tmp_path)
    before = load_file(encoder.weights) if is_trained else build_encoder(encoder).backbone.state_dict()
    after = load_captioner(tmp_path / "captioner").captioner.encoder.backbone.state_dict()
    statistics = [name for name in after if name.endswith(("running_mean", "running_var"))]
    assert statistics
    assert all(torch.equal(before[name], after[name]) == is_trained for name in statistics)
    assert not torch.equal(before["conv_stem.weight"], after["conv_stem.weight"])


def test_phases_follow_each_other(tmp_path, data_folder, params):
    """Three phases give one captioner; epochs count through, and no phase loses what the one before reached."""
    result = train_in(params("frozen", "finetuned", "self_critical", num_epochs=1), data_folder, tmp_path)
    history = result.trained.history
    assert [(row.epoch, row.phase) for row in history] == [(1, "frozen"), (2, "finetuned"), (3, "self_critical")]
    assert result.manifest.dev_cider == max(row.dev_cider for row in history)
    assert CaptionEngine.load(tmp_path / "captioner").manifest == result.manifest


def test_a_pretrained_decoder_goes_through_the_phases(tmp_path, params):
    """It learns captions from its own pieces and by their reward, and what it becomes captions as any other does."""
    folder = tiny_processed(tmp_path / "processed", tokenizer=language_model_tokenizer("gpt2"))
    decoder = language_model_params("gpt2", num_layers=1, pretrained_learning_rate_factor=0.5)
    options = params("frozen", "self_critical", num_epochs=1).model_copy(update={"decoder": decoder})
    result = train_in(options, folder, tmp_path)
    assert [record.phase for record in result.trained.history] == ["frozen", "self_critical"]
    engine = CaptionEngine.load(tmp_path / "captioner")
    assert engine.manifest.decoder == decoder
    images = list(caption_split(engine, open_processed(folder), "test", batch_size=8))
    assert all(image.hypotheses[0].caption for image in images)
    begun, learned = pretrained_gpt2(decoder), load_captioner(tmp_path / "captioner").captioner.decoder
    for name in ("embedding.weight", "layers.0.think.0.weight", "layers.0.cross_attention.output.weight"):
        assert not torch.equal(begun.get_parameter(name), learned.get_parameter(name)), name


def pretrained_gpt2(decoder):
    tokenizer = language_model_tokenizer("gpt2")
    built = build_captioner(
        EncoderParams(name="test_convnext"),
        decoder,
        image_size_px=64,
        vocabulary_size=tokenizer.vocabulary_size,
        max_tokens=12,
    )
    load_pretrained(built.decoder, tokenizer)
    return built.decoder


def test_a_change_of_the_last_phase_repeats_no_earlier_one(tmp_path, data_folder, params):
    """With other settings of the second phase the first is taken from its snapshot, and the outcome is the same."""
    first, changed = params("frozen", "self_critical"), params("frozen", "self_critical", num_epochs=2)
    changed = changed.model_copy(
        update={"phases": (first.phases[0], first.phases[1].model_copy(update={"num_samples": 3}))}
    )
    train_in(first, data_folder, tmp_path / "kept")
    tracker = RecordingTracker()
    again = train_in(changed, data_folder, tmp_path / "kept", tracker=tracker)
    fresh = train_in(changed, data_folder, tmp_path / "fresh")
    assert [step for step, metrics in tracker.metrics if "dev_cider" in metrics] == [6, 8]
    assert again.trained.history == fresh.trained.history
    assert again.manifest == fresh.manifest


def test_a_finished_training_is_not_repeated(tmp_path, data_folder, params):
    """Called again before its outcome was recorded, it gives the same captioner and trains no epoch."""
    first = train_in(params("frozen", "finetuned"), data_folder, tmp_path).manifest
    (tmp_path / "captioner" / "manifest.json").unlink()
    tracker = RecordingTracker()
    assert train_in(params("frozen", "finetuned"), data_folder, tmp_path, tracker=tracker).manifest == first
    assert tracker.metrics == []


def test_weighted_images_are_trained_on_anew_over_kept_features(tmp_path, data_folder, params):
    """Weights make another training with longer epochs; the features that were computed before serve it."""
    weighted_folder = shutil.copytree(data_folder, tmp_path / "weighted")
    images = list(open_processed(data_folder).references("train"))
    write_sampling_weights(weighted_folder, dict.fromkeys(images, 3.0))
    train_in(params("frozen", num_epochs=1), data_folder, tmp_path)
    cached = sorted((tmp_path / "state" / "cache").iterdir())
    tracker = RecordingTracker()
    train_in(params("frozen", num_epochs=1), weighted_folder, tmp_path, tracker=tracker)
    assert [step for step, metrics in tracker.metrics if "dev_cider" in metrics] == [math.ceil(3 * len(images) / 8)]
    assert sorted((tmp_path / "state" / "cache").iterdir()) == cached


def test_a_training_can_start_from_a_captioner(tmp_path, data_folder, params):
    """`start_from` begins with a trained captioner's weights and score, and keeps them when nothing gets better."""
    before = train_in(params("finetuned", num_epochs=4), data_folder, tmp_path / "before").manifest
    origin = {"path": str(tmp_path / "before" / "captioner"), "weights_sha256": before.weights_sha256}
    slow = params("self_critical", num_epochs=1, start_from=origin)
    after = train_in(slow, data_folder, tmp_path / "after")
    assert after.manifest.dev_cider >= before.dev_cider


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"weights_sha256": "f" * 64}, "expected weights with sha256 fff"), ({"width": 64}, "is another model than")],
)
def test_a_start_that_does_not_fit_is_refused(tmp_path, data_folder, changes, message, params):
    """Another captioner than the one named, or one of another shape, is an error that says so."""
    before = train_in(params("finetuned", num_epochs=1), data_folder, tmp_path / "before").manifest
    origin = {"path": str(tmp_path / "before" / "captioner"), "weights_sha256": before.weights_sha256}
    wide = {"decoder": DecoderParams(width=64, num_layers=1, num_heads=2)} if "width" in changes else {}
    options = params("frozen", start_from=origin | {k: v for k, v in changes.items() if k != "width"})
    with pytest.raises(CheckpointError, match=message):
        train_in(options.model_copy(update=wide), data_folder, tmp_path / "after")


def test_a_captioner_learns_from_a_captioner(tmp_path, data_folder, params):
    """A smaller decoder learns from a larger one over the same encoder, whose features are computed once."""
    before = train_in(params("frozen"), data_folder, tmp_path).manifest
    kept = sorted((tmp_path / "state" / "cache").iterdir())
    options = taught(params, tmp_path, before)
    after = train_in(options, data_folder, tmp_path).manifest
    assert after.decoder.width == 16
    assert sorted((tmp_path / "state" / "cache").iterdir()) == kept
    alone = options.model_copy(update={"phases": (options.phases[0].model_copy(update={"teacher": None}),)})
    assert train_in(alone, data_folder, tmp_path / "alone").manifest.weights_sha256 != after.weights_sha256


def test_a_teacher_may_have_another_encoder(tmp_path, data_folder, params):
    """Where the teacher sees with other weights, its features are computed and kept beside the student's."""
    before = train_in(params("finetuned"), data_folder, tmp_path).manifest
    result = train_in(taught(params, tmp_path, before, mirror=True), data_folder, tmp_path / "after")
    kept = [path.name.rsplit("-", 1)[0] for path in (tmp_path / "after" / "state" / "cache").iterdir()]
    assert sorted(kept) == ["features-dev", *["features-train"] * 2, *["mirrored-features-train"] * 2]
    assert len(result.trained.history) == 2


def test_a_teacher_looks_at_augmented_pictures_too(tmp_path, data_folder, params):
    """In a finetuned phase teacher and student look at pictures, and no features are kept."""
    before = train_in(params("frozen", num_epochs=1), data_folder, tmp_path).manifest
    augmentation = {"min_crop_area": 0.8, "mirror": True}
    options = taught(params, tmp_path, before, kind="finetuned", num_epochs=1, augmentation=augmentation)
    train_in(options, data_folder, tmp_path / "after")
    kept = [path.name.rsplit("-", 1)[0] for path in (tmp_path / "after" / "state" / "cache").iterdir()]
    assert sorted(kept) == ["pictures-dev", "pictures-train"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"weights_sha256": "f" * 64}, "teacher: expected weights with sha256 fff"),
        ({"max_tokens": 20}, "knows captions of 12 tokens, train.decode.max_tokens is 20"),
        ({"tokenizer": "another"}, "was trained with another tokenizer than these data have"),
    ],
)
def test_a_teacher_that_does_not_fit_is_refused(tmp_path, data_folder, damage, message, params):
    """A teacher that is another one than named, or cannot read these captions, is an error that says so."""
    before = train_in(params("frozen", num_epochs=1), data_folder, tmp_path / "before").manifest
    options = taught(params, tmp_path / "before", before, **{k: v for k, v in damage.items() if k == "weights_sha256"})
    if "max_tokens" in damage:
        options = options.model_copy(update={"decode": options.decode.model_copy(update={"max_tokens": 20})})
    if "tokenizer" in damage:
        data_folder = tiny_processed(tmp_path / "processed")
        CaptionTokenizer.train(["A ball ."], TokenizerParams(min_count=1)).save(data_folder / "tokenizer.json")
    with pytest.raises(CheckpointError, match=message):
        train_in(options, data_folder, tmp_path / "after")


@pytest.fixture(scope="module")
def distilled(params) -> Callable[..., TrainParams]:
    """Params of a captioner whose random encoder learns from the one of `params`, then a phase that learns captions."""
    teacher = params().encoder.model_dump()

    def make(*, num_epochs: int = 2, learning_rate: float = 5e-4, **changes) -> TrainParams:
        first = {"kind": "distilled", "num_epochs": 2, "batch_size": 8, "teacher": teacher, **changes}
        second = {"kind": "frozen", "num_epochs": num_epochs, "batch_size": 8, "learning_rate": learning_rate}
        encoder = {"name": "test_convnext2", "output_stride": 16}
        return TrainParams.model_validate(params().model_dump() | {"encoder": encoder, "phases": [first, second]})

    return make


def test_captions_are_learned_over_a_distilled_encoder(tmp_path, data_folder, distilled):
    """A distilled phase is judged by R2, the next by CIDEr from nothing on, over the encoder that was distilled."""
    tracker = RecordingTracker()
    result = train_in(distilled(learning_rate=1e-9), data_folder, tmp_path, tracker=tracker)
    history = result.trained.history
    assert [(row.phase, row.dev_r2 is None, row.dev_cider is None) for row in history] == [
        *[("distilled", False, True)] * 2,
        *[("frozen", True, False)] * 2,
    ]
    assert result.manifest.dev_cider == max(row.dev_cider for row in history[2:])
    assert result.trained.best_epoch in (3, 4)
    assert [step for step, metrics in tracker.metrics if "dev_r2" in metrics] == [2, 4]
    [kept] = (tmp_path / "state" / "training").glob("1-distilled-*/epoch-0002/best.safetensors")
    captioner = load_captioner(tmp_path / "captioner").captioner
    best = {name: tensor for name, tensor in load_file(kept).items() if name.startswith("encoder.")}
    assert best.keys() == {name for name in captioner.state_dict() if name.startswith("encoder.")}
    assert all(torch.equal(tensor, captioner.state_dict()[name]) for name, tensor in best.items())


def test_a_distillation_is_not_repeated_for_other_captions_settings(tmp_path, data_folder, distilled):
    """A change of the phase after it takes the distilled encoder from its snapshot, and ends as a fresh training."""
    train_in(distilled(num_epochs=1), data_folder, tmp_path / "kept")
    tracker = RecordingTracker()
    again = train_in(distilled(), data_folder, tmp_path / "kept", tracker=tracker).manifest
    assert not any("dev_r2" in metrics for _, metrics in tracker.metrics)
    assert again == train_in(distilled(), data_folder, tmp_path / "fresh").manifest


def test_a_teacher_without_a_map_is_refused_before_any_training(tmp_path, data_folder, distilled):
    """A vision transformer that is to teach in a later phase is met before the first one has trained."""
    path = tmp_path / "vit.safetensors"
    save_file(timm.create_model("test_vit").state_dict(), path)
    teacher = {"name": "test_vit", "weights": str(path), "weights_sha256": sha256_of_file(path)}
    given = distilled().model_dump()
    given["phases"] = [given["phases"][0], {**given["phases"][0], "teacher": teacher}, *given["phases"][1:]]
    with pytest.raises(EncoderError, match="Expected an encoder with a map"):
        train_in(TrainParams.model_validate(given), data_folder, tmp_path)
    assert not list(tmp_path.glob("state/training/*/epoch-*"))


def test_unlabelled_pictures_are_learned_from(tmp_path, data_folder, distilled):
    """Pictures without captions make more steps of a distilled phase, and another encoder."""
    folder = tmp_path / "unlabelled"
    folder.mkdir()
    for seed in range(8):
        (folder / f"{seed}.png").write_bytes(encoded(tiny_picture("yellow", seed=seed)))
    named = {"path": str(folder), "sha256": "0" * 64}
    with pytest.raises(DataError, match="found 8 with") as caught:
        train_in(distilled(unlabelled=named), data_folder, tmp_path)
    named["sha256"] = str(caught.value).split("found 8 with ")[1][:64]
    tracker = RecordingTracker()
    train_in(distilled(unlabelled=named), data_folder, tmp_path, tracker=tracker)
    assert [step for step, metrics in tracker.metrics if "dev_r2" in metrics] == [3, 6]


def taught(params, folder, manifest, **changes):
    """Params of a smaller captioner that learns from the one in `folder`."""
    teacher = {"path": str(folder / "captioner"), "weights_sha256": manifest.weights_sha256}
    teacher |= {key: changes.pop(key) for key in list(changes) if key in teacher}
    phase = {"kind": "frozen", "num_epochs": 2, "batch_size": 8, "teacher": teacher, **changes}
    small = {"decoder": {"width": 16, "num_layers": 1, "num_heads": 2}, "phases": [phase]}
    return TrainParams.model_validate(params("frozen").model_dump() | small)


def test_a_second_trainer_is_refused_and_named(tmp_path, data_folder, params):
    """While one process trains in a state folder, another one is turned away with the first one's pid."""
    state = tmp_path / "state"
    state.mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); "
            "print('held', flush=True); sys.stdin.read()",
            str(state / "trainer.lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline().strip() == "held"
        (state / "trainer.pid").write_text(str(holder.pid))
        with pytest.raises(TrainingError, match=rf"Another trainer \(pid {holder.pid}\)"):
            train_in(params(), data_folder, tmp_path)
    finally:
        holder.communicate("")


def test_the_lock_of_a_dead_trainer_holds_nobody_up(tmp_path, data_folder, params):
    """A pid file that a killed trainer left behind does not stop the next one."""
    state = tmp_path / "state"
    state.mkdir()
    FileLock(state / "trainer.lock").acquire().lock.release(force=True)
    (state / "trainer.pid").write_text(str(os.getpid()))
    train_in(params(num_epochs=1), data_folder, tmp_path)
    assert not (state / "trainer.pid").exists()


def test_captions_that_are_cut_are_told_once(tmp_path, data_folder, capfd, params):
    """A training whose max_tokens is too small says how many captions that concerns, however many phases it has."""
    options = params("finetuned", "frozen", num_epochs=1)
    short = options.model_copy(update={"decode": options.decode.model_copy(update={"max_tokens": 5})})
    train_in(short, data_folder, tmp_path)
    assert capfd.readouterr().err.count("training captions are longer than train.decode.max_tokens=5") == 1


def test_an_empty_dev_split_is_refused(tmp_path, params):
    """Without dev images no epoch could be chosen, so nothing is trained."""
    folder = tiny_processed(tmp_path / "processed")
    data = open_processed(folder)
    from dataclasses import replace

    write_index(replace(data, counts={"train": data.counts["train"]}))
    with pytest.raises(DataError, match="expected images in split dev, found none"):
        train_in(params(), folder, tmp_path)


def test_a_random_encoder_may_not_stay_random():
    """A training that begins with a frozen random encoder is refused where its settings are read."""
    with pytest.raises(ValueError, match="a random encoder would stay random"):
        TrainParams(encoder=EncoderParams(name="test_convnext"), phases=[{"kind": "frozen", "num_epochs": 1}])


@pytest.mark.parametrize("kinds", [["distilled"], ["frozen", "distilled", "frozen"]])
def test_distilled_phases_come_first_and_captions_after_them(kinds):
    """A distilled phase under a trained decoder, or with none to learn captions after it, is refused."""
    distilled = {"kind": "distilled", "num_epochs": 1, "teacher": {"name": "test_convnext", "weights": "hub"}}
    phases = [distilled if kind == "distilled" else {"kind": kind, "num_epochs": 1} for kind in kinds]
    with pytest.raises(ValueError, match="distilled ones come first, and one that learns captions after them"):
        TrainParams(encoder=EncoderParams(name="test_convnext", weights="hub"), phases=phases)


def test_a_teacher_has_trained_weights():
    """A teacher with random weights is refused where the settings are read."""
    with pytest.raises(ValueError, match="a teacher has trained weights"):
        DistilledPhase(kind="distilled", num_epochs=1, teacher=EncoderParams(name="test_convnext"))
