"""`captiongen fetch` and `captiongen use` in a real git and DVC project."""

import csv
import io
import subprocess
from pathlib import Path

import pytest
import timm
from dvc.cli import main as dvc
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from captiongen.adapters.dvc_data import DvcData
from captiongen.cli.app import app
from captiongen.data.scenes.dataset import read_index
from captiongen.errors import CaptionGenError, EncoderError, PretrainedError, ServiceError, SourceError, UsageError
from captiongen.params import load_params


def _picture(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 40 + number).convert("RGB").save(buffer, "PNG")
    return buffer.getvalue()


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty git and DVC project, which is the current folder; params.yaml is the sample's."""
    monkeypatch.chdir(tmp_path)
    _run("git", "init", "-q")
    assert dvc(["init", "--quiet"]) == 0
    assert _captiongen("use", "scenes").exit_code == 0
    return tmp_path


def _captiongen(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def _fails(*arguments: str, error: type[CaptionGenError]) -> str:
    found = _captiongen(*arguments).exception
    assert isinstance(found, error), found
    return str(found)


def _weights_of(model: str, folder: Path) -> Path:
    """A file of random weights that fit this timm model."""
    file = folder / "w.safetensors"
    save_file(timm.create_model(model).state_dict(), file)
    return file


def _own_folder(folder: Path) -> Path:
    (folder / "photos").mkdir(parents=True)
    with (folder / "captions.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", "caption"])
        for number in range(30):
            (folder / "photos" / f"{number}.png").write_bytes(_picture(number))
            table.writerows([[f"{number}.png", "A dog runs."], [f"{number}.png", "A brown dog is outside."]])
    return folder


def test_scenes_are_rendered_recorded_and_not_rendered_again(workspace: Path):
    """The first call renders and writes the .dvc file, the second changes nothing; plain `fetch` keeps the seed."""
    assert "commit that file" in _captiongen("fetch", "scenes", "--num-images", "20", "--seed", "3").output
    folder = workspace / "data" / "raw" / "scenes"
    pointer = (workspace / "data" / "raw" / "scenes.dvc").read_text()
    written = (folder / "images.zip").stat().st_mtime_ns
    assert "already" in _captiongen("fetch").output
    assert (folder / "images.zip").stat().st_mtime_ns == written
    assert (read_index(folder).num_images, read_index(folder).seed) == (20, 3)
    assert (workspace / "data" / "raw" / "scenes.dvc").read_text() == pointer
    assert _run("git", "check-ignore", "data/raw/scenes").strip() == "data/raw/scenes"


def test_a_clone_without_the_data_gets_the_same_ones(workspace: Path):
    """When the folder and DVC's cache are gone, rendering from the seed leaves git nothing to commit."""
    _captiongen("fetch", "scenes", "--num-images", "20")
    _run("git", "add", "data")
    _run("git", "commit", "-qm", "data")
    _run("rm", "-r", "data/raw/scenes", ".dvc/cache")
    assert "is as data/raw/scenes.dvc says" in _captiongen("fetch", "scenes", "--num-images", "20").output
    assert _run("git", "status", "--porcelain", "data") == ""


def test_damaged_scenes_are_rendered_again(workspace: Path):
    """A file that somebody changed is noticed by its hash and mended."""
    _captiongen("fetch", "scenes", "--num-images", "20")
    captions = workspace / "data" / "raw" / "scenes" / "captions.jsonl"
    good = captions.read_bytes()
    captions.chmod(0o644)
    captions.write_bytes(good[:-100])
    assert _captiongen("fetch").exit_code == 0
    assert captions.read_bytes() == good


def test_an_own_folder_goes_from_use_to_ingest(workspace: Path, tmp_path_factory: pytest.TempPathFactory):
    """`use PATH` says what it found and what to run; after `fetch PATH` the ingest stage reads the data set."""
    folder = _own_folder(tmp_path_factory.mktemp("home") / "My Photos")
    told = _captiongen("use", str(folder)).output
    assert "30 images" in told
    assert "60 captions (2 an image)" in told
    assert f"captiongen fetch '{folder}'" in told
    params = load_params(workspace / "params.yaml")
    assert (params.ingest.source, params.ingest.path, params.ingest.name) == (
        "table",
        "data/raw/my-photos",
        "my-photos",
    )
    assert params.validate_.captions_per_image == 2
    assert "captiongen fetch PATH" in _fails("fetch", error=SourceError)
    assert "commit that file" in _captiongen("fetch", str(folder)).output
    assert "already" in _captiongen("fetch").output
    assert "already" in _captiongen("fetch", str(folder)).output
    assert "30 images" in _captiongen("ingest").output


