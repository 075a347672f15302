"""The digest of the code that a Bento carries."""

from pathlib import Path

import pytest

from captiongen.adapters.code_digest import bento_code_digest
from captiongen.errors import ServiceError

BENTOFILE = "include:\n  - /src/pack/\n  - /requirements.txt\nexclude:\n  - '*.pyc'\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in {
        "bentofile.yaml": BENTOFILE,
        "requirements.txt": "a==1\n",
        "src/pack/a.py": "A = 1\n",
        "src/pack/page.css": "p {}\n",
        "README.md": "words\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["bentofile.yaml", "requirements.txt", "src/pack/a.py", "src/pack/page.css"])
def test_what_the_bento_carries_changes_the_digest(folder: Path, name: str):
    """Code, style sheets, pins and the bentofile itself count."""
    before = bento_code_digest(folder)
    path = folder / name
    path.write_text(path.read_text() + "# more\n")
    assert bento_code_digest(folder) != before


def test_a_renamed_file_changes_the_digest(folder: Path):
    """The same bytes under another name are other code."""
    before = bento_code_digest(folder)
    (folder / "src/pack/a.py").rename(folder / "src/pack/b.py")
    assert bento_code_digest(folder) != before


def test_what_stays_outside_does_not_change_the_digest(folder: Path):
    """Documents, compiled files and what lies in other folders do not count; the same tree gives the same digest."""
    before = bento_code_digest(folder)
    (folder / "README.md").write_text("other words\n")
    (folder / "src/pack/__pycache__").mkdir()
    (folder / "src/pack/__pycache__/a.cpython-311.pyc").write_bytes(b"compiled")
    (folder / "src/pack/stray.pyc").write_bytes(b"compiled")
    assert bento_code_digest(folder) == before


def test_without_a_bentofile_it_says_so(tmp_path: Path):
    """A folder that is no project is an error in words."""
    with pytest.raises(ServiceError, match=r"bentofile\.yaml"):
        bento_code_digest(tmp_path)


@pytest.mark.parametrize("pattern", ["*.py", "src/pack", "/src/**"])
def test_a_pattern_that_the_digest_cannot_follow_is_refused(folder: Path, pattern: str):
    """A wildcard would ship files that the digest does not see."""
    (folder / "bentofile.yaml").write_text(f"include:\n  - '{pattern}'\n")
    with pytest.raises(ServiceError, match="include"):
        bento_code_digest(folder)


def test_a_listed_file_that_is_missing_is_named(folder: Path):
    """A Bento without its pins is not built in silence."""
    (folder / "requirements.txt").unlink()
    with pytest.raises(ServiceError, match=r"requirements\.txt"):
        bento_code_digest(folder)
