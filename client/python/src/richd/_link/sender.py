"""One run's way to the daemon: its connection, and what the training thread asks of it.

The training thread starts it, wakes it, waits for answers and stops it; each is bounded in time.
Everything else happens in its turns, which the thread of `_loop` gives to all runs of the process.
`_session` decides what is said on the socket, `_outbox` holds what waits.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Optional

import zmq

from richd._link import session as _session
from richd._link.connections import Connections
from richd._link.endpoint import NotFoundError
from richd._link.keys import NoKeyError
from richd._link.listener import Listener
from richd._link.loop import Loop, serve
from richd._link.narrow import HELD_S, Narrow
from richd._link.outbox import Batch, Control, Outbox
from richd._report import Reporter, logger
from richd._link.session import Session, State
from richd._link.descriptors import ScarceError
from richd._link.start import Starter
from richd._spool.spool import Spool

#: How often endpoints.json is read while there is no connection.
FIND_S = 0.5
RECONNECT_MIN_S = 0.1
RECONNECT_MAX_S = 5.0
#: A daemon that does not know our key is asked no more often.
REFUSED_S = 2.0
#: Buffers at least this large are lent to ZeroMQ, smaller ones copied.
LEND_BYTES = 65536
#: How often the return of lent buffers is looked for; they count against the queue until then.
LENT_S = 0.02
#: So long, and so often, a connection is looked at when another to the same daemon broke.
DOUBT_S = 1.0
DOUBT_LOOK_S = 0.02
#: A turn that comes so late says that this process stood still, or another thread kept the
#: interpreter's lock.
STALL_S = 0.25
#: What a daemon does not take for so long goes to the disk, and so often from then on.
SPOOL_S = 1.0
SPOOL_LOOK_S = 0.25
#: Messages sent before answers are read again, and before other runs have their turn.
BURST = 64


class Sender:
    """One run's connection. `find` returns the daemon's address now, or raises NotFoundError.

    Without `find` the run is offline: all goes to the spool. Without a spool what does not fit the
    outbox is lost. `reduces`: rows may go as their moments where the way is slow.
    """

    def __init__(
        self,
        session: Session,
        outbox: Outbox,
        reporter: Reporter,
        find: Optional[Callable[[], str]],
        starter: Optional[Starter] = None,
        spool: Optional[Spool] = None,
        reduces: bool = False,
    ) -> None:
        self.absent = find is None  # away for longer than its ABSENT_S or LOST_S
        self.stopped = False  # the daemon takes nothing more, or there are no more turns
        self.last_step: Optional[int] = None
        self.checkpoints = 0  # that the daemon acknowledged
        self.points = 0  # that they came to
        self.ended_in_trouble = False  # which was said: messages without an answer, or a refusal
        self.looks_at = 0.0  # when the next turn is due
        self.loop: Optional[Loop] = None
        self.listeners: list[Listener] = []  # who is told of points; only appended to
        self._session = session
        self._outbox = outbox
        self._narrow = Narrow(outbox, reporter, self._wait_filled)
        self._may_reduce = reduces
        session.outbox = self._narrow
        self._reporter = reporter
        self._find = find
        self._starter = starter
        self._spool = spool
        self._changed = threading.Condition()
        self._stopping = False
        self._is_abandoned: Callable[[], bool] = lambda: False
        self._dealer: Any = None
        self._address: Optional[str] = None
        self._not_found = ""  # why there is no address, in the words of `find`
        self._not_taken = ""  # why the daemon that is there does not take the run, in its words
        self._scarce = ""  # why the process has no descriptors for this run
        self._connect_at = 0.0
        self._find_at = 0.0
        self._doubt_until = 0.0
        if spool is not None:
            spool.note_absence(self.absent)
        self._backoff_s = RECONNECT_MIN_S
        self._lent: deque[tuple[Sequence[Any], int, float]] = deque()
        self._is_full = False  # ZeroMQ took no message in this turn
        self._window_bytes = self._last_window_bytes = 0  # sent, of this window and the last one

    # ---- called by the training thread -----------------------------------------------------------

    def start(self) -> None:
        """Have turns from now on."""
        serve(self)

    def wake(self) -> None:
        """Something was put into the outbox. A system call only when the loop sleeps.

        While there is no connection nothing can be sent, and nobody is woken before much waits.
        """
        if self._session.state is not State.AWAY or self._outbox.is_half_full:
            self._wake(self._outbox.is_urgent)

    def _wake(self, is_urgent: bool = True) -> None:
        if self.loop is not None and not self.stopped:
            self.loop.wake(self, is_urgent)

    def wait_for(self, control: Control, timeout: float) -> bool:
        """Wait for the control message's answer; False at the timeout, or when no answer will come.

        With a daemon that has been away for a while (`absent`) there is no waiting. One that is
        there and takes the run later gets all of the time at the run's end.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: control.done or self.stopped or not self._may_answer(control),
                max(0.0, timeout),
            )
            return control.done and control.acknowledged

    def _may_answer(self, control: Control) -> bool:
        return not self.absent or (control.type == "close" and bool(self._not_taken))

    def stop(self, timeout: float) -> None:
        """End the connection, and tell all points, waiting for at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        self._stopping = True
        self._wake()
        self.wait_stopped(timeout)
        for listener in self.listeners:
            listener.join(deadline - time.monotonic())

    def wait_stopped(self, timeout: float) -> None:
        """Wait until there are no more turns."""
        with self._changed:
            self._changed.wait_for(lambda: self.stopped or not self.loop, max(0.0, timeout))

    def abandon(self, condition: Callable[[], bool]) -> None:
        """When `condition` holds, send what was queued and end without a close: the run is lost."""
        self._is_abandoned = condition
        self._wake()

    @property
    def is_connected(self) -> bool:
        """The run is open at the daemon."""
        return self._session.state is State.OPEN

    @property
    def attempt(self) -> int:
        """The attempt that the daemon gave us, 0 before it did."""
        return self._session.attempt

    # ---- a turn ----------------------------------------------------------------------------------

    def turn(self) -> None:
        """One round: connect, send, read, look at the clock."""
        try:
            if not self._is_over():
                self._turn()
        except Exception as error:
            # Neither training nor other runs nor the next connection may suffer from it.
            self._reporter.warn("internal", f"the sender failed and connects again: {error!r}")
            self._drop_connection(RECONNECT_MAX_S)
            self.looks_at = time.monotonic() + RECONNECT_MIN_S
        if self._is_over():
            self._end()

    def fail(self, error: Exception) -> None:
        """No more turns: the thread ends by `error`."""
        text = f"the sender has ended, nothing is sent any more: {error!r}"
        self._reporter.warn("internal", text)
        self._end()

    def _is_over(self) -> bool:
        return self._stopping or self._session.state is State.ENDED

    def _turn(self) -> None:
        now = time.monotonic()
        self._look_at_way(now, self._reclaim())
        self._keep_connected(now)
        if self._dealer is not None:
            self._send_some(now)
            self._receive_all(now)
            self._look_whether_broken(now)
            self._handle(self._session.tick(now))
        self._keep_on_disk(now)  # first: what is said of it then is known
        self._note_absence(now)
        self._note_abandoned()
        self.looks_at = self._next_look(now)
        if self._dealer is not None:
            wants_room = self._session.state is State.AWAY or self._session.peek(now) is not None
            self._connections.want(self._dealer, wants_room)

    def _next_look(self, now: float) -> float:
        times = [self._session.deadline(now)]
        if self._session.state is State.AWAY:
            times.append(max(self._connect_at, self._find_at))
        if self._lent:
            times.append(now + LENT_S)
        if self._spool is not None and self._session.state is not State.OPEN:
            times.append(now + SPOOL_LOOK_S)
        if now < self._doubt_until:
            times.append(now + DOUBT_LOOK_S)
        return max(now, min(times))

    def _note_abandoned(self) -> None:
        """Nobody holds the run any more. Nothing waits for an answer: it can end."""
        if self._is_abandoned() and self._outbox.is_answered:
            text = "nobody holds the run any more, and it was not finished: it is stored as lost"
            self._reporter.warn("lost", text, raises=False)
            self._stopping = True

    def _end(self) -> None:
        was_away = self._session.is_away
        self._drop_connection(0.0)
        sent, unsent = self._session.abandon(), [*self._narrow.drain(), *self._outbox.close()]
        unanswered = [] if self._keep_last(sent, unsent) else [*sent, *unsent]
        for item in unanswered:
            self._give_up(item)
        is_kept = self._spool is not None and self._spool.n_kept + self._spool.n_lost > 0
        self.ended_in_trouble = bool(unanswered) or is_kept or self._session.state is State.ENDED
        if (unanswered or is_kept) and self._session.state is not State.ENDED:
            self._say_unanswered(len(unanswered), was_away)
        while self._lent:
            self._outbox.release(self._lent.popleft()[1])
        for listener in self.listeners:
            listener.end()
        self._notify(stopped=True)

    # ---- what goes to the disk -------------------------------------------------------------------

    def _keep_on_disk(self, now: float) -> None:
        """Move what waits into the spool, while the daemon does not take it."""
        if self._spool is None:
            return
        self._spool.sync(now)
        if not self._is_to_keep(now):
            return
        if not self._spool.is_open:
            self._spool.give_back(self._session.abandon())
        while (item := self._narrow.head()) is not None:
            if isinstance(item, Batch) and not item.is_ready():
                return
            if isinstance(item, Batch) and not self._is_filled(item):
                continue
            self._keep(self._narrow.pop())

    def _is_to_keep(self, now: float) -> bool:
        assert self._spool is not None
        if self._session.state is State.OPEN:
            return self._spool.has_more and self._outbox.is_half_full
        if self._session.state is State.OPENING and not self._outbox.is_half_full:
            return False  # a daemon is there, and is about to take it
        return self._find is None or self._session.away_s(now) >= SPOOL_S

    def _keep(self, item: Any) -> None:
        assert self._spool is not None
        if isinstance(item, Batch):
            self._spool.put_batch(item)
            self._outbox.release(item.size_bytes)
        else:
            self._spool.put_control(item)

    def _keep_last(self, sent: Sequence[Control], unsent: Sequence[Any]) -> bool:
        """The run ends: what has no answer goes to the disk. False where there is no spool."""
        spool = self._spool
        if spool is None or self._session.state is State.ENDED:
            return False
        if spool.is_open or sent or unsent:
            spool.give_back(sent)
            for item in unsent:
                if isinstance(item, Control) or (item.is_ready() and self._wait_filled(item)):
                    self._keep(item)
                else:
                    self._drop(item)
        spool.close()
        return True

    def _give_up(self, item: Any) -> None:
        if isinstance(item, Batch):
            self._drop(item)
        else:
            item.done = True

    def _say_unanswered(self, count: int, was_away: bool) -> None:
        if was_away or self._find is None:
            self._say_absent()
        else:
            fate = f"{count} messages; they may be lost"
            if self._spool is not None:
                kept = f"they are kept: richd.replay({self._spool.path!r})"
                fate = f"all messages; {'not all are kept' if self._spool.has_failed else kept}"
            text = f"the run ended before the daemon answered {fate}"
            self._reporter.warn("unanswered", text, raises=False)

    def _drop(self, batch: Batch) -> None:
        self._outbox.release(batch.size_bytes)
        self._reporter.add(batches_dropped=1, rows_dropped=batch.n_rows)

    def _notify(self, **changes: Any) -> None:
        if self._spool is not None and "absent" in changes:
            self._spool.note_absence(changes["absent"])
        with self._changed:
            for name, value in changes.items():
                setattr(self, name, value)
            self._changed.notify_all()

    # ---- connection ------------------------------------------------------------------------------

    @property
    def _connections(self) -> Connections:
        assert self.loop is not None  # it gives the turns
        return self.loop.connections

    def _keep_connected(self, now: float) -> None:
        """Have a socket where a daemon has left an address; follow the address when it moves."""
        if self._session.state is not State.AWAY or now < self._connect_at or now < self._find_at:
            return
        self._find_at = FIND_S * (math.floor(now / FIND_S) + 1)  # with all other runs
        if self._starter is not None and not self.attempt:
            self._starter.miss()
        address = self._look_up()
        if self._dealer is not None and address != self._address:
            self._drop_connection(0.0)
        if self._dealer is None and address is not None:
            self._connect(address)

    def _look_up(self) -> Optional[str]:
        assert self.loop is not None
        if self._find is None:
            return None
        try:
            return self.loop.find(self._find)
        except NotFoundError as error:
            self._not_found, self._not_taken = str(error), ""
            return None

    def _connect(self, address: str) -> None:
        try:
            self._dealer = self._connections.open(self, address)
        except ScarceError as error:
            self._note_scarce(str(error))
        except NoKeyError as error:
            self._reporter.warn("address", str(error))
        except zmq.ZMQError as error:
            self._reporter.warn("address", f"cannot connect to {address}: {error}")
        if self._dealer is None:
            self._connect_at = time.monotonic() + RECONNECT_MAX_S
        else:
            self._address, self._scarce = address, ""
            self._narrow.is_on = self._may_reduce and address.startswith("tcp://")
            self._narrow.way.begin()

    def _note_scarce(self, why: str) -> None:
        assert self.loop is not None
        self._scarce = f"richd connects no more runs for now: {why}"
        text = f"{self._scarce}; training goes on"
        self._reporter.warn("scarce", text, raises=False, logs=self.loop.is_first_scarce())

    def _drop_connection(self, delay_s: float) -> None:
        """Close the socket; the next one is made after `delay_s`."""
        self._session.lost()
        if self._spool is not None and self._spool.is_open:
            self._spool.give_back(self._session.abandon())
        dealer, self._dealer, self._address = self._dealer, None, None
        if dealer is not None:
            self._connections.close(dealer)
        self._connect_at = time.monotonic() + delay_s
        self._find_at = self._doubt_until = 0.0

    def _reconnect(self, reason: str, delay_s: float) -> None:
        logger.debug("reconnecting: %s", reason)
        self._drop_connection(max(delay_s, self._backoff_s))
        self._backoff_s = min(2 * self._backoff_s, RECONNECT_MAX_S)

    def note_broken(self) -> None:
        """A connection that broke ends the credits and the open run: start with a new one."""
        if self._session.state is not State.AWAY:
            self._reconnect("the connection broke", 0.0)

    def note_refused(self, why: str) -> None:
        """libzmq tries no more by itself. The key may be known, or the file another, later."""
        if self._session.state is State.AWAY and self._address is not None:
            self._not_taken = f"the daemon at {self._address} {why} (richctl invite, richctl join)"
            self._reconnect(self._not_taken, REFUSED_S)

    def note_doubt(self) -> None:
        """Another one to the same daemon broke: this one as well, most likely."""
        now = time.monotonic()
        self._doubt_until = now + DOUBT_S
        self._session.ask(now)

    def _look_whether_broken(self, now: float) -> None:
        """A connection in doubt that takes nothing is gone: with IMMEDIATE it has no queue."""
        if self._dealer is not None and now < self._doubt_until and not self._has_room():
            self.note_broken()

    def _has_room(self) -> bool:
        return bool(self._dealer.getsockopt(zmq.EVENTS) & zmq.POLLOUT)

    def _note_absence(self, now: float) -> None:
        if self._starter is not None and self._starter.is_busy:
            return
        late_s = now - self.looks_at if self.looks_at else 0.0
        if late_s >= STALL_S:
            self._session.note_stall(late_s)
        if self._session.note_absence(now):
            self._say_absent()
            self._notify(absent=True)

    def _say_absent(self) -> None:
        why = f" ({self._not_found})" if self._not_found else ""
        where = self._address or f"any known place{why}"
        what = f"no richd at {where}" if self._find is not None else "offline"
        if self._scarce:
            what = self._scarce
        elif self._not_taken:
            what = f"richd does not take this run for now: {self._not_taken}"
        elif self._starter is not None and self._starter.problem:
            what = f"{what}; {self._starter.problem}"
        fate = "training goes on, what does not fit the queue is dropped"
        if self._spool is not None:
            fate = self._spool.fate
        text = f"{what}; {fate}"
        self._reporter.warn("absent", text, raises=False, logs=not self._scarce)

    # ---- sending ---------------------------------------------------------------------------------

    def _send_some(self, now: float) -> None:
        if self._session.state is State.AWAY and self._has_room():
            self._session.begin(now)
        for _ in range(BURST):
            outgoing = self._session.peek(now)
            if outgoing is None:
                return
            if isinstance(outgoing.item, Batch) and not self._is_filled(outgoing.item):
                continue
            if not self._send(outgoing.frames, outgoing.item):
                return
            self._session.sent(outgoing, now)
            if outgoing.kind == "control":
                self._note_control(outgoing.item)

    def _note_control(self, item: Any) -> None:
        """It is sent for the first time; a checkpoint's mark ends a window."""
        if item.type != "checkpoint":
            return
        size, self._window_bytes = self._window_bytes, 0
        self._reporter.add(checkpoint_bytes=size - self._last_window_bytes)
        self._last_window_bytes = size

    def _is_filled(self, batch: Batch) -> bool:
        """Whether the outbox's first batch is all there; where that failed it is dropped."""
        if self._wait_filled(batch):
            return True
        self._narrow.pop()
        self._drop(batch)
        return False

    def _wait_filled(self, batch: Batch) -> bool:
        """Wait for what is still computed or copied."""
        try:
            for wait in batch.waits:
                wait()
        except Exception as error:
            self._reporter.warn("copy", f"what was on its way is left out: {error}")
            return False
        batch.waits = ()
        return True

    def _send(self, frames: Sequence[Any], item: Any) -> bool:
        """Hand one message to ZeroMQ; False when it takes none now.

        Only the first frame can be refused: ZeroMQ takes a message whole.
        """
        parts = [
            zmq.Frame(f, track=True, copy=False) if len(f) >= LEND_BYTES else f for f in frames
        ]
        more = [zmq.SNDMORE] * (len(parts) - 1) + [0]
        try:
            for part, flag in zip(parts, more):
                self._dealer.send(part, zmq.NOBLOCK | flag, copy=not isinstance(part, zmq.Frame))
        except zmq.Again:
            self._is_full = True
            return False
        if isinstance(item, Batch):
            self._reporter.add(batches_sent=1, bytes_sent=item.size_bytes)
            self._window_bytes += item.size_bytes
            self._lend([part.tracker for part in parts if isinstance(part, zmq.Frame)], item)
        return True

    def _lend(self, trackers: Sequence[Any], batch: Batch) -> None:
        self._lent.append((trackers, batch.size_bytes, time.monotonic()))

    def _reclaim(self) -> int:
        """Give back the room of the buffers that ZeroMQ has let go; returns their bytes."""
        n_bytes = 0
        while self._lent and all(tracker.done for tracker in self._lent[0][0]):
            size_bytes = self._lent.popleft()[1]
            self._outbox.release(size_bytes)
            n_bytes += size_bytes
        return n_bytes

    def _look_at_way(self, now: float, passed: int) -> None:
        _, waiting, since = self._lent[0] if self._lent else ((), 0, now)
        is_full = self._is_full or now - since >= HELD_S
        self._narrow.way.look(now, is_full, passed, waiting)
        self._is_full = False

    # ---- receiving -------------------------------------------------------------------------------

    def _receive_all(self, now: float) -> None:
        while self._dealer is not None:
            try:
                frames = self._dealer.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            if len(frames) == 1:
                self._handle(self._session.receive(frames[0], now))

    def _handle(self, events: Sequence[_session.Event]) -> None:
        for event in events:
            if isinstance(event, _session.Welcomed):
                self._on_welcomed(event)
            elif isinstance(event, _session.Answered):
                self._on_answered(event)
            elif isinstance(event, _session.Refused):
                self._on_refused(event)
            elif isinstance(event, _session.Starved):
                self._drop(event.batch)
                text = "the daemon grants no credit; batches are dropped"
                self._reporter.warn("starved", text, raises=False)
            elif isinstance(event, _session.Reconnect):
                self._not_taken = event.reason if event.delay_s > 0.0 else ""
                self._reconnect(event.reason, event.delay_s)
            else:
                self._reporter.warn(event.code, f"richd takes no more of this run: {event.text}")

    def _on_welcomed(self, event: _session.Welcomed) -> None:
        self._backoff_s = RECONNECT_MIN_S
        self._not_taken = ""
        if self._spool is not None and self._spool.is_open:
            self._spool.note_attempt(event.attempt)
        if self.absent:
            logger.info("run=%s connected to richd at %s", event.run, self._address)
        self._notify(absent=False, last_step=event.last_step)

    def _on_answered(self, event: _session.Answered) -> None:
        with self._changed:
            if event.control.type == "checkpoint" and event.acknowledged:
                self.checkpoints += 1
                self.points += len(event.points)
            event.control.acknowledged = event.acknowledged
            event.control.points = event.points
            event.control.done = True
            self._changed.notify_all()
        for listener in self.listeners:
            listener.put(event.points)

    def _on_refused(self, event: _session.Refused) -> None:
        if event.is_batch:
            dropped = int(event.code == "ECREDIT")
            self._reporter.add(batches_refused=1 - dropped, batches_dropped=dropped)
        self._reporter.warn(event.code, f"richd refused: {event.code}: {event.text}")
