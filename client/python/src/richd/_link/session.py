"""One run's conversation with the daemon, as a pure state machine (proto/INGEST.md).

It decides who may say what, and when: greeting, credits, what is kept and sent again. Only the
sender thread calls it, and gives it the time. `_sender` has the sockets, `_outbox` the queue.

            begin            welcome
    AWAY ----------> OPENING --------> OPEN
      ^                 |                |
      +------ lost -----+----------------+        any of them -- fatal nack --> ENDED

`lost` follows a Reconnect: silence, an open without its welcome, ENOTOPEN, EBUSY, or the end of the
connection.
"""

from __future__ import annotations

import enum
import json
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Protocol, Union

from richd._link.outbox import Batch, Control, Item, Outbox

PROTOCOL = 1

# How long the session waits for what: INGEST.md, Waiting; the cases are in
# proto/vectors/waiting.json.
PING_S = 1.0
SILENCE_S = 5.0
OPEN_S = 10.0
CREDIT_S = 10.0
RETRY_S = 1.0
ABSENT_S = 1.0
LOST_S = 5.0


class State(enum.Enum):
    """Where the conversation stands; the drawing is above."""

    AWAY = enum.auto()
    OPENING = enum.auto()
    OPEN = enum.auto()
    ENDED = enum.auto()


@dataclass(frozen=True)
class Welcomed:
    """The run is open."""

    run: str
    attempt: int
    last_step: Optional[int]


@dataclass(frozen=True)
class Answered:
    """A control message is acknowledged (`points` of a checkpoint), or refused for good."""

    control: Control
    acknowledged: bool
    points: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True)
class Refused:
    """The daemon did not take something; `text` is its sentence."""

    code: str
    text: str
    is_batch: bool


@dataclass(frozen=True)
class Starved:
    """A batch waited too long for credit and is dropped."""

    batch: Batch


@dataclass(frozen=True)
class Reconnect:
    """This connection is of no use any more; a new one may be made after `delay_s`."""

    reason: str
    delay_s: float = 0.0


@dataclass(frozen=True)
class Stopped:
    """The daemon will take nothing more of this run; `code` and `text` say why."""

    code: str
    text: str


Event = Union[Welcomed, Answered, Refused, Starved, Reconnect, Stopped]


@dataclass
class Outgoing:
    """The next message to send; `Session.sent` takes it back once it is out."""

    frames: Sequence[Any]
    kind: str  # "greeting", "ping", "resend", "control" or "batch"
    item: Union[Batch, Control, None] = None


@dataclass
class Identity:
    """Who speaks: the fields of hello, and those of open but `attempt`."""

    client: str
    host: str
    pid: int
    writer: str
    open_fields: Mapping[str, Any] = field(default_factory=dict)


class Queue(Protocol):
    """Messages in their order."""

    def head(self) -> Optional[Item]:
        """The next message; None while there is none, or no room for it."""

    def pop(self) -> Item:
        """Take what `head` returned."""


class Backlog(Queue, Protocol):
    """What was kept of the run while no daemon was there: it goes out before the outbox."""

    @property
    def has_more(self) -> bool:
        """Something of it is to be sent."""

    def answered(self, seq: int) -> None:
        """A control message has its answer."""

    def heard(self) -> None:
        """A ping has its answer."""


def encode(message: Mapping[str, Any]) -> bytes:
    """A control message's frame. Raises ValueError for what JSON cannot say (NaN, sets...)."""
    text = json.dumps(message, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "replace")


