"""What a run offers, numbered and queued in one order: batches, heads and control messages.

Called by the training thread, or several of them. It splits rows into batches, copies them, and
counts those that find no room. `_rows` says what fits together, `_sender` sends.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, Union

import numpy as np

from richd._link import outbox as _outbox, wire as _wire
from richd._torch import head_device as _head_device
from richd._torch.lane import Lane, lane_of
from richd._torch.reduce import Reduced
from richd._values import arrays as _arrays, head as _head
from richd._values.moments import Moments
from richd._link.outbox import Batch, Control, Outbox
from richd._report import Reporter
from richd._values.rows import Offer
from richd._values.triangle import Triangle
from richd._link.session import encode

#: Larger batches are split by rows: the daemon folds the first part while the next one travels.
BATCH_BYTES_MAX = 4 << 20


@dataclass
class _Layer:
    """What was offered to one layer in this attempt, dropped batches included."""

    seq: int = 0
    rows: int = 0
    thinned: int = 0  # left out evenly: in no batch, and not among `rows`


@dataclass
class _Triangle:
    """A head's triangle, packed, and what waits until it is there, as `Staged` has it."""

    values: np.ndarray
    wait: Optional[Callable[[], None]] = None
    is_ready: Optional[Callable[[], bool]] = None


class _Start:
    """What goes before a layer's frames: its name, and its header but for the numbers.

    Raises ValueError before anything is numbered: a batch that cannot be sent was never offered.
    """

    def __init__(self, layer: str, fields: dict[str, int]) -> None:
        self.layer = layer
        self.fields = fields
        self.name = _wire.check_layer_name(layer)
        self.size_bytes = _wire.HEADER_SIZE + len(self.name)
        self._form = _wire.Form(**fields)

    def header(self, state: _Layer, step: int, n_rows: int) -> Union[bytes, bytearray]:
        """The header of the layer's next batch."""
        return self._form.encode(state.seq + 1, step, state.rows, n_rows)


class _LateStart(_Start):
    """Of a message whose rows are counted on a device: the header waits for their number."""

    def header(self, state: _Layer, step: int, n_rows: int) -> bytearray:
        self._made = bytearray(super().header(state, step, n_rows))
        return self._made

    def set_rows(self, n_rows: int) -> None:
        """Only so many rows are in the message."""
        self._made[_wire.N_ROWS_AT] = n_rows.to_bytes(4, "little")


