"""The step of a run: given by the trainer, or counted where nobody gives one.

Used by the training thread, or several of them, without a lock: a step belongs to one loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Optional

from richd._link import wire as _wire


class Steps:
    """The last step, and what it has already. `warn` is called when a step is counted.

    Attributes:
        last: the step that was given or counted last.
        is_marked: it has its checkpoint.
    """

    def __init__(self, warn: Callable[[], None]) -> None:
        self.last = 0
        self.is_marked = False
        self._warn = warn
        self._is_given = False  # by any call so far
        self._logged: set[str] = set()  # names of its scalars

    def at(self, step: Optional[int]) -> int:
        """`step` checked, or the last one. Raises ValueError for what is no step."""
        if step is not None:
            whole = _whole(step)
            if whole is None or not 0 <= whole <= _wire.INTEGER_MAX:
                raise ValueError(f"step is an integer from 0 to 2^53 - 1, not {step!r}")
            if whole != self.last:
                self._logged.clear()
                self.is_marked = False
            self.last = whole
            self._is_given = True
        return self.last

    def of_mark(self, step: Optional[int]) -> int:
        """That of a checkpoint: where the last one has its own, the next."""
        return self._free(step, self.is_marked)

    def of_log(self, step: Optional[int], names: Iterable[str]) -> int:
        """That of scalars: where the last one has a value of a name, the next.

        Counted on all ranks, so that their checkpoints have one step.
        """
        step = self._free(step, self._logged.intersection(names))
        self._logged.update(names)
        return step

    def _free(self, step: Optional[int], is_taken: Any) -> int:
        if step is None and is_taken:
            self._warn()
            step = self.last + 1
        return self.at(step)

    def stamp(self, step: int) -> dict[str, Any]:
        """Step and time of a message. A step that nobody gave does not begin the attempt."""
        implied = {} if self._is_given else {"implied": True}
        return {"step": step, "time": time.time(), **implied}


def _whole(step: Any) -> Optional[int]:
    """`step` as an int where it is whole, else None."""
    try:
        whole = int(step)
    except (TypeError, ValueError, OverflowError):
        return None
    return whole if whole == step else None
