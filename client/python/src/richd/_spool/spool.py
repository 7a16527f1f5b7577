"""One run's spool: takes what the sender cannot send, and gives it back when a daemon is there.

Belongs to the sender's thread. `_sender` decides when it is used; here is what is written, and what
of it is sent again. A message is read back in the order in which it was put.

            put                head, pop              answered
    RUN ----------> the file ------------> session ------------> nothing is left: the file goes
                        ^                     |
                        +------ give_back ----+    the connection ended: from the last answer on
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from richd._link.outbox import CONTROLS_MAX, Batch, Control, Item, Outbox
from richd._link.session import encode
from richd._link.descriptors import ScarceError, check_descriptors
from richd._report import Reporter
from richd._spool.file import FRAMES_MAX, PAYLOAD_MAX, SpoolFile
from richd._spool.window import Window, rows_of

#: A record is on the disk within this time.
SYNC_S = 1.0
#: One run's file; beyond it rows are left out.
BYTES_MAX = 1 << 30
#: Marks and scalars are small, and go on for so long.
CONTROLS_BYTES = 16 << 20
#: Beside the frames of a record: their lengths.
MESSAGE_BYTES = 4 * (FRAMES_MAX + 1)
#: Unanswered messages up to which the file is read: the other half is for those of the training.
READ_AHEAD_MAX = CONTROLS_MAX // 2


@dataclass(frozen=True)
class SpoolPlace:
    """Where a run's spool is, how large it may be, and whether its windows may be reduced."""

    directory: str
    bytes_max: int = BYTES_MAX
    reduces: bool = True


def default_directory() -> str:
    """RICHD_SPOOL_DIR, or `spool` beside the user's own history (proto/SPOOL.md)."""
    named = os.environ.get("RICHD_SPOOL_DIR")
    if named:
        return _absolute(named)
    home = os.path.expanduser("~")  # as it is where the user has none
    own = f"{home if home.startswith('/') else '/var/tmp'}/.local/state"
    return _absolute(f"{os.environ.get('XDG_STATE_HOME') or own}/richd/spool")


def _absolute(path: str) -> str:
    """The same when the program goes to another directory."""
    try:
        return os.path.abspath(path)
    except OSError:  # there is no working directory any more
        return path


def parse(frame: bytes) -> dict[str, Any]:
    """A control message of a file that anybody may have written. Raises ValueError."""
    try:
        message = json.loads(frame)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(message, dict):
        raise ValueError("it has no JSON object")
    return message


def _make_directory(path: str) -> None:
    """It and those above it, each for this user alone. Raises OSError."""
    if os.path.isdir(path):
        return
    if os.path.dirname(path) != path:
        _make_directory(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)


def _why_not(file: SpoolFile, size_bytes: int, bytes_max: int, is_rows: bool) -> str:
    """Why a message of this size does not go into the file; "": it does."""
    if file.size_bytes + size_bytes > bytes_max:
        return f"is full ({bytes_max >> 20} MiB)"
    if size_bytes > PAYLOAD_MAX - MESSAGE_BYTES:
        return f"takes no message over {PAYLOAD_MAX >> 20} MiB"
    if is_rows and not file.has_room(size_bytes):
        return "leaves the last of the disk to others (a twentieth of it, at most 1 GiB)"
    return ""


