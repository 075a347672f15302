"""Ending a process group in which processes come and go."""

import psutil
import pytest

from captiongen.adapters import process_group


class Member:
    """A process as psutil shows it, which may be gone by the time that it is told to end."""

    def __init__(self, *, is_gone: bool) -> None:
        self.is_gone = is_gone
        self.told: list[str] = []

    def terminate(self) -> None:
        self._tell("terminate")

    def kill(self) -> None:
        self._tell("kill")

    def _tell(self, what: str) -> None:
        if self.is_gone:
            raise psutil.NoSuchProcess(pid=1)
        self.told.append(what)


def test_one_that_has_gone_does_not_save_the_others(monkeypatch: pytest.MonkeyPatch):
    """A process that ends by itself between being listed and being told leaves the rest to be ended all the same."""
    members = [Member(is_gone=True), Member(is_gone=False)]
    monkeypatch.setattr(process_group, "_others_in_group", lambda: members)
    monkeypatch.setattr(psutil, "wait_procs", lambda processes, timeout: ([], processes))
    monkeypatch.setattr(process_group.signal, "signal", lambda *_: None)
    process_group._end_others()
    assert members[1].told == ["terminate", "kill"]
