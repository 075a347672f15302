"""Pretrained tokenizers, cut to what captions use, and the files they come from."""

import shutil
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tokenizers import Tokenizer, models, pre_tokenizers

from captiongen.errors import PretrainedError
from captiongen.text.normalise import normalise_caption
from captiongen.text.pretrained import (
    MODEL_FILES,
    cut_tokenizer,
    folder_sha256,
    open_tokenizer,
    pretrained_files,
    pretrained_ids,
)
from captiongen.text.tokenizer import SPECIAL_TOKENS, CaptionTokenizer
from tests.tiny import LANGUAGE_MODELS, tiny_all_captions

_WORDS = ("a", "red", "box", "dog's", "t-shirt", "yellow", "dark", "rock-n-roll", "x")
_CAPTIONS = [*tiny_all_captions(), " ".join(_WORDS)]
NAMES = ["gpt2", "bert", "roberta"]


@pytest.fixture(scope="module", params=NAMES)
def pretrained(request: pytest.FixtureRequest) -> Tokenizer:
    return open_tokenizer(LANGUAGE_MODELS / request.param / "tokenizer.json")


@pytest.fixture(scope="module")
def cut(pretrained: Tokenizer) -> CaptionTokenizer:
    return cut_tokenizer(_CAPTIONS, pretrained)


@given(words=st.lists(st.sampled_from(_WORDS), max_size=12))
def test_known_captions_come_back(cut: CaptionTokenizer, words: list[str]):
    """Words of training captions, hyphens and apostrophes in them too, are joined as they were written."""
    caption = " ".join(words).upper() + " ."
    ids = cut.encode(caption)
    assert cut.decode(ids) == normalise_caption(caption)
    assert [position for _, positions in cut.words(ids) for position in positions] == list(range(1, len(ids) - 1))


@given(text=st.text(max_size=60))
def test_any_text_encodes_between_beginning_and_end(cut: CaptionTokenizer, text: str):
    """No text can smuggle in a special token, neither ours nor the model's."""
    ids = cut.encode(text + " [SEP] </s> <|endoftext|> <eos>")
    assert (ids[0], ids[-1]) == (cut.bos_id, cut.eos_id)
    assert not {cut.pad_id, cut.bos_id, cut.eos_id} & set(ids[1:-1])
    assert all(0 <= token_id < cut.vocabulary_size for token_id in ids)


@given(data=st.data())
def test_any_ids_decode(cut: CaptionTokenizer, data: st.DataObject):
    """Whatever a model emits becomes words; padding, beginning and end never show."""
    ids = data.draw(st.lists(st.integers(0, cut.vocabulary_size - 1), max_size=20))
    caption = cut.decode(ids)
    assert not any(mark in caption for mark in ("<pad>", "<bos>", "<eos>"))
    assert caption == " ".join(word for word, _ in cut.words(ids))


def test_captions_are_split_as_the_model_knows_it(pretrained: Tokenizer, cut: CaptionTokenizer):
    """The pieces of a training caption are those of the whole tokenizer, and their ids lead to the same pieces."""
    whole = Tokenizer.from_str(pretrained.to_str())
    whole.no_truncation()
    ids = pretrained_ids(cut, pretrained)
    for caption in _CAPTIONS:
        text = normalise_caption(caption)
        spaced = text if isinstance(whole.model, models.WordPiece) else f" {text}"
        expected = whole.encode(spaced, add_special_tokens=False).ids
        assert [ids[token_id] for token_id in cut.encode(caption)[1:-1]] == expected


def test_what_captions_do_not_use_is_cut(pretrained: Tokenizer, cut: CaptionTokenizer):
    """Pieces of other words are gone; our special tokens come first, and stand for the model's."""
    assert cut.pieces[:4] == list(SPECIAL_TOKENS)
    assert cut.vocabulary_size < pretrained.get_vocab_size()
    names = [pretrained.id_to_token(token_id) for token_id in pretrained_ids(cut, pretrained)[:4]]
    assert names in (
        ["[PAD]", "[CLS]", "[SEP]", "[UNK]"],
        ["<pad>", "<s>", "</s>", "<unk>"],
        ["<|endoftext|>"] * 4,
    )


