"""Calls a function with what the daemon acknowledged, on a thread of its own.

The sender puts and never waits. A function that is slow loses points, and one that raises costs a
warning: neither harms the training, the sender, or another function. `Run.on_point` makes one.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, Optional

from richd._report import Reporter

#: Points that may wait for one function: 3 KiB each as they come, 3 MiB in all.
POINTS_MAX = 1024


class Listener:
    """One function and its thread, from here until the end of the run."""

    def __init__(
        self,
        name: str,
        call: Callable[[dict[str, Any]], Any],
        reporter: Reporter,
        at_end: Optional[Callable[[], Any]] = None,
    ) -> None:
        """Take what is called.

        Arguments:
            name: of the function, for warnings.
            call: takes a point as the daemon sent it.
            reporter: what is told of trouble.
            at_end: called after the last point.
        """
        self._name = name
        self._call = call
        self._reporter = reporter
        self._at_end = at_end
        self._queue: queue.SimpleQueue[Optional[dict[str, Any]]] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._main, name="richd-on-point", daemon=True)
        self._thread.start()

    # ---- the sender's thread ---------------------------------------------------------------------

    def put(self, points: Sequence[dict[str, Any]]) -> None:
        """Have the function called with each, in this order; those beyond 1,024 are dropped."""
        for point in points:
            if self._queue.qsize() >= POINTS_MAX:
                text = f"{self._name} is too slow: {POINTS_MAX} points wait, more are dropped"
                self._reporter.warn(f"{self._name} is slow", text, raises=False)
                return
            self._queue.put(point)

    def end(self) -> None:
        """There will be no more points."""
        self._queue.put(None)

    # ---- the training thread ---------------------------------------------------------------------

    def join(self, timeout: float) -> None:
        """Wait until the function had all points, for at most `timeout` seconds.

        The function itself may end the run: then there is nothing to wait for.
        """
        if self._thread is not threading.current_thread():
            self._thread.join(max(0.0, timeout))

    # ---- its own thread --------------------------------------------------------------------------

    def _main(self) -> None:
        for point in iter(self._queue.get, None):
            self._try(self._call, point)
        if self._at_end is not None:
            self._try(self._at_end)

    def _try(self, function: Callable[..., Any], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            with contextlib.suppress(Exception):  # of a __str__
                text = f"{self._name}: {type(error).__name__}: {error}"
                self._reporter.warn(self._name, text)
