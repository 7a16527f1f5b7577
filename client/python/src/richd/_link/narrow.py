"""Rows go as their moments where the way to the daemon is slower than the training makes rows.

Belongs to the sender's thread, and stands between its outbox and the connection. `Way` measures how
fast the connection takes bytes, `Narrow` decides at each checkpoint what the next window is sent
as. It is for TCP alone: a socket with a path is faster than any training.

A window of `size` bytes that came in `seconds` is too much for a way of `rate` bytes a second
where

    size / rate > seconds

and the windows behind it are reduced, until they would take less than half of their time. On a way
that is no longer full nobody can measure more than what is sent, so after WINDOWS_REDUCED windows
one is sent as rows again. The daemon adds rows and moments of one window, so a change loses
nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Optional

from richd._link import wire as _wire
from richd._link.outbox import Batch, Control, Item, Outbox
from richd._report import Reporter
from richd._spool.window import Window, rows_of

#: A buffer that ZeroMQ has held for so long waits for the way, and not for a turn of this thread.
HELD_S = 0.25
#: What was seen for less says nothing of the rate.
SEEN_S = 0.5
#: Windows are sent as rows again where these would take this part of their time.
BACK = 0.5
WINDOWS_REDUCED = 32
#: The least that a connection may send (proto/INGEST.md, progress): larger moments stay rows.
MOMENTS_BYTES_MAX = 8 << 20


class Way:
    """How many bytes a second a connection takes while it is full."""

    def __init__(self) -> None:
        self.rate: Optional[float] = None  # bytes a second; None: it was never full
        self._looked_at = 0.0
        self._was_full = False
        self._full_s = self._full_bytes = 0.0

    def begin(self) -> None:
        """A new connection: nothing of it is known."""
        self.__init__()  # type: ignore[misc]

    def look(self, now: float, is_full: bool, passed: int, waiting: int) -> None:
        """Once a turn: `passed` bytes have gone since the last, `waiting` are held the longest."""
        if self._was_full:
            self._full_s += now - self._looked_at
            self._full_bytes += passed
            if self._full_s >= SEEN_S:
                self._note(waiting if is_full else 0)
        self._looked_at, self._was_full = now, is_full

    def _note(self, waiting: int) -> None:
        """Nothing has passed yet, and what is held may pass now: the rate is that at most."""
        if self._full_bytes > 0:
            self.rate = self._full_bytes / self._full_s
            self._full_s = self._full_bytes = 0.0
        elif waiting > 0:
            self.rate = waiting / self._full_s


class Narrow:
    """The outbox as the session and the spool see it: `head` and `pop` as there.

    Arguments:
        fill: waits for what is still computed or copied; False where that failed.
    """

    def __init__(
        self, outbox: Outbox, reporter: Reporter, fill: Callable[[Batch], bool]
    ) -> None:
        self.way = Way()
        self.is_on = False  # the connection is over TCP, and the run's windows may be reduced
        self._outbox = outbox
        self._reporter = reporter
        self._fill = fill
        self._window = Window(self._lose, rows_bytes=0)
        self._reduces = False
        self._n_windows = 0  # since rows were sent
        self._made: deque[Item] = deque()  # what goes out before the outbox
        self._size = 0  # bytes of this window's rows, as they were offered
        self._marked_at: Optional[float] = None

    def head(self) -> Optional[Item]:
        """What goes out next, left where it is."""
        while self._reduces and not self._made and self._draw():
            pass
        return self._made[0] if self._made else self._outbox.head()

    def pop(self) -> Item:
        """Take what `head` returned."""
        if self._made:
            item = self._made.popleft()
        else:
            item = self._outbox.pop()
            if isinstance(item, Batch):
                self._size += item.size_bytes
        if isinstance(item, Control) and item.type == "checkpoint":
            self._decide(item.put_at)
        return item

    def drain(self) -> list[Item]:
        """The run ends: what is here and not sent, before what waits in the outbox."""
        self._end_window()
        items, self._made = list(self._made), deque()
        return items

    # ---- what the next window is sent as ---------------------------------------------------------

    def _decide(self, put_at: float) -> None:
        """A window ends with the mark that was put then."""
        size, self._size = self._size, 0
        before, self._marked_at = self._marked_at, put_at
        self._n_windows = self._n_windows + 1 if self._reduces else 0
        if before is None or size == 0:
            return
        limit = (BACK if self._reduces else 1.0) * (put_at - before)
        rate = self.way.rate
        was_reduced = self._reduces
        self._reduces = self.is_on and rate is not None and size > rate * limit
        if self._n_windows >= WINDOWS_REDUCED:
            self.way.rate, self._reduces = None, False  # look again
        if self._reduces and not was_reduced:
            text = (
                f"the way takes {rate or 0:.0f} bytes a second, and rows are {size} a checkpoint: "
                "they are sent as their moments, and the points have no error bars"
            )
            self._reporter.warn("narrow", text, raises=False)

    # ---- reducing --------------------------------------------------------------------------------

    def _draw(self) -> bool:
        """Take the outbox's next message; False where there is none yet."""
        item = self._outbox.head()
        if item is None or (isinstance(item, Batch) and not item.is_ready()):
            return False
        self._outbox.pop()
        if isinstance(item, Control):
            if item.type == "checkpoint":
                self._end_window()
            self._made.append(item)
            return True
        self._size += item.size_bytes
        if self._fill(item):
            self._reduce(item)
        else:
            self._give_up(item)
        return True

    def _give_up(self, batch: Batch) -> None:
        self._outbox.release(batch.size_bytes)
        self._reporter.add(batches_dropped=1, rows_dropped=batch.n_rows)

    def _reduce(self, batch: Batch) -> None:
        """Rows that have no moments, or larger ones, go on as they are."""
        try:
            taken = self._window.take(batch.frames, MOMENTS_BYTES_MAX)
        except MemoryError:
            self._give_up(batch)
            return
        for frames in taken:
            if frames is batch.frames:
                self._made.append(batch)
            else:
                self._put(frames)
        if not taken or taken[-1] is not batch.frames:
            self._outbox.release(batch.size_bytes)

    def _end_window(self) -> None:
        for frames in self._window.end():
            self._put(frames)

    def _put(self, frames: Any) -> None:
        size = sum(memoryview(frame).nbytes for frame in frames)
        self._outbox.take(size)
        self._made.append(Batch(rows_of(frames), frames, size))
        if frames[0][_wire.KIND_AT] == _wire.KIND_MOMENTS:
            self._reporter.add(rows_reduced=rows_of(frames))

    def _lose(self, n_rows: int) -> None:
        text = f"{n_rows} rows are left out: they are not finite"
        self._reporter.warn("finite", text, raises=False)
        self._reporter.add(rows_dropped=n_rows)