def test_what_an_own_folder_lacks_is_said_at_once(workspace: Path, tmp_path_factory: pytest.TempPathFactory):
    """Missing pictures are named with the reason, and so is what becomes of few images and of a split without any."""
    folder = _own_folder(tmp_path_factory.mktemp("home") / "few")
    for number in range(1, 30):
        (folder / "photos" / f"{number}.png").unlink()
    told = _captiongen("use", str(folder)).output
    assert "29 entries cannot go on: 1.png (the image file is missing), " in told
    assert " and 26 more; `captiongen ingest`" in told
    assert "no image in dev, test: " in told or "no image in train, " in told
    assert "fewer than 100 images" in told


def test_using_the_same_folder_again_keeps_own_settings(workspace: Path, tmp_path_factory: pytest.TempPathFactory):
    """Edited settings stay when `use PATH` looks through the same folder again, also with another encoder."""
    folder = str(_own_folder(tmp_path_factory.mktemp("home") / "mine"))
    told = _captiongen("use", folder).output
    assert "own settings are reset" in told
    assert "downloads the weights of convnext_nano" in told
    assert f"captiongen use {folder} --encoder MODEL --weights FILE" in told
    assert told.split("Next:")[1].split("\n")[2:-1] == [
        "  git add -A && git commit -m 'Switch to mine'",
        "  dvc repro",
        "  captiongen release",
    ]
    params = workspace / "params.yaml"
    params.write_text(params.read_text().replace("dropout: 0.3", "dropout: 0.25  # mine"))
    assert "says so already" in _captiongen("use", folder).output
    told = _captiongen("use", folder, "--encoder", "resnet18").output
    assert "your other settings stay" in told
    assert "dropout" not in told
    assert "dropout: 0.25  # mine" in params.read_text()
    assert load_params(params).train.encoder.name == "resnet18"
    assert "train.decoder.dropout: 0.25" in _captiongen("use", "flickr8k").output


def test_a_folder_in_data_raw_stays_where_it_is(workspace: Path):
    """A folder that lies in data/raw is recorded in place, and its pictures are not packed."""
    _own_folder(workspace / "data" / "raw" / "mine")
    _captiongen("use", "data/raw/mine")
    assert load_params(workspace / "params.yaml").ingest.table.images_folder == "photos"
    assert _captiongen("fetch").exit_code == 0
    assert (workspace / "data" / "raw" / "mine.dvc").is_file()
    assert "30 images" in _captiongen("ingest").output


def test_a_decoder_s_language_model_is_recorded_and_described(workspace: Path, project: Path):
    """`use --decoder` imports the files that are read, and writes what decoder and tokenizer must say of them."""
    source = project / "tests" / "golden" / "language_models" / "roberta"
    assert _captiongen("use", "flickr8k", "--decoder", str(source)).exit_code == 0
    params = load_params(workspace / "params.yaml")
    decoder, tokenizer = params.train.decoder, params.preprocess.tokenizer
    assert (decoder.architecture, decoder.width, decoder.num_layers, decoder.num_heads) == ("roberta", 16, 2, 2)
    assert decoder.weights == tokenizer.source == "data/raw/weights/roberta"
    assert decoder.weights_sha256 == tokenizer.sha256 is not None
    imported = workspace / "data" / "raw" / "weights" / "roberta"
    assert sorted(path.name for path in imported.iterdir()) == ["config.json", "model.safetensors", "tokenizer.json"]
    assert imported.with_suffix(".dvc").is_file()
    assert "Expected a folder with" in _fails("use", "flickr8k", "--decoder", str(workspace), error=PretrainedError)
    assert load_params(workspace / "params.yaml") == params


