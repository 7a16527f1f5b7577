"""How much of the training's time a run takes, and how many rows that leaves.

Told by the threads that run the model, asked by them and by the training thread at checkpoints.
`thinning` draws the rows.
"""

from __future__ import annotations

import math
import time
from typing import Optional

#: The share of the training's time that a run may take where nobody says another.
SHARE = 0.01
#: What a window keeps of its rows at least, whatever they cost: fewer make no point.
ROWS_MIN = 256
ROWS_A_RANK = 2
#: What it takes the sender's thread and ZeroMQ's to send a byte: 1.2 ms a MB between steps of a
#: training (AMD EPYC, Zen 4, 2026-11-27). They run beside the training, where there is a core.
SEND_S = 1.2e-9
#: How much the factor may change from one window to the next, and how small it becomes.
_SLOWER, _FASTER = 0.25, 2.0
_FACTOR_MIN = 1 / 1024
#: What was spent so far says something about a window that lasts so long already.
_LONG_S = 1.0


class Pace:
    """The factor on the passes that are taken, and beyond that on the rows that are wanted.

    A pass costs nearly the same, however many of its rows are taken. So where the calls take too
    long, passes are left out first. Fewer rows come next, where no more passes can be spared.

    Arguments:
        share: what the calls of a run may take of the time between two checkpoints.
    """

    def __init__(self, share: float) -> None:
        self._share = share
        self._factor = 1.0
        self._spent_s = 0.0
        self._since: Optional[float] = None  # no call yet

    def add(self, seconds: float) -> None:
        """A call took so long."""
        if self._since is None:
            self._since = time.perf_counter() - seconds
        self._spent_s += seconds

    def add_sent(self, size_bytes: int) -> None:
        """So much is to be sent."""
        self._spent_s += SEND_S * size_bytes

    def turn(self, now: Optional[float] = None) -> None:
        """A window is over at `now`: compare what was spent in it with its time."""
        now = time.perf_counter() if now is None else now
        if self._since is not None and now > self._since:
            allowed_s = self._share * (now - self._since)
            change = allowed_s / self._spent_s if self._spent_s > 0 else _FASTER
            factor = self._factor * min(_FASTER, max(_SLOWER, change))
            self._factor = min(1.0, max(_FACTOR_MIN, factor))
        self._since, self._spent_s = now, 0.0

    def pass_stride(self, now: Optional[float] = None) -> int:
        """Of so many passes one is to be taken: a power of two, which keeps within the share.

        The last window tells, and a long one that goes on at `now`.
        """
        wanted = 1 / self._factor
        elapsed_s = (time.perf_counter() if now is None else now) - (self._since or 0.0)
        if self._since is not None and elapsed_s >= _LONG_S:
            wanted = max(wanted, self._spent_s / (self._share * elapsed_s))
        return 1 << math.ceil(math.log2(wanted))

    def allows(self, wanted: int, rank: int, pass_stride: int = 1) -> int:
        """How many of the rows that are wanted may be taken, of outputs with so many directions.

        One of `pass_stride` passes is taken.
        """
        least = max(ROWS_MIN, ROWS_A_RANK * rank)
        return min(wanted, max(least, int(wanted * self._factor * pass_stride)))
