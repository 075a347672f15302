"""What the tests of the analysis share."""

import pytest

from captiongen.analysis.errors.fact_reader import FactReader


@pytest.fixture(scope="session")
def reader() -> FactReader:
    """Reads facts with the real tagger and lexicon, which take half a second to load."""
    return FactReader()
