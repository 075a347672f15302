"""What one look of `captiongen doctor` found."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at.

    Attributes:
        name: what was looked at.
        state: `ok`; `optional` where something works less well without it; `missing` where nothing runs without it.
        found: what is there.
        remedy: what to do, "" when ok.
    """

    name: str
    state: Literal["ok", "optional", "missing"]
    found: str
    remedy: str = ""
