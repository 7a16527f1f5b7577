"""How a run ends: by `finish`, with the program, or because nobody holds it any more.

Called by the training thread, or several of them, and at the interpreter's exit. A run's handle is
held weakly, so a model, a notebook's cell or a function that is over takes it along. What it queued
is still sent.
"""

from __future__ import annotations

import atexit
import os
import time
import weakref
from collections.abc import Sequence
from typing import Any, Optional

from richd import _exits
from richd._link.outbox import Control

#: How long an exit may take while messages are unanswered (all runs together), in seconds.
EXIT_S = 2.0
#: What of it is kept for closing the socket.
CLOSE_S = 0.2


class Life:
    """What is left of a run when its handle is gone: the way to the daemon, until it is closed."""

    def __init__(self, run: Any, sender: Any, intake: Any) -> None:
        self.pid = os.getpid()
        self._key = (run.project, run.name)
        self._run = weakref.ref(run)
        self._sender = sender
        self._intake: Any = intake
        self._is_lost = False

    def finish(self, status: str, deadline: float) -> None:
        """Close the run and wait for the daemon's answer until `deadline`."""
        self.end(self.close(status), deadline)

    def close(self, status: str) -> Optional[Control]:
        """Say that the run is over, behind all that was queued; returns the message."""
        run = self._run()
        if run is not None:
            run._let_go()
        if self._is_lost:
            return None
        return self._intake.put_control("close", lambda: {"status": status}, is_last=True)

    def end(self, close: Optional[Control], deadline: float) -> None:
        """Wait for the answer to `close`, and end the connection, until `deadline`."""
        _lives.discard(self)
        self._intake = None  # it borrows the weights of heads
        if close is not None:
            self._sender.wait_for(close, deadline - CLOSE_S - time.monotonic())
        self._sender.stop(deadline - time.monotonic())

    def give_way_to(self, newer: Life) -> None:
        """Another run begins. One that nobody holds is lost; one of the same name when it is so."""
        if self._run() is None or self._key == newer._key:
            self._sender.abandon(self._note_lost)

    def _note_lost(self) -> bool:
        """Whether nobody holds the run; then it is forgotten here. Asked by the sender."""
        if self._run() is None:
            self._is_lost = True
            _lives.discard(self)
        return self._is_lost


#: Runs to be finished when the interpreter exits.
_lives: set[Life] = set()


def _here() -> Sequence[Life]:
    """Those of this process; a forked child has its own."""
    return [life for life in list(_lives) if life.pid == os.getpid()]


def begin(life: Life) -> None:
    """A run has begun: it will be finished when the program ends."""
    for older in _here():
        older.give_way_to(life)
    _lives.add(life)
    _exits.watch()


def finish_all(status: str) -> None:
    """All runs send their close at once, then wait together."""
    lives = _here()
    deadline = time.monotonic() + EXIT_S
    closes = [life.close(status) for life in lives]
    for life, close in zip(lives, closes):
        life.end(close, deadline)


def _finish_at_exit() -> None:
    finish_all("failed" if _exits.has_failed() else "finished")


atexit.register(_finish_at_exit)
