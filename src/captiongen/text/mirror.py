"""What a caption says of the mirrored picture."""

import re

_SWAPS = {
    "left": "right",
    "leftmost": "rightmost",
    "leftward": "rightward",
    "leftwards": "rightwards",
    "lefthand": "righthand",
}
_SWAPS |= {right: left for left, right in _SWAPS.items()}
_SIDE = re.compile(rf"\b({'|'.join(_SWAPS)})\b")
# "the dog left the house" and "right behind him" are not about sides; swapping them would teach nonsense.
_NOT_A_SIDE = re.compile(r"\bright (behind|beside|next|above|below|after|before|under|over|in|up|now|through|at|by)\b")
_NOT_LEAVING = re.compile(r"\bleft (the|a|an|his|her|their|its|behind)\b")


def mirror_caption(caption: str) -> str:
    """Swaps left and right in a normalised caption, as the mirrored picture asks for.

    `right behind`, `left the house` and the like are kept: they name no side.
    """
    kept = {match.start() for pattern in (_NOT_A_SIDE, _NOT_LEAVING) for match in pattern.finditer(caption)}
    return _SIDE.sub(lambda side: side[0] if side.start() in kept else _SWAPS[side[0]], caption)
