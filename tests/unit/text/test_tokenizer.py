"""Captions to ids and back."""

import subprocess
import sys
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given
from tokenizers import Tokenizer, models

from captiongen.errors import ModelError
from captiongen.params import TokenizerParams
from captiongen.text.normalise import normalise_caption
from captiongen.text.tokenizer import CaptionTokenizer

_WORDS = ("a", "dog", "dog's", "t-shirt", "running", "runs", "two", "children", "über", "grass")
_CAPTIONS = [" ".join(_WORDS[i:] + _WORDS[:i]) for i in range(len(_WORDS))]
_WORD = TokenizerParams(kind="word", min_count=1)
_BPE = TokenizerParams(kind="bpe", vocabulary_size=60)


@pytest.fixture(scope="module", params=[_WORD, _BPE], ids=["word", "bpe"])
def tokenizer(request: pytest.FixtureRequest) -> CaptionTokenizer:
    return CaptionTokenizer.train(_CAPTIONS, request.param)


@given(words=st.lists(st.sampled_from(_WORDS), max_size=12))
def test_known_captions_come_back(tokenizer: CaptionTokenizer, words: list[str]):
    """Decoding what was encoded gives the normalised caption."""
    caption = " ".join(words).upper() + " ."
    assert tokenizer.decode(tokenizer.encode(caption)) == normalise_caption(caption)


@given(words=st.lists(st.sampled_from(_WORDS), max_size=12))
def test_words_account_for_every_piece(tokenizer: CaptionTokenizer, words: list[str]):
    """Words are in order and their positions are all of the ids but beginning and end."""
    ids = tokenizer.encode(" ".join(words))
    found = tokenizer.words(ids)
    assert [word for word, _ in found] == words
    assert [position for _, positions in found for position in positions] == list(range(1, len(ids) - 1))


@given(text=st.text(max_size=60))
def test_any_text_encodes_between_beginning_and_end(tokenizer: CaptionTokenizer, text: str):
    """No text can smuggle in a special token: beginning and end stand once, at the ends."""
    ids = tokenizer.encode(text)
    assert (ids[0], ids[-1]) == (tokenizer.bos_id, tokenizer.eos_id)
    assert not {tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id} & set(ids[1:-1])
    assert all(0 <= token_id < tokenizer.vocabulary_size for token_id in ids)


@given(data=st.data())
def test_any_ids_decode(tokenizer: CaptionTokenizer, data: st.DataObject):
    """Whatever a model emits becomes words; padding, beginning and end never show."""
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocabulary_size - 1), max_size=20))
    caption = tokenizer.decode(ids)
    assert not any(mark in caption for mark in ("<pad>", "<bos>", "<eos>"))
    assert caption == " ".join(word for word, _ in tokenizer.words(ids))


def test_special_tokens_spelt_out_are_ordinary_words(tokenizer: CaptionTokenizer):
    """A caption that says <eos> does not end there."""
    assert tokenizer.encode("a <eos> dog").count(tokenizer.eos_id) == 1


def test_rare_words_are_unknown():
    """Words below the minimum count are no part of the vocabulary and come back as <unk>."""
    tokenizer = CaptionTokenizer.train(["a dog", "a cat"], TokenizerParams(min_count=2))
    assert tokenizer.vocabulary_size == 5
    assert tokenizer.encode("a dog") == [tokenizer.bos_id, 4, tokenizer.unk_id, tokenizer.eos_id]
    assert tokenizer.decode(tokenizer.encode("a dog")) == "a <unk>"


def test_bpe_writes_words_it_never_saw():
    """Pieces join to new words of known letters, and their positions stay together."""
    tokenizer = CaptionTokenizer.train(_CAPTIONS, _BPE)
    ids = tokenizer.encode("a doggirl")
    (_, first), (word, pieces) = tokenizer.words(ids)
    assert word == "doggirl"
    assert [*first, *pieces] == list(range(1, len(ids) - 1))
    assert len(pieces) > 1


def test_vocabulary_order_depends_on_counts_and_spelling_only(tokenizer: CaptionTokenizer, request):
    """Captions in another order give the same bytes."""
    params = request.node.callspec.params["tokenizer"]
    assert CaptionTokenizer.train(reversed(_CAPTIONS), params).to_json() == tokenizer.to_json()


@pytest.mark.parametrize("params", [_WORD, _BPE], ids=["word", "bpe"])
def test_training_gives_the_same_bytes_in_another_process(params: TokenizerParams):
    """Nothing of the file depends on hash seeds, so a cached stage and a rerun agree."""
    code = (
        "import sys; from captiongen.params import TokenizerParams; "
        "from captiongen.text.tokenizer import CaptionTokenizer; "
        f"params = TokenizerParams.model_validate({params.model_dump()!r}); "
        f"sys.stdout.buffer.write(CaptionTokenizer.train({_CAPTIONS!r}, params).to_json().encode())"
    )
    written = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout.decode()
    assert written == CaptionTokenizer.train(_CAPTIONS, params).to_json()


def test_saved_tokenizer_is_the_same(tokenizer: CaptionTokenizer, tmp_path: Path):
    """Saving and loading changes neither ids nor bytes."""
    tokenizer.save(tmp_path / "tokenizer.json")
    loaded = CaptionTokenizer.load(tmp_path / "tokenizer.json")
    assert loaded.encode("A dog's über-dog .") == tokenizer.encode("A dog's über-dog .")
    assert loaded.to_json() == tokenizer.to_json()


@pytest.mark.parametrize("content", [None, "", "{}", '{"version": "1.0"}', "not json"])
def test_damaged_files_are_refused(tmp_path: Path, content: str | None):
    """A missing or broken file is a clear error of the project."""
    path = tmp_path / "tokenizer.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ModelError, match=r"tokenizer\.json"):
        CaptionTokenizer.load(path)


def test_foreign_tokenizers_are_refused(tmp_path: Path):
    """A tokenizer without our special tokens at their ids cannot be used."""
    from tokenizers import Tokenizer, models

    Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(ModelError, match="special tokens"):
        CaptionTokenizer.load(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("captions", [[], [" . "], ["each word once"]])
def test_training_on_nothing_is_refused(captions: list[str]):
    """No words that occur often enough means no tokenizer."""
    with pytest.raises(ModelError, match="min_count"):
        CaptionTokenizer.train(captions, TokenizerParams(min_count=2))


@pytest.mark.parametrize(
    ("word", "token_id", "message"), [("\x1b[2J", 5, "control codes"), ("dog", 7, "no token with id 5")]
)
def test_a_forged_vocabulary_is_refused(tmp_path: Path, word: str, token_id: int, message: str):
    """Words that a terminal would obey, and ids with gaps, are refused when a tokenizer is loaded."""
    vocabulary = {"<pad>": 0, "<bos>": 1, "<eos>": 2, "<unk>": 3, "a": 4, word: token_id}
    path = tmp_path / "tokenizer.json"
    Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>")).save(str(path))
    with pytest.raises(ModelError, match=message):
        CaptionTokenizer.load(path)
