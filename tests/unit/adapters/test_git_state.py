"""What makes a tree dirty."""

from pathlib import Path

import pytest
from repositories import commit, git, git_repository

from captiongen.adapters.git_state import has_commit, read_git_state

FILES = {"params.yaml": "a: 1\n", "dvc.lock": "x: 1\n", "src/code.py": "1\n", ".gitignore": "/out/\n"}


def test_a_committed_tree_is_clean_and_named_by_its_commit(tmp_path: Path):
    """Right after a commit the state is its sha and nothing else."""
    sha = git_repository(tmp_path, FILES)
    state = read_git_state(tmp_path)
    assert (state.sha, state.changed, state.is_dirty) == (sha, (), False)


@pytest.mark.parametrize("path", ["params.yaml", "src/code.py"])
def test_changed_code_or_params_make_a_tree_dirty(tmp_path: Path, path: str):
    """A tracked file that differs from the commit is named, staged or not."""
    git_repository(tmp_path, FILES)
    (tmp_path / path).write_text("changed")
    assert read_git_state(tmp_path).changed == (path,)
    git(tmp_path, "add", path)
    assert read_git_state(tmp_path).changed == (path,)


def test_a_changed_dvc_lock_alone_leaves_the_tree_clean(tmp_path: Path):
    """dvc.lock is what a run writes; beside it, other changes count as ever."""
    git_repository(tmp_path, FILES)
    (tmp_path / "dvc.lock").write_text("changed")
    assert not read_git_state(tmp_path).is_dirty
    (tmp_path / "src/code.py").unlink()
    assert read_git_state(tmp_path).changed == ("src/code.py",)


def test_untracked_files_count_only_where_they_can_change_a_model(tmp_path: Path):
    """A new module and a new data pointer are named; notes and ignored outputs are not."""
    git_repository(tmp_path, FILES)
    for name in ("src/new.py", "data/raw/photos.dvc", "notes.txt", "out/model.bin"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("new")
    assert read_git_state(tmp_path).changed == ("data/raw/photos.dvc", "src/new.py")


def test_a_project_may_be_a_folder_of_a_larger_repository(tmp_path: Path):
    """Paths are relative to the project, and changes elsewhere in the repository do not count."""
    git_repository(tmp_path, {f"project/{name}": text for name, text in FILES.items()} | {"other.txt": "1"})
    (tmp_path / "other.txt").write_text("changed")
    (tmp_path / "project/dvc.lock").write_text("changed")
    assert not read_git_state(tmp_path / "project").is_dirty
    (tmp_path / "project/params.yaml").write_text("changed")
    assert read_git_state(tmp_path / "project").changed == ("params.yaml",)


def test_names_with_spaces_and_accents_come_back_as_they_are(tmp_path: Path):
    """Git's quoting never reaches the caller."""
    git_repository(tmp_path, FILES | {"src/größer als.py": "1"})
    (tmp_path / "src/größer als.py").write_text("2")
    assert read_git_state(tmp_path).changed == ("src/größer als.py",)


def test_no_commit_is_a_dirty_tree(tmp_path: Path):
    """Outside git, and before the first commit, nothing names the code."""
    assert read_git_state(tmp_path).is_dirty
    git(tmp_path, "init", "--quiet")
    state = read_git_state(tmp_path)
    assert (state.sha, state.is_dirty) == ("", True)


def test_a_commit_can_be_asked_for(tmp_path: Path):
    """A commit of the repository is there, an unknown one is not."""
    sha = git_repository(tmp_path, FILES)
    commit(tmp_path)
    assert has_commit(tmp_path, sha)
    assert not has_commit(tmp_path, "0" * 40)
