"""How much of the training's time a run takes, and how many rows that leaves.

Told by the threads that run the model, asked by them and by the training thread at checkpoints.
`thinning` draws the rows.
"""

from __future__ import annotations

import time
from typing import Optional

#: The share of the training's time that a run may take where nobody says another.
SHARE = 0.01
#: What a window keeps of its rows at least, whatever they cost: fewer make no point.
ROWS_MIN = 256
ROWS_A_RANK = 2
#: How much the factor may change from one window to the next.
_SLOWER, _FASTER = 0.25, 2.0


class Pace:
    """The factor on the rows that are wanted.

    Arguments:
        share: what the calls of a run may take of the time between two checkpoints.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._factor = 1.0
        self._spent_s = 0.0
        self._since: Optional[float] = None  # no checkpoint yet

    def add(self, seconds: float) -> None:
        """A call took so long."""
        self._spent_s += seconds

    def turn(self, now: Optional[float] = None) -> None:
        """A window is over at `now`: compare what was spent in it with its time."""
        now = time.perf_counter() if now is None else now
        if self._since is not None and now > self._since:
            allowed_s = self._share * (now - self._since)
            change = allowed_s / self._spent_s if self._spent_s > 0 else _FASTER
            self._factor = min(1.0, self._factor * min(_FASTER, max(_SLOWER, change)))
        self._since, self._spent_s = now, 0.0

    def allows(self, wanted: int, rank: int) -> int:
        """How many of the rows that are wanted may be taken, of outputs with so many directions."""
        least = max(ROWS_MIN, ROWS_A_RANK * rank)
        return min(wanted, max(least, int(wanted * self._factor)))