class Session:
    """The state machine. `peek`, send, `sent`; `receive` what comes; `tick` when time passes."""

    def __init__(
        self, identity: Identity, outbox: Outbox, backlog: Optional[Backlog] = None
    ) -> None:
        self.state = State.AWAY
        self.backlog = backlog
        self.attempt = 0  # 0: none yet
        self._identity = identity
        self.outbox: Queue = outbox
        self._done = outbox.control_done
        self._greeting: deque[bytes] = deque()
        self._kept: dict[int, Control] = {}  # sent and unanswered, by seq, in order
        self._resend: deque[Control] = deque()
        self._granted = 0
        self._sent_bytes = 0
        self._hello_at = 0.0
        self._heard_at = 0.0
        self._ping_at = 0.0
        self._ping_id = 0
        self._hold_until = 0.0
        self._starved_since: Optional[float] = None
        self._away_since: Optional[float] = None
        self._is_absent = False

    # ---- a connection's life ---------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """A connection is up: greet, and send again what was kept once the run is open."""
        if self.state is State.ENDED:
            return
        self.state = State.OPENING
        self._greeting = deque([encode(self._hello())])
        if not self._is_follower:
            self._greeting.append(encode(self._open()))
        self._granted = self._sent_bytes = 0
        self._resend.clear()
        self._hello_at = self._heard_at = now
        self._ping_at = now + PING_S
        self._hold_until = 0.0
        self._starved_since = None

    def lost(self) -> None:
        """The connection is gone."""
        if self.state is not State.ENDED:
            self.state = State.AWAY
        self._greeting.clear()

    def greeting(self) -> Sequence[bytes]:
        """The first messages of a connection: hello and open."""
        return encode(self._hello()), encode(self._open())

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "protocol_min": PROTOCOL,
            "protocol_max": PROTOCOL,
            "client": self._identity.client,
            "host": self._identity.host,
            "pid": self._identity.pid,
        }

    @property
    def _is_follower(self) -> bool:
        """A rank that joins a run. An older daemon would end the run of rank 0 for its open."""
        return int(self._identity.open_fields.get("member", {}).get("rank", 0)) > 0

    def _open(self) -> dict[str, Any]:
        host = {"host": self._identity.host} if self._identity.host else {}
        message = {"type": "open", **self._identity.open_fields, **host,
                   "writer": self._identity.writer}
        if self.attempt:
            # We go on with our own attempt: the run exists by now, and that is no conflict.
            return {**message, "attempt": self.attempt, "resume": "allow"}
        return message

    # ---- what goes out ---------------------------------------------------------------------------

    def peek(self, now: float) -> Optional[Outgoing]:
        """The next message that may go out at `now`, or None. Call `sent` when it is out."""
        if self._greeting:
            return Outgoing((self._greeting[0],), "greeting")
        if self.state not in (State.OPENING, State.OPEN):
            return None
        if now >= self._ping_at:
            return Outgoing((encode({"type": "ping", "id": self._ping_id + 1}),), "ping")
        if self.state is State.OPENING or now < self._hold_until:
            return None
        if self._resend:
            return Outgoing((self._resend[0].payload,), "resend", self._resend[0])
        item = self._source().head()
        if isinstance(item, Control):
            return Outgoing((item.frame(),), "control", item)
        if isinstance(item, Batch) and item.is_ready() and self._has_credit(item, now):
            return Outgoing(item.frames, "batch", item)
        return None

    def _source(self) -> Queue:
        return self.backlog if self.backlog is not None and self.backlog.has_more else self.outbox

    def _has_credit(self, batch: Batch, now: float) -> bool:
        if self._sent_bytes + batch.size_bytes <= self._granted:
            self._starved_since = None
            return True
        if self._starved_since is None:
            self._starved_since = now
        return False

    def sent(self, outgoing: Outgoing, now: float) -> None:
        """`outgoing`, the last answer of `peek`, is in ZeroMQ's hands."""
        if outgoing.kind == "greeting":
            self._greeting.popleft()
        elif outgoing.kind == "ping":
            self._ping_id += 1
            self._ping_at = now + PING_S
        elif outgoing.kind == "resend":
            self._resend.popleft()
        elif isinstance(outgoing.item, Control):
            self._source().pop()
            self._kept[outgoing.item.seq] = outgoing.item
        elif isinstance(outgoing.item, Batch):
            self._source().pop()
            self._sent_bytes += outgoing.item.size_bytes

    # ---- time ------------------------------------------------------------------------------------

    def ask(self, now: float) -> None:
        """Send a ping now: whether the daemon is there is in doubt."""
        self._ping_at = min(self._ping_at, now)

    def tick(self, now: float) -> list[Event]:
        """What follows from the time alone: silence, a batch that waited too long for credit."""
        if self.state not in (State.OPENING, State.OPEN):
            return []
        if now - self._heard_at >= SILENCE_S:
            return [Reconnect(f"no answer for {SILENCE_S:.0f} s")]
        if self.state is State.OPENING and now - self._hello_at >= OPEN_S:
            return [Reconnect(f"the run was not opened for {OPEN_S:.0f} s")]
        return self._drop_starved(now)

    def _drop_starved(self, now: float) -> list[Event]:
        events: list[Event] = []
        while self._is_starved(now):
            events.append(Starved(self.outbox.pop()))  # type: ignore[arg-type]
        return events

    def _is_starved(self, now: float) -> bool:
        """Whether what the training has offered waits for too long; a spool can wait."""
        if self.state is not State.OPEN or self._source() is not self.outbox:
            return False
        item = self.outbox.head()
        if not isinstance(item, Batch):
            return False
        if self._has_credit(item, now):
            return False
        since = now if self._starved_since is None else self._starved_since
        return now - since >= CREDIT_S

    @property
    def is_away(self) -> bool:
        """The run is not open at the daemon, as far as `note_absence` was asked."""
        return self._away_since is not None

    def note_absence(self, now: float) -> bool:
        """To be called in every round. True once, when the daemon has been away for too long.

        From then on, until a welcome, nobody should wait for its answers.
        """
        if self.state in (State.OPEN, State.ENDED) or self._is_absent:
            return False
        if self._away_since is None:
            self._away_since = now
        if self.state is State.OPENING:  # silence ends it, or the time of an open
            return False
        self._is_absent = now - self._away_since >= self._patience_s()
        return self._is_absent

    def note_stall(self, stall_s: float) -> None:
        """The sender did not run for so long: a daemon that nobody looked for is not away."""
        if self._away_since is not None:
            self._away_since += stall_s

    def _patience_s(self) -> float:
        return LOST_S if self.attempt else ABSENT_S

    def deadline(self, now: float) -> float:
        """The time at which `peek` or `tick` may have something new to say."""
        times = [now + PING_S]
        if self.state in (State.OPENING, State.OPEN):
            times += [self._heard_at + SILENCE_S, self._ping_at]
        if self.state is State.OPEN and self._hold_until > now:
            times.append(self._hold_until)
        if self.state is State.AWAY and self._away_since is not None and not self._is_absent:
            times.append(self._away_since + self._patience_s())
        return min(times)

    # ---- what comes in ---------------------------------------------------------------------------

    def receive(self, frame: bytes, now: float) -> list[Event]:
        """Take one message of the daemon. One that breaks the protocol changes nothing."""
        message = _parse(frame)
        if message is None or self.state in (State.ENDED, State.AWAY):
            return []
        self._heard_at = now
        handler = _HANDLERS.get(str(message.get("type")))
        return handler(self, message, now) if handler else []

    def _on_welcome(self, message: dict[str, Any], now: float) -> list[Event]:
        run, attempt = message.get("run"), _integer(message, "attempt")
        granted, last_seq = _integer(message, "granted"), _integer(message, "last_seq")
        if self.state is not State.OPENING or not isinstance(run, str) or not attempt:
            return []
        if granted is None or last_seq is None or not _is_member(message.get("member")):
            return []
        self.state = State.OPEN
        self.attempt = attempt
        self._granted = granted
        self._away_since = None
        self._is_absent = False
        self._resend = deque(self._kept.values())
        return [Welcomed(run, attempt, _integer(message, "last_step"))]

    def _on_progress(self, message: dict[str, Any], now: float) -> list[Event]:
        granted = _integer(message, "granted")
        if granted is not None and granted > self._granted:
            self._granted = granted
            self._starved_since = None
        return []

    def _on_ack(self, message: dict[str, Any], now: float) -> list[Event]:
        control = self._forget(_integer(message, "seq"))
        if control is None:
            return []  # acknowledged before, on another connection
        points = message.get("points")
        points = points if isinstance(points, list) else []
        return [Answered(control, True, [p for p in points if isinstance(p, dict)])]

    def _on_nack(self, message: dict[str, Any], now: float) -> list[Event]:
        code = str(message.get("code", "EPROTO"))
        text = str(message.get("text", ""))
        if code == "ENOTOPEN":
            # Before the welcome it is the answer to a ping: the open is not on disk yet.
            unknown = Reconnect("the daemon does not know this connection")
            return [unknown] if self.state is State.OPEN else []
        if code == "EBUSY" and (message.get("fatal") is True or self.state is State.OPENING):
            return [Reconnect(text or "the daemon is full", RETRY_S)]
        if code == "EIO" and self.state is State.OPENING:
            return [Reconnect(text or "the store did not take the run", RETRY_S)]
        if message.get("fatal") is True or self.state is State.OPENING:
            self.state = State.ENDED
            return [Stopped(code, text)]
        return self._on_refusal(code, text, message, now)

    def _on_refusal(self, code: str, text: str, message: dict[str, Any], now: float) -> list[Event]:
        seq = _integer(message, "seq")
        if seq is not None and code in ("EIO", "EBUSY"):
            return self._hold(seq, now)
        refused = Refused(code, text, is_batch=_integer(message, "batch") is not None)
        control = self._forget(seq)
        return [refused] if control is None else [refused, Answered(control, False)]

    def _hold(self, seq: int, now: float) -> list[Event]:
        """Send `seq` and all kept ones after it again, in order, before anything new."""
        if seq in self._kept:
            self._resend = deque(c for c in self._kept.values() if c.seq >= seq)
            self._hold_until = now + RETRY_S
        return []

    def _on_hello(self, message: dict[str, Any], now: float) -> list[Event]:
        if self.state is not State.OPENING or not self._is_follower:
            return []
        if message.get("members") is not True:
            self.state = State.ENDED
            text = "this richd is older and takes one process a run; this rank sends nothing"
            return [Stopped("EVERSION", text)]
        self._greeting.append(encode(self._open()))
        return []

    def _on_pong(self, message: dict[str, Any], now: float) -> list[Event]:
        if self.backlog is not None and self.state is State.OPEN:
            self.backlog.heard()
        return []

    def _forget(self, seq: Optional[int]) -> Optional[Control]:
        control = self._kept.pop(seq, None) if seq is not None else None
        if control is not None:
            self._done()
            if self.backlog is not None:
                self.backlog.answered(control.seq)
            if control in self._resend:
                self._resend.remove(control)
        return control

    def away_s(self, now: float) -> float:
        """How long the run has not been open at the daemon, as `is_away` knows."""
        return 0.0 if self._away_since is None else now - self._away_since

    def abandon(self) -> list[Control]:
        """Give up what was sent and is unanswered; returns it."""
        kept = list(self._kept.values())
        self._kept.clear()
        self._resend.clear()
        return kept


_HANDLERS = {
    "hello": Session._on_hello,
    "welcome": Session._on_welcome,
    "progress": Session._on_progress,
    "ack": Session._on_ack,
    "nack": Session._on_nack,
    "pong": Session._on_pong,
}


def _parse(frame: bytes) -> Optional[dict[str, Any]]:
    try:
        message = json.loads(frame)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _is_member(member: Any) -> bool:
    """Whether it may stand in a welcome: none, or a rank below its world."""
    if not isinstance(member, dict):
        return member is None
    rank, world = _integer(member, "rank"), _integer(member, "world")
    return rank is not None and world is not None and rank < world


def _integer(message: Mapping[str, Any], name: str) -> Optional[int]:
    """An integer >= 0, also given as 7.0; None when absent or something else."""
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, float) and not value.is_integer():
        return None
    return int(value) if value >= 0 else None
