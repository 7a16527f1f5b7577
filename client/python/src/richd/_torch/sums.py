"""The sums of one layer's rows on the device where they lie; its moments leave once a window.

Used by one thread at a time, on the stream that is current: nothing here waits for the device, and
no number of it is looked at. `_reduce` decides which rows come here, `_lane` has the stream.

With V the rows of features and outputs side by side, about a shift that is the window's first row
(near the mean, so nothing cancels), v its part of the features and s_i = |v_i|^2:

    n = sum 1   f = sum V_i   g = V'V   s2 = sum s_i^2   sx = sum s_i v_i

The moments of proto/INGEST.md are about the mean, which is d = f / n away. The formulas of
`_values.moments`, solved for what is about the mean, give them from these:

    xx = g - n d d'
    sx - d tr xx - 2 xx d - n |d|^2 d
    s2 - 4 d'xx d - n |d|^4 - 4 d'(sx about the mean) - 2 |d|^2 tr xx

A row with a value that is not finite (a half-precision overflow) is left out of all sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from richd._link import wire as _wire
from richd._torch import products as _products

#: Rows that are turned into double at a time: so many bytes, and twice that beside them.
BLOCK_BYTES = 32 << 20
#: X'X travels in double up to this size of its triangle (p = 2895), in single beyond.
DOUBLE_BYTES_MAX = 32 << 20
#: Rows of a triangle that are packed at a time: their indices take 16 p bytes each.
_PACKED_ROWS = 256


@dataclass(frozen=True)
class Shape:
    """A layer's p features and C outputs, and what their moments take.

    No outputs where a head makes them: then X'X and what is of the features alone travels.
    """

    n_features: int
    n_outputs: int

    @property
    def triangle(self) -> int:
        """Values of X'X that travel: p (p + 1) / 2."""
        return self.n_features * (self.n_features + 1) // 2

    @property
    def xx_dtype(self) -> int:
        """The wire's code of X'X."""
        is_small = 8 * self.triangle <= DOUBLE_BYTES_MAX
        return _wire.DTYPE_F64 if is_small else _wire.DTYPE_F32

    @property
    def travel_bytes(self) -> int:
        """Bytes of the moments on the wire."""
        p, c = self.n_features, self.n_outputs
        xx = self.triangle * _wire.DTYPE_SIZE[self.xx_dtype]
        return xx + 8 * (p + c + p * c + c * c + 1 + p)

    def split(self, rest: Any) -> list[Any]:
        """What leaves beside X'X, a numpy vector, as n, m, k, X'Y, Y'Y, and s2 before sx."""
        p, c = self.n_features, self.n_outputs
        return np.split(rest, np.cumsum((1, p, c, p * c, c * c)))

    @property
    def held_bytes(self) -> int:
        """Bytes of the sums on the device."""
        p, c = self.n_features, self.n_outputs
        return 8 * ((p + c) ** 2 + 2 * (p + c) + p + 2)

    @property
    def fits(self) -> bool:
        """Whether each frame of the moments fits a message."""
        p, c = self.n_features, self.n_outputs
        xx = self.triangle * _wire.DTYPE_SIZE[self.xx_dtype]
        return max(xx, 8 * p * c, 8 * c * c) <= _wire.FRAME_MAX


