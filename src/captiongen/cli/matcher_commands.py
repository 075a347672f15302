"""The matcher of pictures and captions: made once, used by `judge`."""

from pathlib import Path
from typing import Annotated

import typer

import captiongen
from captiongen.cli.layout import Layout
from captiongen.cli.model_uri import STARTER, model_folder
from captiongen.errors import UsageError
from captiongen.params import MatcherParams
from captiongen.types import Split

app = typer.Typer(rich_markup_mode="markdown")


@app.command(
    "make-matcher",
    rich_help_panel="Models and captions",
    epilog="Example: `captiongen make-matcher --model models:/captiongen@champion`",
)
def make_matcher(
    model: Annotated[
        str,
        typer.Option(
            help="The captioner through whose encoder it looks: a registry URI, bento:TAG, `starter`, or a folder."
        ),
    ] = STARTER,
    out: Annotated[
        Path | None, typer.Option(help="Where it goes; models/matcher by default, where `judge` looks.")
    ] = None,
) -> None:
    """Teaches a matcher which captions tell of which pictures: a second pair of eyes for `judge`.

    It learns from the train split of the data in use, a minute on one core once the features are there, and belongs to
    this captioner's encoder.
    """
    import torch

    from captiongen.data.shards import open_processed
    from captiongen.model.checkpoint import load_captioner
    from captiongen.model.matcher import save_matcher
    from captiongen.training.inputs import load_features, pool
    from captiongen.training.matching import recall, train_matcher

    layout = Layout()
    folder = out or layout.matcher
    loaded = load_captioner(model_folder(model, project=layout.root, model_name=""))
    encoder, data = loaded.captioner.encoder, open_processed(layout.processed)
    if data.preprocessing != loaded.manifest.preprocessing:
        raise UsageError(
            f"The captioner wants {loaded.manifest.preprocessing}, {data.folder} holds {data.preprocessing}. Switch to "
            "data prepared for it with `captiongen use` and `dvc repro preprocess`."
        )
    cpu = torch.device("cpu")
    splits: tuple[Split, ...] = ("train", "dev")
    cache = layout.state / "cache"
    maps = {split: load_features(data, split, encoder, cache, device=cpu) for split in splits}
    pooled = {split: torch.from_numpy(pool(of_split)) for split, of_split in maps.items()}
    captions = {split: list(data.references(split).values()) for split in splits}
    matcher = train_matcher(MatcherParams(), pooled["train"], captions["train"], loaded.tokenizer)
    facts = {
        "encoder_sha256": encoder.sha256(),
        "dataset": data.dataset,
        "data_hash": data.data_hash,
        "dev_recall": recall(matcher, pooled["dev"], captions["dev"]),
        "code_version": captiongen.__version__,
    }
    manifest = save_matcher(folder, matcher, facts)
    num_images = len(captions["dev"])
    typer.echo(
        f"{folder}: {manifest.dev_recall:.0%} of dev captions have their image among the 10 nearest of {num_images}"
    )
