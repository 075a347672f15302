"""METEOR 1.5, when Java and the optional package pycocoevalcap are there: its jar, called as coco-caption calls it.

METEOR moves by 10 points between versions and flags, so only this jar with ``-l en -norm`` compares with papers, and
there is no stand-in: without Java or the jar, asking for METEOR is an error.
"""

import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

import numpy as np
import numpy.typing as npt

from captiongen.errors import ServiceError
from captiongen.metrics.ngrams import Tokens

# Columns of the 23 statistics that the jar prints of an image: lengths of hypothesis and reference, and, at the end,
# chunks and matched words.
_HYPOTHESIS_LENGTH, _REFERENCE_LENGTH, _CHUNKS, _HYPOTHESIS_MATCHES, _REFERENCE_MATCHES = 0, 1, 20, 21, 22
_FLAGS = ("-", "-", "-stdio", "-l", "en", "-norm")


def meteor_jar() -> Path | None:
    """Returns the path of meteor-1.5.jar, or None when Java or pycocoevalcap is not installed."""
    package = importlib.util.find_spec("pycocoevalcap")
    if shutil.which("java") is None or package is None:
        return None
    jars = (Path(folder) / "meteor" / "meteor-1.5.jar" for folder in package.submodule_search_locations or ())
    return next((jar for jar in jars if jar.is_file()), None)


class Meteor:
    """A running METEOR process (a JVM with up to 2 GB); use it as a context manager. Starting takes some seconds.

    Raises:
        ServiceError: Java or the jar is missing, or the process dies.
    """

    def __init__(self) -> None:
        jar = meteor_jar()
        if jar is None:
            raise ServiceError(
                "METEOR needs Java and the package pycocoevalcap, found at most one of them. Install both "
                "(`pip install pycocoevalcap==1.2` and a Java 8 or newer runtime), or score without METEOR."
            )
        # The working folder matters: the jar finds its paraphrase table beside itself.
        self._process = subprocess.Popen(
            ["java", "-Dfile.encoding=UTF-8", "-Xmx2G", "-jar", jar.name, *_FLAGS],
            cwd=jar.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )
        # Both are there because both pipes were asked for.
        self._stdin = cast(IO[str], self._process.stdin)
        self._stdout = cast(IO[str], self._process.stdout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def statistics(self, hypothesis: Tokens, references: Sequence[Tokens]) -> npt.NDArray[np.float64]:
        """Returns what one image adds to corpus METEOR, shape (23,); the sum is exactly the jar's own."""
        self._send(" ||| ".join(["SCORE", *(" ".join(reference) for reference in references), " ".join(hypothesis)]))
        statistics = np.array(self._receive().split(), dtype=np.float64)
        is_perfect = (
            statistics[_CHUNKS] == 1
            and statistics[_HYPOTHESIS_MATCHES] == statistics[_HYPOTHESIS_LENGTH]
            and statistics[_REFERENCE_MATCHES] == statistics[_REFERENCE_LENGTH]
        )
        if is_perfect:
            # The jar counts no chunk for a perfect match when it adds images up.
            statistics[_CHUNKS] = 0
        return statistics

    def scores(self, statistics: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Returns METEOR (0..100) of summed statistics, shape (sets, 23) -> (sets, 1)."""
        values = np.empty((len(statistics), 1))
        for index, row in enumerate(statistics):
            self._send("EVAL ||| " + " ".join(repr(float(number)) for number in row))
            values[index] = 100.0 * float(self._receive())
            self._receive()  # the same value again, as the average over one segment
        return values

    def _send(self, line: str) -> None:
        try:
            self._stdin.write(line + "\n")
            self._stdin.flush()
        except BrokenPipeError as error:
            raise ServiceError(_DIED) from error

    def _receive(self) -> str:
        line = self._stdout.readline()
        if not line:
            raise ServiceError(_DIED)
        return line


_DIED = "METEOR's Java process ended early. It needs up to 2 GB of memory; score without METEOR where that is short."
