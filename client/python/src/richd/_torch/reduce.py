"""Which rows are reduced where they lie, and their sums until a checkpoint takes them.

Called by the threads that run the model, in hooks, and by the training thread at checkpoints; a
lock keeps them apart, and nobody waits for the device. `_sums` has the sums, `_lane` the stream,
`Run` sends.

In a window rows count once: a call's rows are sent or reduced, never both, and the daemon adds what
it gets. So a layer may change between the two from one checkpoint to the next.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from richd._link import wire as _wire
from richd._torch import products as _products
from richd._torch.lane import Lane, lane_of
from richd._torch.sums import Shape, Sums

#: What `Run.watch(reduce=)` may be.
REDUCE = ("auto", "device", "rows")
#: "auto" reduces where the rows of the last window took more bytes than their moments, and goes
#: back where they took less than this part of it.
_BACK = 0.5
#: Rows of a layer that wait for more before they are summed up: each sum takes some 30 operations,
#: 0.1 ms of the training thread, whatever the number of rows.
_GATHER_BYTES = 4 << 20
#: "auto" keeps sums on a device in at most this part of its memory.
_PART_OF_DEVICE = 64


@dataclass
class Reduced:
    """A layer's moments of one window, on their way to the host.

    Attributes:
        n_outputs: the layer's, also where a head makes them and `shape` has none.
        features_dtype, outputs_dtype: the coarsest formats of the rows.
        n_rows: rows that were offered to the sums.
        n_dropped: rows that the device had no room for.
        wait: returns when the frames are filled; None: they are.
    """

    layer: str
    shape: Shape
    n_outputs: int
    features_dtype: int
    outputs_dtype: int
    n_rows: int
    n_dropped: int
    xx: Any = None
    rest: Any = None
    wait: Optional[Callable[[], None]] = None

    @property
    def n_taken(self) -> int:
        """Rows in the moments, which are those that were finite; known after `wait`."""
        return int(self.rest[0])

    def frames(self) -> list[np.ndarray]:
        """Those of INGEST.md, kind 2: they share memory with what is on its way."""
        _, m, k, xy, yy, last = self.shape.split(self.rest)
        return [m, k, self.xx, xy, yy, last] if self.shape.n_outputs else [m, self.xx, last]


class _Layer:
    """A layer's rows of this window, and where they go."""

    def __init__(self, shape: Shape, n_outputs: int, lane: Lane, device: Any) -> None:
        self.shape = shape
        self.n_outputs = n_outputs
        self.lane = lane
        self.device = device
        self.is_reduced = False
        self.sums: Optional[Sums] = None
        self.features_dtype = self.outputs_dtype = _wire.DTYPE_NONE
        self.n_rows = self.n_dropped = self.row_bytes = 0
        self._gathered: list[list[Any]] = []
        self._since: list[Any] = []
        self._gathered_bytes = 0

    def add(self, features: Any, outputs: Any) -> None:
        """Take rows (n, p) and (n, C), which are summed up when there are enough of them."""
        self.n_rows += len(features)
        self.features_dtype = _coarser(self.features_dtype, features)
        if outputs is not None:
            self.outputs_dtype = _coarser(self.outputs_dtype, outputs)
        parts = _given(features, outputs)
        self._gathered.append(parts)
        self._since.append(self.lane.now())  # other threads may have streams of their own
        self._gathered_bytes += sum(t.numel() * t.element_size() for t in parts)
        if self._gathered_bytes >= _GATHER_BYTES:
            self._sum_up()

    def _sum_up(self) -> None:
        """Behind what the training stream had when the rows came."""
        import torch

        gathered, since = self._gathered, self._since
        self._gathered, self._since, self._gathered_bytes = [], [], 0
        if not gathered:
            return
        with self.lane.behind_training(*(t for parts in gathered for t in parts), since=since):
            if self.sums is None:
                is_double = _products.is_double_fast(self.device)
                self.sums = Sums(self.shape, self.device, is_double)
            features, *outputs = (torch.cat(parts) for parts in zip(*gathered))
            self.sums.add(features, outputs[0] if outputs else None)

    def give_up(self) -> None:
        """The sums are wrong: their rows are lost."""
        self.sums = None
        self._gathered, self._since, self._gathered_bytes = [], [], 0
        self.n_rows, self.n_dropped = 0, self.n_dropped + self.n_rows

    def take(self, name: str) -> Optional[Reduced]:
        """The window's moments; None without a row."""
        self._sum_up()
        n_rows, n_dropped, self.n_rows, self.n_dropped = self.n_rows, self.n_dropped, 0, 0
        if n_rows + n_dropped == 0:
            return None
        dtypes = self.features_dtype, self.outputs_dtype
        reduced = Reduced(name, self.shape, self.n_outputs, *dtypes, n_rows, n_dropped)
        if self.sums is not None and n_rows > 0:
            with self.lane.behind_training():
                (reduced.xx, reduced.rest), reduced.wait = self.lane.to_host(self.sums.take())
        return reduced