class Sums:
    """The sums of a window; `double` says how features are multiplied (`_products`)."""

    def __init__(self, shape: Shape, device: Any, double: bool) -> None:
        import torch

        def zeros(*size: int) -> Any:
            return torch.zeros(size, dtype=torch.float64, device=device)

        self.shape = shape
        self._double = double
        width = shape.n_features + shape.n_outputs
        self._n = zeros(1)
        self._shift = zeros(width)
        self._f = zeros(width)
        self._g = zeros(width, width)
        self._s2 = zeros(1)
        self._sx = zeros(shape.n_features)

    def add(self, features: Any, outputs: Any) -> None:
        """Add rows (n, p) and (n, C) of any real dtype; outputs None without any."""
        import torch

        parts = [features] if outputs is None else [features, outputs]
        size = max(1, BLOCK_BYTES // (8 * (self.shape.n_features + self.shape.n_outputs)))
        with _products.as_written(features.device):
            for block in zip(*(part.split(size) for part in parts)):
                self._add_block(torch.cat([part.to(torch.float64) for part in block], 1))

    def _add_block(self, rows: Any) -> None:
        bad = rows.sum(1, keepdim=True).isfinite().logical_not_()
        n = len(rows) - bad.sum(0).to(rows.dtype)
        first = bad.to(rows.dtype).argmin(0)
        row = rows.index_select(0, first).masked_fill_(bad.index_select(0, first), 0)
        self._shift = self._shift.where(self._n > 0, row[0])
        v = (rows - self._shift).masked_fill_(bad, 0)
        f = v.sum(0)
        x = v[:, : self.shape.n_features]
        s = x.square().sum(1)
        self._n += n
        self._f += f
        self._s2 += s @ s
        self._sx += x.T @ s
        if self._double:
            self._g.addmm_(v.T, v)
        else:
            self._add_products(v, bad, f / n.clamp(min=1), n)

    def _add_products(self, v: Any, bad: Any, mean: Any, n: Any) -> None:
        """V'V of single products, about the block's own mean: V'V = Z'Z + n mean mean'.

        The outputs are few, and their inverse is needed: they are multiplied in double.
        """
        p = self.shape.n_features
        z = (v - mean).masked_fill(bad, 0)
        features, outputs = self._g[:p, :p], self._g[p:]
        _products.add_gram_single(features, z[:, :p])
        outputs.addmm_(z[:, p:].T, z)
        features.addr_(mean[:p] * n, mean[:p])
        outputs.addr_(mean[p:] * n, mean)
        self._g[:p, p:] = outputs[:, :p].T

    def take(self) -> tuple[Any, Any]:
        """The window's moments, which leave; the sums begin again at nothing.

        Returns two vectors: X'X packed, in its dtype, and in double n, m, k, X'Y, Y'Y, s2, sx, one
        after the other.
        """
        import torch

        with _products.as_written(self._g.device):
            packed, rest = self._moments(torch)
            for value in (self._n, self._f, self._g, self._s2, self._sx):
                value.zero_()
        return packed, rest

    def _moments(self, torch: Any) -> tuple[Any, Any]:
        p, n = self.shape.n_features, self._n
        d = self._f / n.clamp(min=1)
        g = self._g.addr_(d * n, d, alpha=-1)
        xx, dx = g[:p, :p], d[:p]
        trace, xxd, dd = xx.diagonal().sum(), xx @ dx, dx @ dx
        sx = self._sx - dx * trace - 2 * xxd - n * dd * dx
        s2 = self._s2 - 4 * (dx @ xxd) - n * dd * dd - 4 * (dx @ sx) - 2 * dd * trace
        means = self._shift + d
        rest = torch.cat((n, means, g[:p, p:].reshape(-1), g[p:, p:].reshape(-1), s2, sx))
        is_double = self.shape.xx_dtype == _wire.DTYPE_F64
        return packed_triangle(xx, torch.float64 if is_double else torch.float32), rest


def packed_triangle(matrix: Any, dtype: Any) -> Any:
    """The upper triangle of (p, p), one row after the other from the diagonal on: p (p + 1) / 2."""
    import torch

    p = matrix.shape[0]
    out = torch.empty(p * (p + 1) // 2, dtype=dtype, device=matrix.device)
    end = 0
    for first in range(0, p, _PACKED_ROWS):
        rows = matrix[first : first + _PACKED_ROWS].to(dtype)
        i, j = torch.triu_indices(rows.shape[0], p, offset=first, device=matrix.device)
        start, end = end, end + len(i)
        torch.take(rows.reshape(-1), i.mul_(p).add_(j), out=out[start:end])
    return out
