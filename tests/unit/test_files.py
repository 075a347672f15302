"""Files and folders are written whole or not at all."""

import hashlib

import pytest

from captiongen.files import atomic_folder, sha256_of_file, write_atomically


def test_a_written_file_holds_all_of_its_content(tmp_path):
    """Text is stored as UTF-8, folders are made, nothing else is left beside it."""
    path = tmp_path / "new" / "file.txt"
    write_atomically(path, "größer")
    write_atomically(path, "größer als zuvor")
    assert path.read_text(encoding="utf-8") == "größer als zuvor"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]
    assert sha256_of_file(path) == hashlib.sha256("größer als zuvor".encode()).hexdigest()


def test_a_failing_block_leaves_the_old_folder(tmp_path):
    """Whatever fails inside, the folder that stood there stands, and no part is left."""
    target = tmp_path / "model"
    with atomic_folder(target) as part:
        (part / "weights").write_text("old")
    with pytest.raises(OSError, match="disk full"), atomic_folder(target) as part:
        (part / "weights").write_text("half of the n")
        raise OSError("disk full")
    assert (target / "weights").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_a_new_folder_replaces_the_old_one_whole(tmp_path):
    """Files of the old folder do not survive in the new one."""
    target = tmp_path / "model"
    for name in ("one", "two"):
        with atomic_folder(target) as part:
            (part / name).write_text(name)
    assert [entry.name for entry in target.iterdir()] == ["two"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    """Parts of a folder that never came to be go when it is written next."""
    stale = tmp_path / ".model.abc.part"
    stale.mkdir()
    (stale / "weights").write_text("half")
    with atomic_folder(tmp_path / "model") as part:
        (part / "weights").write_text("whole")
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