class Reducer:
    """The layers of a run whose rows may be reduced on their device."""

    def __init__(self) -> None:
        self._has_failed = False
        self._lock = threading.Lock()
        self._layers: dict[str, _Layer] = {}
        self._lanes: dict[Any, Optional[Lane]] = {}

    def take(self, reduce: str, layer: str, features: Any, outputs: Any, head: Any = None) -> bool:
        """Take rows (n, p) and (n, C), which nobody writes into; False: they are to be sent.

        Without outputs, `head` is the weight (C, p) that makes them.

        Raises what torch raises, as where the device has no memory left: this call's rows are lost,
        and all rows are sent from then on.
        """
        if reduce == "rows" or self._has_failed:
            return False
        if reduce == "auto" and not _is_on_gpu(features):
            return False
        given = _given(features, outputs)
        size = sum(t.numel() * t.element_size() for t in given)
        with self._lock:
            state = self._layer(layer, given, head)
            if state is None:
                return False
            state.row_bytes += size
            if not (state.is_reduced or reduce == "device"):
                return False
            if not state.lane.has_room(size):
                state.n_dropped += len(features)
                return True
            try:
                state.add(features, outputs)
            except Exception:
                self._has_failed = True
                state.give_up()
                raise
            return True

    def _layer(self, name: str, given: list[Any], head: Any) -> Optional[_Layer]:
        """The layer's state; None where its rows cannot be reduced."""
        n_features, n_sent = given[0].shape[1], sum(t.shape[1] for t in given[1:])
        shape, device = Shape(n_features, n_sent), given[0].device
        n_outputs = n_sent or int(head.shape[0])
        if name not in self._layers:
            lane = self._lane(device)
            if lane is None or not shape.fits:
                return None
            self._layers[name] = _Layer(shape, n_outputs, lane, device)
        state = self._layers[name]
        same = (state.shape, state.n_outputs, state.device) == (shape, n_outputs, device)
        return state if same and all(t.device == device for t in given) else None

    def _lane(self, device: Any) -> Optional[Lane]:
        if device not in self._lanes:
            self._lanes[device] = lane_of(device)
        return self._lanes[device]

    def layers(self) -> list[str]:
        """Those that have sums, or had."""
        with self._lock:
            return list(self._layers)

    def flush(self, name: str) -> Optional[Reduced]:
        """The moments of a layer's window, None without a row; a new window begins.

        Raises as `take` does; then the window's rows are lost, and the next one counts them.
        """
        with self._lock:
            state = self._layers[name]
            try:
                reduced = state.take(name)
            except Exception:
                self._has_failed = True
                state.give_up()
                raise
            self._decide(state)
        return reduced

    def forget(self) -> int:
        """Free the memory on the devices; returns how many rows no checkpoint took."""
        with self._lock:
            n_rows = sum(state.n_rows + state.n_dropped for state in self._layers.values())
            self._layers.clear()
            self._lanes.clear()
        return n_rows

    def _decide(self, state: _Layer) -> None:
        """Where "auto" has the rows of the next window: on the cheaper side of this one."""
        row_bytes, state.row_bytes = state.row_bytes, 0
        moments_bytes = state.shape.travel_bytes
        if state.is_reduced:
            state.is_reduced = row_bytes >= _BACK * moments_bytes
        elif row_bytes > moments_bytes:
            state.is_reduced = self._has_memory_for(state)

    def _has_memory_for(self, state: _Layer) -> bool:
        import torch

        if state.device.type != "cuda":
            return True
        held = sum(s.shape.held_bytes for s in self._layers.values() if s.sums or s is state)
        total = torch.cuda.get_device_properties(state.device).total_memory
        return held <= total // _PART_OF_DEVICE


def _is_on_gpu(tensor: Any) -> bool:
    return tensor.device.type == "cuda"


def _given(features: Any, outputs: Any) -> list[Any]:
    return [features] if outputs is None else [features, outputs]


def _coarser(code: int, values: Any) -> int:
    """The format with fewer digits of a code and the values': it decides their rank."""
    import torch

    codes = {
        torch.float64: _wire.DTYPE_F64,
        torch.float32: _wire.DTYPE_F32,
        torch.float16: _wire.DTYPE_F16,
        torch.bfloat16: _wire.DTYPE_BF16,
    }
    order = (_wire.DTYPE_NONE, *codes.values())
    return max(code, codes.get(values.dtype, _wire.DTYPE_F64), key=order.index)
