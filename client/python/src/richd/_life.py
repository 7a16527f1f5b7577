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
from richd._report import Reporter, Stats
from richd._sigterm import Sigterm

#: How long an exit may take while messages are unanswered (all runs together), in seconds.
EXIT_S = 2.0
#: What of it is kept for closing the socket.
CLOSE_S = 0.2
#: What of it is kept for the last messages where the head before them is not computed in time.
HEADS_S = 0.5


class Life:
    """What is left of a run when its handle is gone: the way to the daemon, until it is closed."""

    def __init__(self, run: Any, sender: Any, intake: Any, reporter: Reporter) -> None:
        self.pid = os.getpid()
        self._key = (run.project, run.name)
        self._run = weakref.ref(run)
        self._sender = sender
        self._intake = intake
        self._reporter = reporter
        self._status = ""
        self._close: Optional[Control] = None
        self._was_offered = False  # as far as the run's handle knows
        self._is_lost = False

    @property
    def loop(self) -> Any:
        """What serves the run; None before it began."""
        return self._sender.loop

    def finish(self, status: str, deadline: float) -> None:
        """Close the run and wait for the daemon's answer until `deadline`."""
        self.end(self.close(status), deadline)

    def close(self, status: str, reason: Optional[str] = None) -> Optional[Control]:
        """Say that the run is over, behind all that was queued; returns the message.

        With a `reason` the program did not come to its end: the training thread may be in the
        model, whose hooks stay as they are.
        """
        run = self._run()
        if run is not None:
            self._was_offered = self._was_offered or run._was_offered
            run._let_go(keep_hooks=reason is not None)
        if self._close is None and not self._is_lost:
            self._status = status
            if reason is not None:
                self._say_reason(reason)
            close = {"status": status}
            self._close = self._intake.put_control("close", lambda: close, is_last=True)
        return self._close

    def _say_reason(self, reason: str) -> None:
        """In the summary, which is the whole run's: so it names the attempt that ended."""
        attempt = self._sender.attempt
        text = f"{reason} in attempt {attempt}" if attempt else reason
        self._intake.put_control("summary", lambda: {"summary": {"ended_by": text}})

    def end(self, close: Optional[Control], deadline: float) -> None:
        """Wait for the answer to `close`, and end the connection, until `deadline`."""
        _lives.discard(self)
        wait_s = deadline - CLOSE_S - time.monotonic()
        if close is not None:
            self._wait_for(close, wait_s)
        elif self._is_lost:
            self._sender.wait_stopped(wait_s)
        self._sender.stop(deadline - time.monotonic())
        intake, self._intake = self._intake, None  # it borrows the weights of heads
        if intake is not None:
            intake.give_up_heads(deadline)
        _settle(self.loop)
        if self._status == "finished" and not self._sender.ended_in_trouble:
            self._say_if_empty()

    def _wait_for(self, close: Control, timeout: float) -> None:
        """A head that is still computed holds up what is behind it: it has not all of the time."""
        if self._sender.wait_for(close, timeout - HEADS_S) or self._intake is None:
            return
        self._intake.give_up_heads()
        self._sender.wait_for(close, min(timeout, HEADS_S))

    def _say_if_empty(self) -> None:
        """A run that has nothing to show ends with a word of why."""
        stats = self._reporter.stats()
        was_offered = stats.rows_offered > 0 or self._was_offered
        if was_offered and self._sender.points == 0:
            why = _why_empty(stats, self._sender.checkpoints)
            self._reporter.warn("empty", f"no point was stored: {why}", raises=False)

    def give_way_to(self, newer: Life) -> None:
        """Another run begins. One that nobody holds is lost; one of the same name when it is so."""
        if self._run() is None or self._key == newer._key:
            self._sender.abandon(self._note_lost)

    def _note_lost(self) -> bool:
        """Whether nobody holds the run. Asked by the sender."""
        self._is_lost = self._run() is None
        return self._is_lost

    @property
    def is_stopped(self) -> bool:
        """There are no more turns; the handle may still be there."""
        return bool(self._sender.stopped)

    @property
    def is_over(self) -> bool:
        """Nothing of the run is left, neither handle nor connection."""
        return self.is_stopped and self._run() is None


def _why_empty(stats: Stats, checkpoints: int) -> str:
    """The likely reason for which rows that were offered came to no point."""
    if stats.rows_offered == 0:
        return f"no call could take its rows ({stats.last_error})"
    if checkpoints == 0:
        return f"{stats.rows_offered} rows were offered, and run.checkpoint() was never called"
    if stats.batches_refused:
        return f"the daemon refused {stats.batches_refused} batches ({stats.last_error})"
    if stats.rows_dropped == stats.rows_offered:
        return f"all {stats.rows_offered} rows were dropped ({stats.last_error})"
    return "no row was offered before a checkpoint"


#: Runs to be finished when the interpreter exits.
_lives: set[Life] = set()
#: What served runs so far. An interpreter that exits beside such a thread is aborted where the
#: thread lets go of a tensor, so the end is waited for, also behind `finish`.
_loops: weakref.WeakSet[Any] = weakref.WeakSet()


def _here() -> Sequence[Life]:
    """Those of this process; a forked child has its own."""
    return [life for life in list(_lives) if life.pid == os.getpid()]


def begin(life: Life) -> None:
    """A run has begun: it will be finished when the program ends."""
    for older in _here():
        if older.is_over:
            _lives.discard(older)
        else:
            older.give_way_to(life)
    _lives.add(life)
    _exits.watch()
    if life.loop is not None:
        _loops.add(life.loop)
        _sigterm.arm(life.loop)


def _settle(loop: Any) -> None:
    """After the last run of a loop the signals are as they were, when its thread has ended."""
    if loop is not None and all(life.is_stopped for life in _here()):
        loop.join(CLOSE_S)
        _sigterm.settle()


def finish_all(status: str, reason: Optional[str] = None) -> None:
    """All runs send their close at once, then wait together."""
    lives = _here()
    deadline = time.monotonic() + EXIT_S
    closes = [life.close(status, reason) for life in lives]
    for life, close in zip(lives, closes):
        life.end(close, deadline)
    for loop in list(_loops):
        loop.join(deadline - time.monotonic())


def _finish_at_exit() -> None:
    finish_all("failed" if _exits.has_failed() else "finished")


def _finish_at_sigterm() -> None:
    """In a thread of its own, while the program trains on."""
    finish_all("failed", "SIGTERM")


_sigterm = Sigterm(_finish_at_sigterm)
atexit.register(_finish_at_exit)
os.register_at_fork(
    before=_sigterm.before_fork,
    after_in_parent=_sigterm.after_fork_in_parent,
    after_in_child=_sigterm.after_fork_in_child,
)
