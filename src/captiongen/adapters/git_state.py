"""What git knows of the code: which commit, and whether the tree still is that commit."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from captiongen.errors import ServiceError

#: What a pipeline run itself writes: its change alone does not make a tree dirty.
_WRITTEN_BY_RUNS = frozenset({"dvc.lock"})
#: Untracked files count only where they can change what a model becomes: a new module, a pointer to new data.
_UNTRACKED_THAT_COUNT = (":(glob)src/**", ":(glob)flows/**", ":(glob)**/*.dvc", "params.yaml", "dvc.yaml")


@dataclass(frozen=True, slots=True)
class GitState:
    """The commit that is checked out, and what differs from it.

    Attributes:
        sha: 40 hex digits, "" outside git or before the first commit.
        changed: paths, relative to the project, of code, params or data pointers that differ from the commit.
    """

    sha: str
    changed: tuple[str, ...]

    @property
    def is_dirty(self) -> bool:
        """True when the commit does not say what ran: something differs from it, or there is no commit."""
        return bool(self.changed) or not self.sha


def read_git_state(project: Path) -> GitState:
    """Reads the commit and the changes of the project folder, which may be part of a larger repository.

    Raises:
        ServiceError: git is not installed, or refuses to read the repository.
    """
    if _git(project, "rev-parse", "--is-inside-work-tree", allow_failure=True) != "true\n":
        return GitState(sha="", changed=())
    sha = _git(project, "rev-parse", "--verify", "--quiet", "HEAD", allow_failure=True).strip()
    prefix = _git(project, "rev-parse", "--show-prefix").strip()
    # -z: names as they are, unquoted; renames off: one name an entry
    tracked = _git(project, "status", "--porcelain=v1", "-z", "--no-renames", "--untracked-files=no", "--", ".")
    untracked = _git(project, "ls-files", "-z", "--others", "--exclude-standard", "--", *_UNTRACKED_THAT_COUNT)
    changed = [entry[3:].removeprefix(prefix) for entry in tracked.split("\0") if entry]
    changed += [name for name in untracked.split("\0") if name]
    return GitState(sha=sha, changed=tuple(sorted(set(changed) - _WRITTEN_BY_RUNS)))


def has_commit(project: Path, sha: str) -> bool:
    """Whether the repository holds this commit."""
    return _git(project, "cat-file", "-t", sha, allow_failure=True).strip() == "commit"


def _git(project: Path, *arguments: str, allow_failure: bool = False) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ServiceError("git is needed to say which code made a model; install it (apt install git).") from None
    if done.returncode == 0:
        return done.stdout
    if "dubious ownership" in done.stderr or not allow_failure:
        raise ServiceError(f"git {arguments[0]} failed in {project.resolve()}: {done.stderr.strip()}")
    return ""
