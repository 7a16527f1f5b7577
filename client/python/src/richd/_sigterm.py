"""SIGTERM, with which a scheduler ends a job: the runs say that they failed, then the process dies.

Python's default kills the process at once, without exit functions. Only where that default stands
is there a handler of ours. It begins the end in a thread of its own, and returns: it may have
interrupted any code, which may hold any lock. While the main thread is in foreign code no handler
runs; but the interpreter writes the signal's number into a socket at once (`set_wakeup_fd`), and
the thread that serves the runs begins the end as well. When it is over, the default is restored
and the signal sent again: the process dies of it, as it would have. Training goes on until then.

Nothing is done where the signal means something else: a handler of the program's, whether it was
there before or came later, also one that calls ours; an ignored signal; a forked child; process 1
of a container, which the kernel does not let die of it. When the last run has ended, the default is
back.
"""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any, Optional


class Sigterm:
    """The handler of this process. `end` is called once; it closes all runs, in bounded time."""

    stopped = False  # as the loop asks of those who have turns

    def __init__(self, end: Callable[[], None]) -> None:
        self._end = end
        self._handler = self._on_signal  # one object, to be compared
        self._lock = threading.Lock()
        self._begun = threading.Lock()  # taken once, without waiting, by who begins the end
        self._loop: Any = None  # whose thread reads; None: the default stands
        self._sockets: Optional[tuple[socket.socket, socket.socket]] = None
        self._forking = threading.local()

    def arm(self, loop: Any) -> None:
        """Install the handler while `loop` serves runs. Does nothing outside of the main thread."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or os.getpid() == 1:
            return
        if signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, self._handler):
            return
        with self._lock, contextlib.suppress(OSError):  # no descriptors: the default stays
            if self._sockets is None:
                self._sockets = _wakeup_sockets()
            loop.hear(self._sockets[1].fileno(), self)
            signal.signal(signal.SIGTERM, self._handler)
            self._loop = loop

    def disarm(self, loop: Any) -> None:
        """The loop ends, as its last run has. From any thread, where signal.signal is not."""
        with self._lock:
            if self._loop is loop and not self._begun.locked():
                self._loop = None
                if self._is_installed():
                    _restore_default()

    def settle(self) -> None:
        """The loop has ended: Python's word of the handler is the default again, too.

        `signal.getsignal` named ours until then. Does nothing outside of the main thread.
        """
        is_main = threading.current_thread() is threading.main_thread()
        with self._lock:
            is_over = self._loop is None and not self._begun.locked()
            if is_main and is_over and self._is_installed():
                signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def turn(self) -> None:
        """The interpreter has written into the socket, for this signal or for another."""
        assert self._sockets is not None
        with contextlib.suppress(BlockingIOError):
            if signal.SIGTERM in self._sockets[1].recv(64):
                self._begin()

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self._begin()

    def _begin(self) -> None:
        """Lock-free, as it may interrupt anything."""
        if self._is_installed() and self._begun.acquire(blocking=False):
            _thread.start_new_thread(self._end_and_die, ())

    def _end_and_die(self) -> None:
        try:
            self._end()
        finally:
            if self._is_installed():
                _restore_default()
                os.kill(os.getpid(), signal.SIGTERM)

    def _is_installed(self) -> bool:
        """Whether the signal is ours, and not a program's that has taken it since."""
        return signal.getsignal(signal.SIGTERM) is self._handler

    # ---- forks -----------------------------------------------------------------------------------

    def before_fork(self) -> None:
        """Until the child has the default back, a signal to it has to wait.

        It would write into the parent's socket, and the interpreter forgets what came before a
        child is its own.
        """
        if self._loop is not None:
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
            self._forking.has_blocked = signal.SIGTERM not in blocked

    def after_fork_in_parent(self) -> None:
        """The signal may come again."""
        if getattr(self._forking, "has_blocked", False):
            self._forking.has_blocked = False
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def after_fork_in_child(self) -> None:
        """The default stands, the socket is the parent's, and a signal that waited comes."""
        self._lock, self._begun = threading.Lock(), threading.Lock()
        self._forget()
        self.after_fork_in_parent()

    def _forget(self) -> None:
        sockets, self._sockets, self._loop = self._sockets, None, None
        if sockets is None:
            return
        if self._is_installed():
            _restore_default()
            with contextlib.suppress(ValueError):
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _leave_wakeup(sockets[0].fileno())
        for end in sockets:
            end.close()


def _wakeup_sockets() -> tuple[socket.socket, socket.socket]:
    """For the process's life: a byte that comes late must not meet another file."""
    sockets = socket.socketpair()
    for end in sockets:
        end.setblocking(False)
    others = signal.set_wakeup_fd(sockets[0].fileno(), warn_on_full_buffer=False)
    if others != -1:  # an event loop's; then the handler has to be enough
        signal.set_wakeup_fd(others)
    return sockets


def _leave_wakeup(ours: int) -> None:
    with contextlib.suppress(ValueError):
        others = signal.set_wakeup_fd(-1)
        if others not in (-1, ours):
            signal.set_wakeup_fd(others)


def _restore_default() -> None:
    """signal(2) itself: signal.signal is for the main thread, which may be in foreign code."""
    call = ctypes.CDLL(None).signal
    call.argtypes, call.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    call(signal.SIGTERM, None)  # SIG_DFL is 0