def test_weights_are_recorded_and_named(workspace: Path, tmp_path_factory: pytest.TempPathFactory):
    """`fetch weights` prints what params.yaml needs; `use --weights` writes it."""
    file = _weights_of("resnet18", tmp_path_factory.mktemp("home"))
    told = _captiongen("fetch", "weights", str(file), "--name", "mine").output
    assert "weights: data/raw/weights/mine.safetensors" in told
    assert _captiongen("use", "flickr8k", "--encoder", "resnet18", "--weights", str(file)).exit_code == 0
    encoder = load_params(workspace / "params.yaml").train.encoder
    assert (encoder.name, encoder.weights) == ("resnet18", "data/raw/weights/resnet18.safetensors")
    assert encoder.weights_sha256 is not None
    assert f"weights_sha256: {encoder.weights_sha256}" in told
    for name in ("mine", "resnet18"):
        assert (workspace / "data" / "raw" / "weights" / f"{name}.safetensors.dvc").is_file()


def test_the_starter_s_settings_come_with_or_without_its_weights(
    workspace: Path, tmp_path_factory: pytest.TempPathFactory
):
    """`use starter` says how to bring the file it names; `--weights` brings one; another encoder asks the hub."""
    told = _captiongen("use", "starter").output
    assert "captiongen fetch weights FILE --name tf_efficientnet_lite2" in told
    preset = load_params(workspace / "params.yaml")
    assert preset.preprocess.image_size_px == 288
    assert [phase.kind for phase in preset.train.phases] == ["frozen", "self_critical"]
    file = _weights_of("tf_efficientnet_lite2", tmp_path_factory.mktemp("home"))
    assert "fetch weights" not in _captiongen("use", "starter", "--weights", str(file)).output
    encoder = load_params(workspace / "params.yaml").train.encoder
    assert encoder.weights == preset.train.encoder.weights
    assert encoder.weights_sha256 != preset.train.encoder.weights_sha256
    _captiongen("use", "starter", "--encoder", "resnet18")
    encoder = load_params(workspace / "params.yaml").train.encoder
    assert (encoder.name, encoder.weights, encoder.weights_sha256) == ("resnet18", "hub", None)


def test_weights_of_another_encoder_are_refused_at_once(workspace: Path, tmp_path_factory: pytest.TempPathFactory):
    """A file that does not fit, or is not there, is refused by `use`; params.yaml stays, and nothing is imported."""
    before = (workspace / "params.yaml").read_bytes()
    home = tmp_path_factory.mktemp("home")
    asked = ("use", "flickr8k", "--encoder", "resnet34", "--weights")
    told = _fails(*asked, str(_weights_of("resnet18", home)), error=EncoderError)
    assert "does not fit the encoder 'resnet34'" in told
    assert "found none at" in _fails(*asked, str(home / "nope"), error=EncoderError)
    assert (workspace / "params.yaml").read_bytes() == before
    assert not (workspace / "data").exists()


def test_calls_that_cannot_work_say_why(workspace: Path):
    """Unknown names, options that belong elsewhere and a missing file are UsageErrors; params.yaml stays."""
    before = (workspace / "params.yaml").read_bytes()
    for command, last in (("use", "starter"), ("fetch", "weights")):
        assert f"scenes, flickr8k, {last}, or the path" in _fails(command, "flickr9k", error=UsageError)
    assert "--from goes with" in _fails("fetch", "scenes", "--from", "x", error=UsageError)
    assert "--seed goes with" in _fails("fetch", "flickr8k", "--seed", "1", error=UsageError)
    assert "timm model" in _fails("use", "scenes", "--encoder", "no such", error=UsageError)
    assert "Expected a file" in _fails("fetch", "weights", error=UsageError)
    assert "--name" in _fails("use", str(_own_folder(workspace / "elsewhere" / "scenes")), error=UsageError)
    assert (workspace / "params.yaml").read_bytes() == before


def test_a_misspelt_data_set_is_guessed(workspace: Path):
    """`use` and `fetch` suggest the name that was probably meant."""
    told = _fails("use", "flikr8k", error=UsageError)
    assert "Did you mean 'flickr8k'?" in told
    assert "Did you mean 'scenes'?" in _fails("fetch", "scene", error=UsageError)


def test_outside_a_dvc_project_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Without `.dvc` the command fails with the remedy, and not with DVC's own exception."""
    monkeypatch.chdir(tmp_path)
    assert "dvc init" in _fails("fetch", "scenes", "--num-images", "16", error=ServiceError)


def test_a_broken_pointer_is_a_service_error(workspace: Path):
    """A .dvc file that is no YAML is told in one line."""
    (workspace / "x.txt").write_text("x")
    (workspace / "x.txt.dvc").write_text("outs: [")
    with pytest.raises(ServiceError, match="DVC failed"):
        DvcData(workspace).is_up_to_date(workspace / "x.txt")