class Intake:
    """One attempt's numbers, and the way into its outbox. `sender` is woken for what is queued."""

    def __init__(self, outbox: Outbox, reporter: Reporter, sender: Any) -> None:
        self._outbox = outbox
        self._reporter = reporter
        self._sender = sender
        self._lock = threading.Lock()  # numbers are given and messages queued in one order
        self._layers: dict[str, _Layer] = {}
        self._starts: dict[str, _Start] = {}  # the last of each layer: most are alike
        self._heads: dict[str, _head.Head] = {}
        self._lanes: dict[Any, Optional[Lane]] = {}  # by the device of heads
        self._late: dict[str, Triangle] = {}  # by layer: heads computed beside the training
        self._copies_heads = False  # for one was torn
        self._control_seq = 0

    @property
    def is_empty(self) -> bool:
        """Whether no layer was ever offered a row."""
        return not self._layers

    def marks(self) -> dict[str, dict[str, int]]:
        """Of each layer the last batch's number and the rows offered, as a checkpoint says them.

        Called by the maker of a control message, which stands in the same order.
        """
        return {
            name: {"seq": v.seq, "rows": v.rows, **({"thinned": v.thinned} if v.thinned else {})}
            for name, v in self._layers.items()
        }

    # ---- rows ------------------------------------------------------------------------------------

    def put_rows(self, offer: Offer, step: int) -> None:
        """Split into batches of at most 4 MiB and queue each, or count it as dropped."""
        starts = []
        for i, (layer, part) in enumerate(offer.layers.items()):
            own = {"n_features": part.n_columns, "features_dtype": part.dtype}
            n_more = len(offer.layers) - 1 - i
            starts.append(self._start(layer, {**offer.fields, **own, "n_more": n_more}))
        if offer.head is not None:
            self._keep_heads(offer)
        parts = [*offer.layers.values(), *offer.shared]
        n, size = parts[0].n_rows, sum(map(_arrays.row_bytes, parts))
        rows_a_batch = max(1, BATCH_BYTES_MAX // size)
        for first in range(0, n, rows_a_batch):
            stop = min(n, first + rows_a_batch)
            room = sum(start.size_bytes for start in starts) + (stop - first) * size
            if not self._outbox.reserve(room):
                self._count_dropped(starts, stop - first)
                continue
            try:
                staged = [part.stage(first, stop, offer.copy) for part in parts]
            except BaseException:
                self._outbox.release(room)
                raise
            self._queue(starts, step, stop - first, staged, room)

    @property
    def room_bytes(self) -> int:
        """What the queue still takes."""
        return max(0, self._outbox.bytes_max - self._outbox.size_bytes)

    def put_drawn(self, offer: Offer, step: int, n_thinned: int) -> None:
        """Queue rows for which so many more were left out, which the next checkpoint tells."""
        self.put_rows(offer, step)
        with self._lock:
            for layer in offer.layers:
                self._layers.setdefault(layer, _Layer()).thinned += n_thinned

    def _start(self, layer: str, fields: dict[str, int]) -> _Start:
        start = self._starts.get(layer)
        if start is None or start.fields != fields:
            start = self._starts[layer] = _Start(layer, fields)
        return start

    def put_moments(self, layer: str, moments: Moments, step: int) -> None:
        """Queue a layer's reduced rows as one batch, or count it as dropped."""
        if moments.rows > _wire.ROWS_MAX:
            raise ValueError(f"{moments.rows} rows are more than a message can count")
        arrays, xx_dtype = moments.frames()
        fields = {
            "kind": _wire.KIND_MOMENTS,
            "n_features": moments.n_features,
            "n_outputs": moments.n_outputs,
            "features_dtype": xx_dtype,
            "outputs_dtype": moments.outputs_dtype,
        }
        start = _Start(layer, fields)
        room = start.size_bytes + sum(a.nbytes for a in arrays)
        if not self._outbox.reserve(room):
            self._count_dropped([start], moments.rows)
            return
        # Moments never writes into its arrays, it replaces them: lending them is safe.
        staged = [_arrays.Staged(_arrays.frame_of(a)) for a in arrays]
        self._queue([start], step, moments.rows, staged, room)

    def put_reduced(self, reduced: Reduced, step: int) -> None:
        """Queue the moments that are on their way from a device, or count their rows as dropped."""
        if reduced.n_rows > _wire.ROWS_MAX:
            raise ValueError(f"{reduced.n_rows} rows are more than a message can count")
        fields = {
            "kind": _wire.KIND_MOMENTS,
            "n_features": reduced.shape.n_features,
            "n_outputs": reduced.n_outputs,
            "features_dtype": reduced.shape.xx_dtype,
            "outputs_dtype": reduced.outputs_dtype,
            "weights_dtype": reduced.features_dtype,
        }
        start = _LateStart(reduced.layer, fields)
        room = start.size_bytes + reduced.shape.travel_bytes
        is_sent = reduced.n_rows > 0 and self._outbox.reserve(room)
        n_dropped = reduced.n_dropped + (0 if is_sent else reduced.n_rows)
        if n_dropped:
            self._count_dropped([start], n_dropped)
        if is_sent:
            staged = [_arrays.Staged(_arrays.frame_of(frame)) for frame in reduced.frames()]
            staged[0].wait_filled = lambda: self._fill(start, reduced)
            self._queue([start], step, reduced.n_rows, staged, room)

    def _fill(self, start: _LateStart, reduced: Reduced) -> None:
        """Called by the sender: wait for the copy, and say how many rows are in it."""
        if reduced.wait is not None:
            reduced.wait()
        left_out = reduced.n_rows - reduced.n_taken
        if left_out:
            start.set_rows(reduced.n_taken)
            text = f"{left_out} rows of {reduced.layer} are left out: they are not finite"
            self._reporter.warn(f"finite {reduced.layer}", text, raises=False)

    def _queue(
        self,
        starts: Sequence[_Start],
        step: int,
        n_rows: int,
        staged: Sequence[_arrays.Staged],
        room: int,
        counted: bool = True,
    ) -> None:
        """`staged` begins with a frame a layer, the rest is shared. Counts rows if `counted`."""
        waits = [s.wait_filled for s in staged if s.wait_filled is not None]
        ready = [s.is_ready for s in staged if s.is_ready is not None]
        n_counted = n_rows if counted else 0
        frames: list[Any] = []
        with self._lock:
            for start, own in zip(starts, staged):
                state = self._layers.setdefault(start.layer, _Layer())
                frames += (start.header(state, step, n_rows), start.name, own.frame)
                state.seq += 1
                state.rows += n_counted
            frames += [s.frame for s in staged[len(starts) :]]
            batch = Batch(n_counted * len(starts), frames, room, waits, *ready)
            self._outbox.put_batch(batch)
        self._reporter.add(rows_offered=n_counted * len(starts))
        self._sender.wake()

    def _count_dropped(self, starts: Sequence[_Start], n_rows: int) -> None:
        """A batch that finds no room still takes its number, so that the gap can be seen."""
        with self._lock:
            for start in starts:
                state = self._layers.setdefault(start.layer, _Layer())
                state.seq += 1
                state.rows += n_rows
        n_rows *= len(starts)
        self._reporter.add(rows_offered=n_rows, rows_dropped=n_rows, batches_dropped=1)
        if self._sender.is_connected:
            text = "rows come faster than the daemon takes them; some are dropped"
            self._reporter.warn("full", text, raises=False)

    # ---- heads -----------------------------------------------------------------------------------

    def _keep_heads(self, offer: Offer) -> None:
        """Note the weights that the next checkpoint has to send for these layers."""
        for layer, part in offer.layers.items():
            fields = {name: offer.fields[name] for name in ("n_targets", "targets_dtype")}
            self.keep_head(layer, offer.head, part.n_columns, fields)

    def keep_head(
        self, layer: str, weight: Any, n_columns: int, targets: Mapping[str, int]
    ) -> None:
        """Note the weight (C, p) that makes a layer's outputs; `targets` are header fields."""
        n_outputs, n_features = _head.shape_of(weight)
        if n_columns != n_features:
            raise ValueError(f"{n_columns} features, the head takes {n_features}")
        fields = {
            **targets,
            "kind": _wire.KIND_HEAD,
            "n_outputs": n_outputs,
            "outputs_dtype": _wire.DTYPE_NONE,
            "n_features": n_features,
        }
        self._heads[layer] = _head.Head(weight, fields)

    def put_heads(self, step: int, keep: bool, wait: bool, send: bool = True) -> None:
        """Queue the triangle of each head whose layer has rows since the last checkpoint.

        With `keep` every later checkpoint sends it again, for windows that go on. With `wait` it is
        computed in this call. Of several ranks that have the same head, one is to `send` it.

        Raises ValueError for those that cannot be sent, behind the others.
        """
        heads = dict(self._heads)
        if not keep:
            self._heads.clear()
        triangles: dict[int, Optional[_Triangle]] = {}  # splits of a layer have one head
        complaints = []
        for layer, head in heads.items() if send else ():
            try:
                if id(head.weight) not in triangles:
                    triangles[id(head.weight)] = self._triangle(layer, head.weight, wait)
                made = triangles[id(head.weight)]
                if made is not None:
                    self._put_slices(layer, step, head, made)
            except Exception as error:
                complaints.append(f"the head of {layer} is left out: {error}")
        if complaints:
            raise ValueError("; ".join(complaints))

    def _triangle(self, layer: str, weight: Any, wait: bool) -> Optional[_Triangle]:
        """A weight's triangle, packed; None where that of the last checkpoint is still computed."""
        lane = self._lane_of(weight)
        if lane is not None:
            return _Triangle(*_head_device.start(weight, lane))
        if wait or _head.is_small(weight):
            return _Triangle(_head.packed(_head.triangle(weight)))
        return self._late_triangle(layer, weight)

    def _late_triangle(self, layer: str, weight: Any) -> Optional[_Triangle]:
        """It is made by a thread, of a copy: one at a time of a layer, and of a weight.

        A layer's weight may be another object each time (`weight.detach()`).
        """
        self._copies_heads |= any(one.was_torn for one in self._late.values())
        self._late = {name: one for name, one in self._late.items() if not one.is_there()}
        if layer in self._late or any(one.weight is weight for one in self._late.values()):
            text = "a head is still computed from the checkpoint before: this point has none"
            self._reporter.warn("head", text, raises=False)
            return None
        late = Triangle(weight, self._sender.wake)
        late.start(copy=self._copies_heads or not hasattr(weight, "_version"))
        self._late[layer] = late
        return _Triangle(late.packed, late.wait, late.is_there)

    def give_up_heads(self, deadline: float = 0.0) -> None:
        """The run ends: what is behind heads that are still computed is sent without them.

        Waits for their threads until `deadline`.
        """
        for late in list(self._late.values()):
            late.give_up(deadline - time.monotonic())

    def _lane_of(self, weight: Any) -> Optional[Lane]:
        """How a weight's triangle leaves its device; None on the host, where it is computed."""
        device = getattr(weight, "device", None)
        if getattr(device, "type", None) != "cuda":
            return None
        if device not in self._lanes:
            self._lanes[device] = lane_of(device)
        return self._lanes[device]

    def _put_slices(self, layer: str, step: int, head: _head.Head, made: _Triangle) -> None:
        """A slice counts no rows; one that finds no room leaves the point without its head."""
        fields = {
            **head.fields,
            "features_dtype": _head.dtype_of(made.values),
            "weights_dtype": _head.weights_dtype_of(head.weight),
        }
        slices = _head.slices(made.values, head.fields["n_features"], BATCH_BYTES_MAX)
        for first, n_rows, values in slices:
            start = _Start(layer, {**fields, "first_row": first})
            room = start.size_bytes + values.nbytes
            if self._outbox.reserve(room):
                staged = [_arrays.Staged(_arrays.frame_of(values), made.wait, made.is_ready)]
                self._queue([start], step, n_rows, staged, room, counted=False)
            else:
                self._count_dropped([start], 0)

    # ---- control messages ------------------------------------------------------------------------

    def put_control(
        self,
        kind: str,
        fields: Callable[[], dict[str, Any]],
        is_last: bool = False,
        late: Optional[Callable[[], dict[str, Any]]] = None,
    ) -> Optional[Control]:
        """Queue a control message behind all that was queued before it; None when it is dropped.

        The last one finds room where others do not.

        `fields` makes it, with no message between those before it and those after. `late` returns
        fields to write over these; the sender calls it, and it may block until a device has them.
        """

        def make() -> Control:
            seq = self._control_seq + 1
            message = {"type": kind, "seq": seq, **fields()}
            payload = encode(message)
            if len(payload) > _wire.CONTROL_MAX:
                raise ValueError(f"a {kind} of {len(payload)} bytes is over 1 MiB")
            self._control_seq = seq
            finish = None if late is None else lambda: encode({**message, **late()})
            return Control(kind, seq, payload, late=finish)

        with self._lock:
            control = self._outbox.put_control(make, is_last)
        if control is not None:
            self._sender.wake()
            return control
        self._reporter.add(controls_dropped=1)
        if not self._outbox.closed:
            self._reporter.warn(
                "controls", f"{_outbox.CONTROLS_MAX} messages wait for the daemon; more are dropped"
            )
        return None
