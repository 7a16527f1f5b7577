"""Work of threads of ours that a fork has to wait for, in pieces that it can come between.

Any thread. OpenBLAS ends its threads before each fork of the process. Where another thread is in a
product meanwhile, both wait for ever, the training with them: 9 of 10 forks beside a head of 512 x
32,768 did (OpenBLAS 0.3.21). A DataLoader with workers forks at each epoch.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator


class Pieces:
    """Who works now, and which forks wait."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._n_working = 0
        self._n_forks = 0

    @contextlib.contextmanager
    def work(self) -> Iterator[None]:
        """A fork waits for the end of this, or for the next `pause`."""
        self._begin()
        try:
            yield
        finally:
            self._end()

    def pause(self) -> None:
        """A piece of `work` is over: let forks that wait come first."""
        if self._n_forks:
            self._end()
            self._begin()

    def _begin(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._n_forks)
            self._n_working += 1

    def _end(self) -> None:
        with self._changed:
            self._n_working -= 1
            self._changed.notify_all()

    # ---- called by the thread that forks ---------------------------------------------------------

    def before_fork(self) -> None:
        """Wait until nobody works."""
        with self._changed:
            self._n_forks += 1
            self._changed.wait_for(lambda: not self._n_working)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        with self._changed:
            self._n_forks -= 1
            self._changed.notify_all()

    def after_fork_in_child(self) -> None:
        """The child has none of the threads."""
        self.__init__()  # type: ignore[misc]


#: Those of this process.
pieces = Pieces()
os.register_at_fork(
    before=pieces.before_fork,
    after_in_parent=pieces.after_fork_in_parent,
    after_in_child=pieces.after_fork_in_child,
)
