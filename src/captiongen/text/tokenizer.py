"""Captions to token ids and back, on Hugging Face `tokenizers`."""

import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from captiongen.errors import ModelError
from captiongen.params import TokenizerParams
from captiongen.text.normalise import normalise_caption

#: In the order of their ids: padding, beginning, end, unknown word.
SPECIAL_TOKENS = ("<pad>", "<bos>", "<eos>", "<unk>")
_UNKNOWN = SPECIAL_TOKENS[3]
# Marks the first piece of a word. A mark of its own, unlike a suffix on the last letter, keeps BPE training
# deterministic: the alphabet is then single characters, which the trainer sorts.
_WORD_START = "\u2581"
# The same in BPE over bytes, where a space is written so; WordPiece marks the pieces that do not begin a word, and
# takes hyphens and apostrophes apart, which stand inside words only (`captiongen.text.normalise`).
_BYTE_WORD_START = "\u0120"
_CONTINUES, _JOINERS = "##", ("-", "'")


class CaptionTokenizer:
    """Turns captions into ids and ids into words; normalises first, so any spelling of a caption may be given."""

    pad_id = 0
    bos_id = 1
    eos_id = 2
    unk_id = 3

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._is_word_level = isinstance(tokenizer.model, models.WordLevel)
        self._is_wordpiece = isinstance(tokenizer.model, models.WordPiece)
        self._is_of_bytes = isinstance(tokenizer.pre_tokenizer, pre_tokenizers.ByteLevel)

    @classmethod
    def train(cls, captions: Iterable[str], params: TokenizerParams) -> "CaptionTokenizer":
        """Learns a vocabulary; give it training captions only. One learnt before is cut: `captiongen.text.pretrained`.

        Args:
            captions: captions in any spelling.
            params: word level with a minimum count, or BPE with a number of pieces (never fewer than the characters
                that occur).

        Raises:
            ModelError: the captions hold no words that occur often enough.
        """
        specials = list(SPECIAL_TOKENS)
        if params.kind == "word":
            tokenizer = Tokenizer(models.WordLevel(unk_token=_UNKNOWN))
            tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
            trainer: trainers.Trainer = trainers.WordLevelTrainer(
                min_frequency=params.min_count, special_tokens=specials, vocab_size=2**31, show_progress=False
            )
        else:
            tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=_WORD_START, prepend_scheme="always")
            tokenizer.decoder = decoders.Metaspace(replacement=_WORD_START, prepend_scheme="always")
            trainer = trainers.BpeTrainer(
                vocab_size=params.vocabulary_size, special_tokens=specials, show_progress=False
            )
        tokenizer.train_from_iterator((normalise_caption(caption) for caption in captions), trainer)
        if tokenizer.get_vocab_size() <= len(specials):
            raise ModelError(
                "Expected training captions with words that occur often enough, found none. Check the captions, "
                f"or lower preprocess.tokenizer.min_count (now {params.min_count})."
            )
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A <eos>", special_tokens=[("<bos>", cls.bos_id), ("<eos>", cls.eos_id)]
        )
        return cls(tokenizer)

    @classmethod
    def load(cls, path: Path) -> "CaptionTokenizer":
        """Reads what `save` wrote.

        Raises:
            ModelError: the file is missing or damaged, lacks the special tokens at their ids or any other id, or its
                words hold control codes.
        """
        try:
            tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ModelError(f"{path} is missing. Run `dvc repro preprocess`.") from None
        except Exception as error:  # the library raises plain Exception for every kind of damage
            raise ModelError(f"{path} is no tokenizer that this version reads: {error}") from error
        found = tuple(tokenizer.id_to_token(token_id) for token_id in range(len(SPECIAL_TOKENS)))
        if found != SPECIAL_TOKENS:
            raise ModelError(f"{path}: expected the special tokens {SPECIAL_TOKENS} first, found {found}.")
        tokens = [tokenizer.id_to_token(token_id) for token_id in range(tokenizer.get_vocab_size())]
        if None in tokens:
            raise ModelError(f"{path}: expected ids without gaps, found no token with id {tokens.index(None)}.")
        if any(unicodedata.category(character) == "Cc" for token in tokens for character in str(token)):
            raise ModelError(f"{path}: expected words, found control codes, which a terminal would obey.")
        return cls(tokenizer)

    def save(self, path: Path) -> None:
        """Writes one JSON file; the same vocabulary gives the same bytes."""
        path.write_text(self.to_json(), encoding="utf-8")

    def to_json(self) -> str:
        """Returns the text that `save` writes."""
        return str(self._tokenizer.to_str(pretty=True))

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the four special ones included."""
        return int(self._tokenizer.get_vocab_size())

    @property
    def pieces(self) -> list[str]:
        """What each id stands for, as the tokenizer writes it."""
        return [str(self._tokenizer.id_to_token(token_id)) for token_id in range(self.vocabulary_size)]

    def encode(self, caption: str) -> list[int]:
        """Returns the ids of a caption between `bos_id` and `eos_id`; words never learnt become `unk_id`."""
        return list(self._tokenizer.encode(normalise_caption(caption)).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the words joined by spaces; padding, beginning and end are left out, unknown words are `<unk>`."""
        return " ".join(word for word, _ in self.words(ids))

    def words(self, ids: Sequence[int]) -> list[tuple[str, list[int]]]:
        """Groups ids into words.

        Returns:
            (word, positions of its pieces in `ids`) in order; padding, beginning and end are left out.
        """
        words: list[tuple[list[str], list[int]]] = []
        for position, token_id in enumerate(ids):
            if token_id in (self.pad_id, self.bos_id, self.eos_id):
                continue
            piece = self._tokenizer.id_to_token(int(token_id)) or _UNKNOWN
            if not words or self._begins_word(piece, after=words[-1][0][-1]):
                words.append(([], []))
            words[-1][0].append(piece)
            words[-1][1].append(position)
        spelt = [(self._spell(pieces), positions) for pieces, positions in words]
        return [(word, positions) for word, positions in spelt if word]

    def _begins_word(self, piece: str, *, after: str) -> bool:
        if self._is_word_level:
            return True
        if self._is_wordpiece:
            return not piece.startswith(_CONTINUES) and piece not in _JOINERS and after not in _JOINERS
        return piece.startswith(_BYTE_WORD_START if self._is_of_bytes else _WORD_START)

    def _spell(self, pieces: Sequence[str]) -> str:
        if self._is_of_bytes:
            return str(decoders.ByteLevel().decode(list(pieces))).strip()
        mark = _CONTINUES if self._is_wordpiece else _WORD_START
        return "".join(piece.removeprefix(mark) for piece in pieces)