def test_words_of_no_training_caption_are_unknown_or_spelt():
    """WordPiece has no piece for a letter that it never saw; bytes spell every word."""
    of_pieces, of_bytes = (
        cut_tokenizer(_CAPTIONS, open_tokenizer(LANGUAGE_MODELS / name / "tokenizer.json")) for name in ("bert", "gpt2")
    )
    assert of_pieces.decode(of_pieces.encode("a żółw")) == "a <unk>"
    assert of_bytes.decode(of_bytes.encode("a żółw")) == "a żółw"


@pytest.mark.parametrize("name", NAMES)
def test_saved_tokenizers_are_the_same(tmp_path: Path, name: str):
    """Cutting is deterministic, and saving and loading changes neither ids nor words."""
    cut, again = (
        cut_tokenizer(captions, open_tokenizer(LANGUAGE_MODELS / name / "tokenizer.json"))
        for captions in (_CAPTIONS, reversed(_CAPTIONS))
    )
    assert cut.to_json() == again.to_json()
    cut.save(tmp_path / "tokenizer.json")
    loaded = CaptionTokenizer.load(tmp_path / "tokenizer.json")
    ids = loaded.encode("A dog's t-shirt , unseen .")
    assert ids == cut.encode("A dog's t-shirt , unseen .")
    assert loaded.words(ids) == cut.words(ids)


def test_pieces_of_another_tokenizer_are_refused():
    """A decoder cannot begin with the embeddings of pieces that its model never had."""
    cut = cut_tokenizer(_CAPTIONS, open_tokenizer(LANGUAGE_MODELS / "bert" / "tokenizer.json"))
    with pytest.raises(PretrainedError, match=r"does not know.*preprocess\.tokenizer"):
        pretrained_ids(cut, open_tokenizer(LANGUAGE_MODELS / "gpt2" / "tokenizer.json"))


def test_tokenizers_of_other_families_are_refused():
    """Neither special tokens of no known family nor another kind of splitting is guessed at."""
    with pytest.raises(PretrainedError, match="special tokens of a known family"):
        cut_tokenizer(_CAPTIONS, Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    known = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "a": 4}
    words = Tokenizer(models.WordLevel(known, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(PretrainedError, match=r"Expected a WordPiece .* found WordLevel"):
        cut_tokenizer(_CAPTIONS, words)


def test_a_folder_is_known_by_its_files(tmp_path: Path):
    """Other bytes are another hash, and the error tells it; files that are not read do not count."""
    folder = tmp_path / "model"
    shutil.copytree(LANGUAGE_MODELS / "bert", folder)
    sha256 = folder_sha256(LANGUAGE_MODELS / "bert")
    assert pretrained_files(str(folder), sha256, key="k") == {name: folder / name for name in MODEL_FILES}
    (folder / "expected.safetensors").unlink()
    assert folder_sha256(folder) == sha256
    (folder / "config.json").write_text("{}")
    with pytest.raises(PretrainedError, match=f"k: expected files with sha256 {sha256}.*{folder_sha256(folder)}"):
        pretrained_files(str(folder), sha256, key="k")
    (folder / "tokenizer.json").unlink()
    for known in (sha256, None):
        with pytest.raises(PretrainedError, match=r"no tokenizer\.json in .*model"):
            pretrained_files(str(folder), known, key="k")


def test_a_hub_out_of_reach_is_told():
    """Offline, a name that is not in the hub's cache says which file is missing and what to do."""
    with pytest.raises(PretrainedError, match=r"k: could not get config\.json of 'someone/gpt'.*--decoder FOLDER"):
        pretrained_files("someone/gpt", None, key="k")


def test_a_model_in_the_hub_s_cache_is_found_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What was downloaded once is read without a network, by the model's name."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository, commit = tmp_path / "models--someone--gpt", "0" * 40
    shutil.copytree(LANGUAGE_MODELS / "gpt2", repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    files = pretrained_files("someone/gpt", None, key="k")
    assert {name: path.read_bytes() for name, path in files.items()} == {
        name: (LANGUAGE_MODELS / "gpt2" / name).read_bytes() for name in MODEL_FILES
    }


def test_a_damaged_tokenizer_is_named(tmp_path: Path):
    """A file that is no tokenizer is an error that names it."""
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(PretrainedError, match=r"tokenizer\.json is no tokenizer"):
        open_tokenizer(tmp_path / "tokenizer.json")