class Spool:
    """The file, from the first message that is put to the last answer."""

    def __init__(
        self,
        place: SpoolPlace,
        label: str,
        greeting: Callable[[], Sequence[bytes]],
        outbox: Outbox,
        reporter: Reporter,
    ) -> None:
        self.path = f"{place.directory}/{label}.spool"
        self.n_kept = 0  # messages in the file
        self.n_lost = 0  # control messages that found no place in it
        self._place = place
        self._greeting = greeting
        self._outbox = outbox
        self._reporter = reporter
        self._file: Optional[SpoolFile] = None
        self._window = Window(self._lose) if place.reduces else None
        self._synced_bytes = 0
        self._sync_at = 0.0
        self._records: Optional[Iterator[tuple[list[bytes], int]]] = None
        self._next: Optional[tuple[Item, int]] = None  # and where its record ends
        self._read_to = 0
        self._answered_to = 0  # all records before it have had their answers
        self._unanswered: deque[tuple[int, int]] = deque()  # seq, end of its record
        self._n_heard = 0  # answers to pings since a message was sent
        self._waiting: dict[int, Control] = {}  # in the file, and somebody may wait for its answer
        self._nobody_waits = False
        self._attempt = 0  # as far as the file says it
        self._has_failed = False
        self._is_adopted = False
        self._is_damaged = False

    # ---- writing ---------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """There is a file: something of the run is in it."""
        return self._file is not None

    def put_batch(self, batch: Batch) -> None:
        """Keep rows, or count them as lost."""
        messages = [batch.frames] if self._window is None else self._window.take(batch.frames)
        for frames in messages:
            self._put_rows(frames)

    def put_control(self, control: Control) -> None:
        """Keep a control message, behind the rows of its window where it ends one."""
        if control.type == "checkpoint":
            self.end_window()
        is_kept = self._append([control.frame()], self._place.bytes_max + CONTROLS_BYTES)
        if not is_kept:
            self.n_lost += 1
            self._reporter.add(controls_dropped=1)
        if is_kept and self._may_be_waited_for(control):
            self._waiting[control.seq] = control
        else:
            self._settle(control)

    def _may_be_waited_for(self, control: Control) -> bool:
        """Others leave their place among the unanswered to those of the training."""
        return control.type == "close" or (
            control.type == "checkpoint" and not self._nobody_waits
        )

    def _settle(self, control: Control) -> None:
        """Nobody hears of its answer any more."""
        self._outbox.control_done()
        control.done = True

    def note_attempt(self, attempt: int) -> None:
        """The run is open as this attempt: whoever sends the file again goes on with it."""
        self.end_window()
        if self._file is not None and attempt != self._attempt and not self._is_damaged:
            self._attempt = attempt
            note = encode({"type": "attempt", "attempt": attempt})
            self._append([note], self._place.bytes_max + CONTROLS_BYTES)
            self.sync(time.monotonic() + SYNC_S)

    def end_window(self) -> None:
        """What is held of the window's rows goes into the file."""
        for frames in self._window.end() if self._window is not None else ():
            self._put_rows(frames)

    def _put_rows(self, frames: Sequence[Any]) -> None:
        if not self._append(frames, self._place.bytes_max, is_rows=True):
            self._lose(rows_of(frames))

    def _lose(self, n_rows: int) -> None:
        self._reporter.add(batches_dropped=1, rows_dropped=n_rows)

    def _append(self, frames: Sequence[Any], bytes_max: int, is_rows: bool = False) -> bool:
        try:
            file = self._file or self._begin()
            size_bytes = sum(memoryview(frame).nbytes for frame in frames)
            why_not = _why_not(file, size_bytes, bytes_max, is_rows)
            if why_not:
                text = f"{self.path} {why_not}: rows are left out"
                self._reporter.warn("spool full", text, raises=False)
                return False
            file.append(frames)
        except ScarceError:
            return False  # of descriptors, as the sender says
        except OSError as error:
            self._has_failed = True
            text = f"nothing can be kept in {self.path}: {error.strerror}"
            self._reporter.warn("spool", text, raises=False)
            return False
        self.n_kept += 1
        return True

    def _begin(self) -> SpoolFile:
        check_descriptors(1)
        _make_directory(self._place.directory)
        file = SpoolFile.create(self.path)
        try:
            hello, opening = self._greeting()
            fields: dict[str, Any] = {**json.loads(opening), "time": time.time()}
            file.append([hello, encode(fields)])
        except OSError:
            file.remove()
            raise
        self._attempt = fields.get("attempt", 0)
        self._start_reading(file)
        return file

    @property
    def fate(self) -> str:
        """What becomes of what no daemon takes, as the end of a warning."""
        if self._is_adopted:
            return f"{self.path} stays"
        if self._has_failed:
            return "training goes on, but not all of it can be kept"
        kept = f"it is kept until one is there, or for richd.replay({self.path!r})"
        return f"training goes on, {kept}"

    @property
    def has_failed(self) -> bool:
        """Not all could be kept, as was said."""
        return self._has_failed

    def adopt(self, file: SpoolFile, attempt: int) -> None:
        """Send what is in a file that another process left."""
        if file.damaged_bytes:
            self._say_damaged(file.size_bytes, file.damaged_bytes)
        self._is_adopted = True
        self._attempt = attempt
        self._start_reading(file)

    def _start_reading(self, file: SpoolFile) -> None:
        self._file = file
        self._records = file.records()
        _, self._read_to = next(self._records)  # the greeting is the session's to send
        self._answered_to = self._read_to

    def sync(self, now: float) -> None:
        """Once a second what is new is brought to the disk."""
        if self._file is None or self._file.size_bytes == self._synced_bytes or now < self._sync_at:
            return
        self._sync_at = now + SYNC_S
        try:
            self._file.sync()
            self._synced_bytes = self._file.size_bytes
        except OSError as error:
            text = f"{self.path} is not on the disk: {error.strerror}"
            self._reporter.warn("spool", text, raises=False)

    def note_absence(self, is_absent: bool = True) -> None:
        """While no daemon is there nobody waits for an answer, but for that to the `close`."""
        self._nobody_waits = is_absent
        if is_absent:
            self._settle_all(lambda control: control.type != "close")

    def _settle_all(self, is_over: Callable[[Control], bool]) -> None:
        for control in [one for one in self._waiting.values() if is_over(one)]:
            self._settle(self._waiting.pop(control.seq))

    def close(self) -> None:
        """The run ends. What is in the file stays there."""
        self.end_window()
        self._settle_all(lambda control: True)
        self.sync(time.monotonic() + SYNC_S)
        if self._file is not None:
            self._file.close()
            self._file = None

    # ---- reading back ----------------------------------------------------------------------------

    @property
    def answered_part(self) -> float:
        """How much of the file has its answers, from 0 to 1."""
        file = self._file
        return self._answered_to / file.size_bytes if file is not None else 1.0

    @property
    def has_more(self) -> bool:
        """There is something to send before anything else."""
        return self._file is not None and self._read_to < self._file.size_bytes

    def head(self) -> Optional[Item]:
        """The next message, or None while there is no room for it."""
        if self._next is None and self._outbox.controls < READ_AHEAD_MAX:
            self._next = self._read()
        return self._next[0] if self._next is not None else None

    def _read(self) -> Optional[tuple[Item, int]]:
        """The next message, and where its record ends."""
        assert self._records is not None
        for frames, end in self._records:
            try:
                item = self._item_of(frames)
            except ValueError:
                break
            if item is not None:
                return item, end
            self._read_to = end
        if self.has_more:
            self._give_up()
        return None

    def _item_of(self, frames: list[bytes]) -> Optional[Item]:
        """What a record is sent as; None of what is for readers of the file alone.

        Raises ValueError for a message that is none.
        """
        if not frames[0].startswith(b"{"):
            size_bytes = sum(map(len, frames))
            self._outbox.take(size_bytes)
            return Batch(0, frames, size_bytes)
        message = parse(frames[0])
        type_, seq = message.get("type"), message.get("seq")
        if type_ == "attempt":
            return None
        if not isinstance(type_, str) or not isinstance(seq, int):
            raise ValueError("it has no type and seq")
        control = self._waiting.pop(seq, None)
        if control is None:
            self._outbox.take_control()
            control = Control(type_, seq, frames[0])
        return control

    def _give_up(self) -> None:
        """The file can no longer be read here; what it has is as it is."""
        assert self._file is not None
        self._say_damaged(self._read_to, self._file.size_bytes - self._read_to)
        self._read_to = self._file.size_bytes

    def _say_damaged(self, at: int, n_bytes: int) -> None:
        """Nothing is written to such a file, and it is not removed."""
        self._is_damaged = True
        text = f"{self.path} is damaged at byte {at} and stays: {n_bytes} bytes are not sent"
        self._reporter.warn("spool damaged", text, raises=False)

    def pop(self) -> Item:
        """Take what `head` returned: it is sent."""
        assert self._next is not None
        item, self._read_to = self._next
        self._next = None
        self._n_heard = 0
        if isinstance(item, Control):
            self._unanswered.append((item.seq, self._read_to))
        return item

    def answered(self, seq: int) -> None:
        """The message has its answer; without another one that waits the file is removed."""
        if self._unanswered and self._unanswered[0][0] == seq:  # as nearly always
            _, self._answered_to = self._unanswered.popleft()
        else:
            self._unanswered = deque(pair for pair in self._unanswered if pair[0] != seq)
        self.remove_if_done()

    def heard(self) -> None:
        """A ping has its answer; the second one was sent behind all that was sent before the first.

        So a file that ends with rows has served, though these have no answer of their own.
        """
        self._n_heard += 1
        if self._n_heard >= 2:
            self.remove_if_done()

    def remove_if_done(self) -> None:
        """When all of it is sent, and has its answers, the file has served."""
        if self._file is not None and not self._unanswered and not self.has_more:
            self._remove()

    def _remove(self) -> None:
        assert self._file is not None
        try:
            if self._is_damaged:
                self._file.close()
            else:
                self._file.remove()
        except OSError as error:
            self._reporter.warn("spool", f"{self.path} stays: {error.strerror}", raises=False)
        self._file = self._records = None
        self._has_failed = False
        self.n_kept = self._synced_bytes = 0

    def give_back(self, kept: Sequence[Control]) -> None:
        """The connection ended: these were sent and not answered, and are sent again from here."""
        from_file = {seq for seq, _ in self._unanswered}
        if self._next is not None and isinstance(self._next[0], Control):
            self._waiting[self._next[0].seq] = self._next[0]
        elif self._next is not None:
            self._outbox.release(self._next[0].size_bytes)  # type: ignore[union-attr]
        for control in kept:
            if control.seq in from_file:
                self._waiting[control.seq] = control
            else:
                self.put_control(control)
        self._next = None
        self._unanswered.clear()
        if self._file is not None:
            self._read_to = self._answered_to
            self._records = self._file.records(self._answered_to)
