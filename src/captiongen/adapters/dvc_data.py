"""Raw data under DVC: what lies in a folder or file is recorded in the `.dvc` file beside it, which git keeps."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from captiongen.errors import ServiceError

if TYPE_CHECKING:
    from dvc.repo import Repo


class DvcData:
    """The DVC-tracked data of one project folder."""

    def __init__(self, project: Path) -> None:
        self._project = project.resolve()

    def pointer(self, path: Path) -> Path:
        """Returns where the `.dvc` file of a tracked folder or file lies, whether it is there or not."""
        return path.with_name(f"{path.name}.dvc")

    def is_up_to_date(self, path: Path) -> bool:
        """Tells whether `path` is tracked, its content is what the `.dvc` file says, and DVC's cache has it too.

        Raises:
            ServiceError: DVC cannot read the project or the `.dvc` file.
        """
        if not self.pointer(path).is_file() or not path.exists():
            return False
        with self._open() as repo:
            return not repo.status(targets=[str(self.pointer(path).resolve())])

    def track(self, path: Path) -> bool:
        """Records the content of `path` and puts it into DVC's cache (`dvc add`).

        Returns:
            Whether the `.dvc` file changed: then git has something to commit.

        Raises:
            ServiceError: the folder is no DVC project, or another DVC process holds it.
        """
        pointer = self.pointer(path)
        before = pointer.read_bytes() if pointer.is_file() else b""
        with self._open() as repo:
            repo.scm_context.quiet = True  # else it tells how to `git add`, which the caller knows better
            repo.add(str(path.resolve()))
        return pointer.read_bytes() != before

    @contextmanager
    def _open(self) -> Iterator["Repo"]:
        from dvc.exceptions import DvcException, NotDvcRepoError
        from dvc.repo import Repo

        try:
            with Repo(str(self._project)) as repo:
                yield repo
        except NotDvcRepoError as error:
            raise ServiceError(f"{self._project} is no DVC project. Run `dvc init` there.") from error
        except DvcException as error:
            raise ServiceError(f"DVC failed: {error}") from error
