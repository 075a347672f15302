"""Pretrained language models as files, and their tokenizers cut to the pieces that a data set's captions use.

A model is a folder as `save_pretrained` of Hugging Face transformers writes it, or a name on its hub. Three files of it
are read, none of which is code: config.json, tokenizer.json and model.safetensors.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers, processors

from captiongen.errors import PretrainedError
from captiongen.files import sha256_of_file
from captiongen.text.normalise import normalise_caption
from captiongen.text.tokenizer import SPECIAL_TOKENS, CaptionTokenizer

MODEL_FILES = ("config.json", "model.safetensors", "tokenizer.json")
#: What models call padding, beginning, end and unknown word, in the order of `SPECIAL_TOKENS`.
_SPECIAL_TOKENS_OF = (
    ("[PAD]", "[CLS]", "[SEP]", "[UNK]"),  # BERT
    ("<pad>", "<s>", "</s>", "<unk>"),  # RoBERTa
    ("<|endoftext|>",) * 4,  # GPT-2
)


def pretrained_files(source: str, sha256: str | None, *, key: str) -> dict[str, Path]:
    """Finds the files of a pretrained model.

    Args:
        source: a folder, or, without `sha256`, a name on the hub.
        sha256: of the folder, as `folder_sha256` counts it.
        key: of params.yaml that names the model, for messages.

    Returns:
        `MODEL_FILES` -> where each of them lies.

    Raises:
        PretrainedError: there is no such model, it lacks a file, or its files are other ones.
    """
    folder = Path(source)
    if sha256 is None and not folder.is_dir():
        return {name: _from_hub(source, name, key=key) for name in MODEL_FILES}
    found = folder_sha256(folder)
    if found != sha256:
        raise PretrainedError(
            f"{key}: expected files with sha256 {sha256} in {source}, found {found}. Restore the folder, or write the "
            "new hash into params.yaml."
        )
    return {name: folder / name for name in MODEL_FILES}


def folder_sha256(folder: Path) -> str:
    """Returns one hash over names and bytes of the files that are read of a pretrained model.

    Raises:
        PretrainedError: one of them is missing.
    """
    hashes = []
    for name in MODEL_FILES:
        if not (folder / name).is_file():
            raise PretrainedError(
                f"Expected a folder with {', '.join(MODEL_FILES)}, as `save_pretrained` of transformers writes it for "
                f"a model and its fast tokenizer, found no {name} in {folder}. Weights in a pickle are not read."
            )
        hashes.append(f"{name} {sha256_of_file(folder / name)}\n")
    return hashlib.sha256("".join(hashes).encode()).hexdigest()


def _from_hub(model: str, name: str, *, key: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(model, name))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        cause = str(error).strip().splitlines()
        raise PretrainedError(
            f"{key}: could not get {name} of {model!r} from the Hugging Face hub: "
            f"{cause[0].rstrip('.') if cause else type(error).__name__}. Check the name. Offline, give a folder that "
            f"holds {', '.join(MODEL_FILES)}: `captiongen use DATA --decoder FOLDER`."
        ) from error


def open_tokenizer(path: Path) -> Tokenizer:
    """Reads the tokenizer.json of a pretrained model.

    Raises:
        PretrainedError: it is damaged, or of a newer format.
    """
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception for every kind of damage
        raise PretrainedError(f"{path} is no tokenizer that this version reads: {error}") from error


def cut_tokenizer(captions: Iterable[str], pretrained: Tokenizer) -> CaptionTokenizer:
    """Makes a caption tokenizer of a pretrained one: the same pieces, but only those that the captions use.

    Captions need few of the thirty to fifty thousand pieces that such a tokenizer has. What is left splits them exactly
    as before; a word in none of them is split into the pieces that are left, or is unknown. Ids are given anew, after
    the four special ones.

    Args:
        captions: the training captions, in any spelling.
        pretrained: WordPiece (BERT), or BPE over bytes (GPT-2, RoBERTa).

    Raises:
        PretrainedError: it is of another kind.
    """
    special = _special_tokens(pretrained)
    pretrained = Tokenizer.from_str(pretrained.to_str())  # changed below
    pretrained.no_truncation()
    pretrained.no_padding()
    spec: dict[str, Any] = json.loads(pretrained.to_str())["model"]
    is_of_bytes = spec["type"] == "BPE" and isinstance(pretrained.pre_tokenizer, pre_tokenizers.ByteLevel)
    if is_of_bytes:  # a caption's first word is the word it is elsewhere
        pretrained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    used = {
        piece
        for caption in captions
        for piece in pretrained.encode(normalise_caption(caption), add_special_tokens=False).tokens
    }
    if is_of_bytes:
        merges = _merges_into(used, spec["merges"])
        used |= {part for merge in merges for part in merge} | set(pre_tokenizers.ByteLevel.alphabet())
        model: models.Model = models.BPE(_numbered(used - set(special), spec["vocab"]), merges)
    elif spec["type"] == "WordPiece" and spec["continuing_subword_prefix"] == "##":
        vocabulary = _numbered(used - set(special), spec["vocab"])
        model = models.WordPiece(vocabulary, unk_token=SPECIAL_TOKENS[3], max_input_chars_per_word=100)
    else:
        raise PretrainedError(
            f"Expected a WordPiece tokenizer (BERT) or BPE over bytes (GPT-2, RoBERTa), found {spec['type']} behind "
            f"{pretrained.pre_tokenizer}. Choose a model of these families."
        )
    cut = Tokenizer(model)
    cut.normalizer, cut.pre_tokenizer = pretrained.normalizer, pretrained.pre_tokenizer
    cut.add_special_tokens(list(SPECIAL_TOKENS))
    bos, eos = SPECIAL_TOKENS[1:3]
    cut.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(bos, CaptionTokenizer.bos_id), (eos, CaptionTokenizer.eos_id)]
    )
    return CaptionTokenizer(cut)


def pretrained_ids(tokenizer: CaptionTokenizer, pretrained: Tokenizer) -> list[int]:
    """Returns for each id of a caption tokenizer the id that the same piece has in the pretrained one.

    Raises:
        PretrainedError: it has other pieces.
    """
    pieces = [*_special_tokens(pretrained), *tokenizer.pieces[len(SPECIAL_TOKENS) :]]
    vocabulary = pretrained.get_vocab()
    if strangers := [piece for piece in pieces if piece not in vocabulary]:
        raise PretrainedError(
            f"The data are tokenized into pieces that train.decoder.weights does not know: {strangers[:3]} and "
            f"{max(0, len(strangers) - 3)} more. Set preprocess.tokenizer to kind: pretrained and the same model, and "
            "run `dvc repro`."
        )
    return [vocabulary[piece] for piece in pieces]


def _special_tokens(pretrained: Tokenizer) -> tuple[str, ...]:
    for names in _SPECIAL_TOKENS_OF:
        if all(pretrained.token_to_id(name) is not None for name in names):
            return names
    expected = "; ".join(", ".join(dict.fromkeys(names)) for names in _SPECIAL_TOKENS_OF)
    raise PretrainedError(f"Expected a tokenizer with the special tokens of a known family ({expected}), found none.")


def _merges_into(pieces: set[str], merges: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The merges that build these pieces, those of their parts included, in their order."""
    needed, kept = set(pieces), []
    for left, right in reversed(list(merges)):  # parts are merged before what they are parts of
        if left + right in needed:
            needed |= {left, right}
            kept.append((left, right))
    return kept[::-1]


def _numbered(pieces: set[str], vocabulary: Mapping[str, int]) -> dict[str, int]:
    """The special tokens, then `pieces` in the order of the pretrained vocabulary."""
    ordered = [*SPECIAL_TOKENS, *sorted(pieces, key=lambda piece: vocabulary[piece])]
    return {piece: number for number, piece in enumerate(ordered)}
