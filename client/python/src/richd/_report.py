"""How the client reports: one warning for each kind of trouble on the logger `richd`, and counts.

Any thread. Only the thread that trains raises: with `raise_errors` a trouble is kept, and the next
call of the run raises it.
"""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass, fields
from typing import Optional

# Logging rather than warnings.warn: under `-W error` a warning raises, here in someone's training.
logger = logging.getLogger("richd")


_TRUE = ("1", "true", "yes", "on")


def is_to_raise(asked: Optional[bool]) -> bool:
    """Whether calls may raise: as `init(raise_errors=)` says, or else RICHD_RAISE."""
    return os.environ.get("RICHD_RAISE", "").lower() in _TRUE if asked is None else bool(asked)


class RichdError(Exception):
    """Something of a run failed; raised only with `raise_errors`. `code` names the kind."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


@dataclass(frozen=True)
class Stats:
    """What became of a run's data so far; `Run.stats` returns a copy.

    Attributes:
        batches_sent, bytes_sent: handed to ZeroMQ (frames' bytes, data messages only).
        batches_dropped, rows_dropped: given up because the queue was full or credit ran out.
        batches_refused: answered by the daemon with an error.
        checkpoint_bytes: of the rows or moments that were sent for the last checkpoint.
        rows_reduced: sent as their moments, because the way to the daemon is slow.
        rows_offered: rows of all calls, dropped ones included.
        controls_dropped: checkpoints and logs beyond the 4,096 that may wait for an answer.
        last_error: the last trouble's sentence, or None.
    """

    batches_sent: int = 0
    bytes_sent: int = 0
    batches_dropped: int = 0
    rows_dropped: int = 0
    batches_refused: int = 0
    rows_offered: int = 0
    controls_dropped: int = 0
    checkpoint_bytes: int = 0
    rows_reduced: int = 0
    last_error: Optional[str] = None


#: Kinds of trouble that are logged; a program that finds more has been told enough.
KINDS_MAX = 64


class Reporter:
    """The warnings and the counts of one run."""

    def __init__(self, label: str, raise_errors: bool) -> None:
        self.raise_errors = raise_errors
        self.is_pending = False  # something is to be raised
        self._label = label
        self._lock = threading.Lock()
        self._said: set[str] = set()
        self._counts = {f.name: 0 for f in fields(Stats) if f.name != "last_error"}
        self._last_error: Optional[str] = None
        self._pending: Optional[RichdError] = None

    def add(self, **counts: int) -> None:
        """Add to the counts of `Stats` by name."""
        with self._lock:
            for name, count in counts.items():
                self._counts[name] += count

    def stats(self) -> Stats:
        """A copy of the counts."""
        with self._lock:
            return Stats(**self._counts, last_error=self._last_error)

    def warn(self, kind: str, text: str, *, raises: bool = True, logs: bool = True) -> None:
        """Log `text`, once for each kind; with `raise_errors`, keep it to be raised.

        Without `logs` another run has told of the same trouble.
        """
        with self._lock:
            self._last_error = text
            first = logs and kind not in self._said and len(self._said) < KINDS_MAX
            if first:
                self._said.add(kind)
            if raises and self.raise_errors and self._pending is None:
                self._pending = RichdError(kind, text)
                self.is_pending = True
        if first:
            logger.warning("run=%s %s", self._label, text)

    def raise_pending(self) -> None:
        """Raise what was kept, once."""
        with self._lock:
            error, self._pending = self._pending, None
            self.is_pending = False
        if error is not None:
            raise error
