"""The queue between the training loop and the sender, bounded in bytes and in messages.

The training thread puts, the sender thread takes; every method may be called from any thread and
holds its lock for a few instructions only. `_session` decides what is sent when; `_intake`
makes the frames.

Bytes are counted from `reserve` until the sender reports that ZeroMQ has let go of the buffers,
so the bound holds for memory, and not only for what waits here.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

#: Room for a few batches of a wide layer, little beside a training process.
BYTES_MAX = 64 << 20
#: A batch object costs about 1 KiB beside its frames: 16 MiB at most.
BATCHES_MAX = 16384
#: Rows that wait are sent at once from here on, fewer within 20 ms. It is half of a core's cache:
#: memory that is free again soon is still in it when the next rows are copied there.
URGENT_BYTES = 1 << 20
#: What the daemon holds for one run without an acknowledgement (proto/INGEST.md).
CONTROLS_MAX = 4096


@dataclass
class Batch:
    """A data message: the frames as they go out, `size_bytes` their sum; rows of all its layers."""

    n_rows: int
    frames: Sequence[Any]
    size_bytes: int
    #: Each blocks until a frame's memory is filled: copies off a GPU are in flight.
    waits: Sequence[Callable[[], None]] = ()
    #: Whether they would return at once. The batch, and what is behind it, is not sent before.
    is_ready: Callable[[], bool] = lambda: True


@dataclass
class Control:
    """A control message that is kept until the daemon acknowledges it."""

    type: str
    seq: int
    payload: bytes
    #: The points of an acknowledged checkpoint, as JSON objects; None before the answer.
    points: Optional[Sequence[dict[str, Any]]] = None
    acknowledged: bool = False
    #: The answer is there, or there will be none.
    done: bool = False
    #: When the training put it, on time.monotonic's clock.
    put_at: float = field(default_factory=time.monotonic)
    #: Makes the payload with values that a device still computes; blocks until they are there.
    late: Optional[Callable[[], bytes]] = None

    def frame(self) -> bytes:
        """What is sent. Called by the sender; without the late values where they cannot be had."""
        late, self.late = self.late, None
        if late is not None:
            with contextlib.suppress(Exception):
                self.payload = late()
        return self.payload


Item = Union[Batch, Control]


class Outbox:
    """First in, first out: a checkpoint never overtakes the batches put before it."""

    def __init__(
        self,
        bytes_max: int = BYTES_MAX,
        batches_max: int = BATCHES_MAX,
        controls_max: int = CONTROLS_MAX,
    ) -> None:
        self.bytes_max = bytes_max
        self.batches_max = batches_max
        self.controls_max = controls_max
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._batches = 0
        self._controls = 0
        self._closed = False
        self._urgent = min(URGENT_BYTES, bytes_max // 4)
        self._weight = 0  # of what waits; a control message has that of urgent rows

    def reserve(self, size_bytes: int) -> bool:
        """Take room for one batch, before its rows are copied; False when there is none."""
        with self._lock:
            full = self._bytes + size_bytes > self.bytes_max or self._batches >= self.batches_max
            if full or self._closed:
                return False
            self._bytes += size_bytes
            self._batches += 1
            return True

    def take(self, size_bytes: int) -> None:
        """Room for a batch that comes back from the disk: one at a time, whatever there is."""
        with self._lock:
            self._bytes += size_bytes
            self._batches += 1

    def take_control(self) -> None:
        """A control message that comes back from the disk is unanswered again."""
        with self._lock:
            self._controls += 1

    def release(self, size_bytes: int) -> None:
        """Give back the room of one batch that is gone."""
        with self._lock:
            self._bytes -= size_bytes
            self._batches -= 1

    def put_batch(self, batch: Batch) -> None:
        """Append a batch whose room was reserved."""
        with self._lock:
            self._items.append(batch)
            self._weight += self._weight_of(batch)

    def put_control(
        self, make: Callable[[], Control], is_last: bool = False
    ) -> Optional[Control]:
        """Append the control message that `make` returns, or None when 4,096 are unanswered.

        The last message of a run is taken beyond them: it goes out when the others are answered.

        `make` is only called when there is room, so that a refused message uses up no number.
        """
        with self._lock:
            if self._closed or (self._controls >= self.controls_max and not is_last):
                return None
            control = make()
            self._controls += 1
            self._items.append(control)
            self._weight += self._weight_of(control)
            return control

    def control_done(self) -> None:
        """One control message has had its answer."""
        with self._lock:
            self._controls -= 1

    def head(self) -> Optional[Item]:
        """What goes out next, left where it is."""
        with self._lock:
            return self._items[0] if self._items else None

    def pop(self) -> Item:
        """Take what `head` returned."""
        with self._lock:
            item = self._items.popleft()
            self._weight -= self._weight_of(item)
            return item

    def _weight_of(self, item: Item) -> int:
        return item.size_bytes if isinstance(item, Batch) else self._urgent

    def close(self) -> list[Item]:
        """Refuse all that comes from now on; returns what still waited."""
        with self._lock:
            self._closed = True
            items = list(self._items)
            self._items.clear()
            return items

    @property
    def closed(self) -> bool:
        """Nothing is taken any more: the run has ended."""
        return self._closed

    @property
    def is_urgent(self) -> bool:
        """A control message waits to be sent, or a lot of rows."""
        return self._weight >= self._urgent

    @property
    def is_half_full(self) -> bool:
        """Much waits: in bytes, in batches or in control messages."""
        return (
            self._bytes > self.bytes_max // 2
            or self._batches > self.batches_max // 2
            or self._controls > self.controls_max // 2
        )

    @property
    def is_answered(self) -> bool:
        """Nothing waits to be sent, and no control message for its answer."""
        with self._lock:
            return not self._items and not self._controls

    @property
    def controls(self) -> int:
        """Control messages without an answer."""
        return self._controls

    @property
    def size_bytes(self) -> int:
        """Bytes of all batches that are waiting or in ZeroMQ's hands."""
        return self._bytes
