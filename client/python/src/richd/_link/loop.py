"""The one thread of this process that serves all runs.

It sleeps until a run has something: messages that were queued, an answer of the daemon, a time that
has come. Then these runs have a turn each. It begins with the first run and ends with the last one.
`_sender` says what a turn does, `_connections` has the sockets. A forked child has no such thread,
and begins its own.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Optional, Protocol

from richd._link.bell import Bell
from richd._link.connections import Connections
from richd._link.endpoint import NotFoundError
from richd._link.priority import step_back
from richd._link.descriptors import ScarceError, check_descriptors

#: Rounds are at least so far apart where only a time has come: a ping that is due but finds no room
#: is tried again then.
SLEEP_MIN_S = 0.005
#: How often the thread looks while it has no descriptors for the bell that wakes it.
DEAF_S = 0.05
#: After rows came, the thread sleeps so long whatever comes, unless it is urgent: 1,500 calls of
#: `observe`, one each 2 ms, made 18 system calls and not 1,500, and it took 500 rounds.
DOZE_S = 0.02
#: What was found for one run is good for the others so long.
FOUND_S = 0.25
#: The bell's two ends.
BELL_N = 2


class Served(Protocol):
    """What the loop knows of a sender."""

    #: Who gives the turns.
    loop: Any
    #: The loop is to call `turn` at this time.
    looks_at: float
    #: There are no more turns.
    stopped: bool

    def turn(self) -> None:
        """Do what there is to do now; never raises."""

    def fail(self, error: Exception) -> None:
        """The loop ends by an error of its own."""


class Hearer(Protocol):
    """Who has a turn when a descriptor can be read."""

    stopped: bool

    def turn(self) -> None:
        """Read it; never raises."""

    def disarm(self, loop: Any) -> None:
        """The loop ends, and reads no more."""


class Loop:
    """The thread, its bell, its connections, and whom it serves."""

    def __init__(self) -> None:
        self.connections = Connections()
        self._lock = threading.Lock()  # of the next three
        self._arrived: list[Served] = []
        self._has_ended = False
        self._hearers: dict[int, Hearer] = {}  # by descriptor
        self._due: deque[Any] = deque()
        self._is_urgent = False  # somebody of them does not want to wait
        self._dozes_until = 0.0  # because somebody was due a moment ago
        self._served: list[Served] = []
        self._bell: Optional[Bell] = None
        self._found: list[tuple[Callable[[], str], float, Any]] = []
        self._has_said_scarce = False
        self._thread = threading.Thread(target=self._main, name="richd-sender", daemon=True)

    # ---- any thread ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def add(self, sender: Served) -> bool:
        """Serve it from now on; False when the thread has ended."""
        with self._lock:
            if self._has_ended:
                return False
            sender.loop = self
            self._arrived.append(sender)
        self.wake(sender)
        return True

    def hear(self, descriptor: int, hearer: Hearer) -> None:
        """Give it a turn whenever the descriptor can be read. Called while a sender is served."""
        with self._lock:
            self._hearers[descriptor] = hearer
        self.wake(hearer)

    def wake(self, sender: Any, is_urgent: bool = True) -> None:
        """The sender is to have a turn: soon, or within DOZE_S where it is not urgent."""
        self._due.append(sender)
        self._is_urgent |= is_urgent
        bell = self._bell
        if bell is not None:
            bell.ring(is_urgent)

    def join(self, timeout: float) -> None:
        """Wait for the thread's end, which follows that of the last sender."""
        self._thread.join(max(0.0, timeout))

    # ---- the thread ------------------------------------------------------------------------------

    def _main(self) -> None:
        step_back()  # and so do the threads of ZeroMQ, which this one starts
        try:
            self._serve()
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """An error of our own: the runs end, and the next one begins another loop."""
        with self._lock:
            self._has_ended = True
        for hearer in self._hearers.values():
            hearer.disarm(self)
        for sender in (*self._served, *self._arrived):
            with contextlib.suppress(Exception):
                sender.fail(error)

    def _serve(self) -> None:
        ready: list[Any] = []
        while self._goes_on():
            now = time.monotonic()
            ready += self.connections.look_for_broken()
            self._is_urgent = False
            if self._due:
                self._dozes_until = now + DOZE_S
            while self._due:
                ready.append(self._due.popleft())
            ready += [sender for sender in self._served if sender.looks_at <= now]
            for sender in dict.fromkeys(ready):  # one turn each
                if not sender.stopped:
                    sender.turn()
            ready = self._sleep()

    def _goes_on(self) -> bool:
        """Take in those that came, leave those that ended. False: nobody is left."""
        with self._lock:
            self._served = [s for s in (*self._served, *self._arrived) if not s.stopped]
            self._arrived = []
            self._has_ended = not self._served
            hearers = dict(self._hearers)
        for descriptor, hearer in hearers.items():
            self.connections.listen(descriptor, hearer)
        if self._has_ended:
            for hearer in hearers.values():
                hearer.disarm(self)
            self.connections.end()
            if self._bell is not None:
                self._bell.close()
        return not self._has_ended

    def _sleep(self) -> list[Any]:
        """Until a socket, a trainer or the clock has something; returns whose socket it is."""
        if self._bell is None:
            self._bell = self._new_bell()
        if self._bell is None:
            time.sleep(DEAF_S)
            return []
        doze_s = self._dozes_until - time.monotonic()
        self._bell.lie_down(lightly=doze_s > 0)
        ready = self.connections.poll(self._idle_s(doze_s))
        self._bell.get_up()
        return ready

    def _new_bell(self) -> Optional[Bell]:
        try:
            check_descriptors(BELL_N)
            bell = Bell()
        except (ScarceError, OSError):
            return None
        self.connections.listen(bell.fileno())
        return bell

    def _idle_s(self, doze_s: float) -> float:
        waits = self._is_urgent or (self._due and doze_s <= 0)
        if waits or self._arrived or any(sender.stopped for sender in self._served):
            return 0.0
        looks_at = min(sender.looks_at for sender in self._served)
        idle_s = max(SLEEP_MIN_S, looks_at - time.monotonic() + 0.001)
        return min(idle_s, doze_s + 0.001) if doze_s > 0 else idle_s

    # ---- what senders share ----------------------------------------------------------------------

    def find(self, find: Callable[[], str]) -> str:
        """What `find` returns, asked once for many runs. Raises NotFoundError."""
        now = time.monotonic()
        self._found = [found for found in self._found if now < found[1] + FOUND_S]
        answer = next((found[2] for found in self._found if found[0] == find), None)
        if answer is None:
            try:
                answer = find()
            except NotFoundError as error:
                answer = error
            self._found.append((find, now, answer))
        if isinstance(answer, NotFoundError):
            raise answer
        return answer

    def is_first_scarce(self) -> bool:
        """True once: descriptors are the process's trouble, and one run tells of it."""
        first, self._has_said_scarce = not self._has_said_scarce, True
        return first


class _Shared:
    """The loop of this process, made when the first run begins, and again when it has ended."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: Optional[Loop] = None

    def serve(self, sender: Served) -> None:
        """Give turns to `sender` from now on."""
        with self._lock:
            if self._loop is None or not self._loop.add(sender):
                loop = Loop()
                loop.add(sender)
                loop.start()
                self._loop = loop

    def forget(self) -> None:
        """In a forked child: the thread is the parent's, and so is the lock that may be held."""
        self._lock = threading.Lock()
        self._loop = None


_shared = _Shared()
serve = _shared.serve
os.register_at_fork(after_in_child=_shared.forget)
