"""The rows of a window that go to a spool, or over a slow way: as they are, or as their moments.

Belongs to the sender's thread. Rows are held while they are fewer bytes than their layers' moments
(proto/INGEST.md, kind 2), so what waits here is never more than these; then moments take their
place. Rows with targets, weights or a head have no moments and go through as they are; so do
those that come faster than this thread may reduce them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from richd._link import wire as _wire
from richd._torch.sums import Shape
from richd._values.moments import Moments

#: What reducing may take of the processor since the spool began, and what it may take at once.
SHARE = 0.05
AT_ONCE_S = 0.5
#: Rows of a window that are kept as they are in any case: they have error bars, moments have none.
ROWS_BYTES = 256 << 10
_NUMPY = {_wire.DTYPE_F32: np.float32, _wire.DTYPE_F64: np.float64, _wire.DTYPE_F16: np.float16}


@dataclass
class _Layer:
    """One layer's moments since the last mark, and the header of the last rows in them."""

    moments: Moments
    last: _wire.Header


class Window:
    """Takes data messages, gives those to keep. `lose` is told of rows that are not finite.

    Rows of at most `rows_bytes` are kept as they are in any case.
    """

    def __init__(self, lose: Callable[[int], None], rows_bytes: int = ROWS_BYTES) -> None:
        self._lose = lose
        self._rows_bytes = rows_bytes
        self._held: list[Sequence[Any]] = []
        self._held_bytes = 0
        self._layers: dict[bytes, _Layer] = {}
        self._names: set[bytes] = set()  # of the layers whose rows are held or reduced
        self._began_at = time.monotonic()
        self._spent_s = 0.0

    def take(self, frames: Sequence[Any], moments_max: int = 1 << 62) -> list[Sequence[Any]]:
        """The messages to keep now for this one: itself, or none while it is held or reduced.

        Rows whose moments are of more than `moments_max` bytes go through as they are.
        """
        headers = _headers(frames)
        if not _is_reducible(headers[-1]) or _moments_bytes(headers) > moments_max:
            return [*(self.end() if self._has_any(frames, headers) else ()), frames]
        self._names.update(bytes(frames[3 * i + 1]) for i in range(len(headers)))
        size_bytes = sum(memoryview(frame).nbytes for frame in frames)
        limit = max(self._rows_bytes, _moments_bytes(headers))
        if not self._layers and self._held_bytes + size_bytes <= limit:
            self._held.append([bytes(frame) for frame in frames])  # what it lends is given back
            self._held_bytes += size_bytes
            return []
        if self._has_spent_much():
            return [*self.end(), frames]
        held, self._held, self._held_bytes = self._held, [], 0
        for message in (*held, frames):
            self._reduce(message)
        return []

    def _has_spent_much(self) -> bool:
        return self._spent_s > SHARE * (time.monotonic() - self._began_at) + AT_ONCE_S

    def _has_any(self, frames: Sequence[Any], headers: Sequence[_wire.Header]) -> bool:
        """Whether rows of its layers are held, which have to go before it."""
        return any(bytes(frames[3 * i + 1]) in self._names for i in range(len(headers)))

    def end(self) -> list[Sequence[Any]]:
        """The window ends: what is left of it to keep."""
        held, self._held, self._held_bytes = self._held, [], 0
        layers, self._layers = self._layers, {}
        self._names.clear()
        reduced = [(name, layer) for name, layer in layers.items() if layer.moments.rows]
        return [*held, *(_message(name, layer) for name, layer in reduced)]

    def _reduce(self, frames: Sequence[Any]) -> None:
        headers = _headers(frames)
        began = time.thread_time()
        outputs = _matrix(frames[3 * len(headers)], headers[-1].outputs_dtype)
        outputs = outputs.reshape(headers[-1].n_rows, headers[-1].n_outputs)
        for i, header in enumerate(headers):
            name, features = bytes(frames[3 * i + 1]), frames[3 * i + 2]
            layer = self._layers.setdefault(name, _Layer(Moments(), header))
            rows = _matrix(features, header.features_dtype)
            rows = rows.reshape(header.n_rows, header.n_features)
            if np.isfinite(rows).all() and np.isfinite(outputs).all():
                layer.moments.update(rows, outputs)
            else:
                self._lose(header.n_rows)
            layer.last = header
        self._spent_s += time.thread_time() - began


def rows_of(frames: Sequence[Any]) -> int:
    """How many rows a data message has, over its layers."""
    headers = _headers(frames)
    return headers[0].n_rows * len(headers)


def _headers(frames: Sequence[Any]) -> list[_wire.Header]:
    """Those of the message's layers; n_more of the first says how many there are."""
    first = _wire.Header.decode(bytes(frames[0]))
    rest = [_wire.Header.decode(bytes(frames[3 * i])) for i in range(1, first.n_more + 1)]
    return [first, *rest]


def _is_reducible(header: _wire.Header) -> bool:
    return (
        header.kind == _wire.KIND_ROWS
        and header.n_rows > 0
        and header.outputs_dtype != _wire.DTYPE_NONE
        and header.targets_dtype == _wire.DTYPE_NONE
        and header.weights_dtype == _wire.DTYPE_NONE
        and Shape(header.n_features, header.n_outputs).fits
    )


def _moments_bytes(headers: Sequence[_wire.Header]) -> int:
    """What the moments of these layers take in the file, in double."""
    total = 0
    for header in headers:
        p, c = header.n_features, header.n_outputs
        total += 8 * (p * (p + 1) // 2 + p * c + c * c + 2 * p + c + 1)
    return total


def _matrix(frame: Any, dtype: int) -> np.ndarray:
    if dtype == _wire.DTYPE_BF16:
        wide = np.frombuffer(frame, np.uint16).astype(np.uint32) << 16
        return wide.view(np.float32)
    return np.frombuffer(frame, _NUMPY[dtype])


def _message(name: bytes, layer: _Layer) -> Sequence[Any]:
    """One message of the layer's moments, in the place of its last rows.

    It ends where they ended, so rows that were lost before or between are missing.
    """
    last, moments = layer.last, layer.moments
    frames, xx_dtype = moments.frames()
    end = last.rows_before + last.n_rows
    header = _wire.Header(
        kind=_wire.KIND_MOMENTS,
        seq=last.seq,
        step=last.step,
        rows_before=end - moments.rows,
        n_rows=moments.rows,
        n_features=last.n_features,
        n_outputs=last.n_outputs,
        features_dtype=xx_dtype,
        outputs_dtype=last.outputs_dtype,
        weights_dtype=last.features_dtype,
    )
    return [header.encode(), name, *(frame.tobytes() for frame in frames)]
