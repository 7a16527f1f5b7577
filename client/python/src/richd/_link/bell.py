"""Wakes the thread that serves the runs, while it sleeps in poll.

Any thread rings; the sleeper alone calls the other methods.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import threading

#: A write(2) that keeps the interpreter's lock. With socket.send the sleeper, once awake, takes the
#: lock, and the training thread waits until it has it again: 0.1 ms of 0.18 at the median.
_write = ctypes.PyDLL(None).write


class Bell:
    """A pair of sockets. Ringing is a system call only when the sleeper sleeps.

    It may sleep lightly, for a short time: then only what is urgent wakes it.
    """

    def __init__(self) -> None:
        """Takes two descriptors; raises OSError where there are none."""
        self._lock = threading.Lock()
        self._is_asleep = False
        self._is_dozing = False  # asleep, and what is not urgent waits
        self._out, self._in = socket.socketpair()
        self._out.setblocking(False)
        self._in.setblocking(False)

    def fileno(self) -> int:
        """What to poll for input while asleep."""
        return self._in.fileno()

    def ring(self, is_urgent: bool = True) -> None:
        """Wake the sleeper; what was done before this call is seen by it."""
        with self._lock:
            if self._is_asleep and (is_urgent or not self._is_dozing):
                self._is_asleep = False
                # Under the lock, which the sleeper takes before it goes on: the socket is open.
                _write(self._out.fileno(), b"!", 1)

    def lie_down(self, lightly: bool = False) -> None:
        """From now on a ring wakes. Look for work after this call, and before poll."""
        with self._lock:
            self._is_asleep, self._is_dozing = True, lightly

    def get_up(self) -> None:
        """Awake again: rings cost nothing."""
        with self._lock:
            self._is_asleep = False
        with contextlib.suppress(BlockingIOError):
            self._in.recv(64)

    def close(self) -> None:
        """Give the descriptors back; a later ring does nothing."""
        with self._lock:
            self._is_asleep = False
        self._in.close()
        self._out.close()
