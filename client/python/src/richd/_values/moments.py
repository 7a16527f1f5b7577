"""Sufficient statistics of one layer, reduced by the trainer: additive, so any split of the rows
(batches, ranks, GPUs) gives the same point as the rows themselves.

One Moments belongs to the thread that uses it. `Run.observe_moments` sends.

With m and k the means of features and outputs, X (n x p) and Y (n x C) the rows without them and
s_i = |x_i - m|^2 (proto/INGEST.md, kind 2; the finite-sample correction that needs s_i is derived
beside arXiv 2410.04264 in the project's measure):

    xx = X'X (p x p)   xy = X'Y (p x C)   yy = Y'Y (C x C)
    s2 = sum_i s_i^2   sx = sum_i s_i (x_i - m)

Moving the centre of a group of n rows from its mean by d (x_i - m = y_i + d, sum_i y_i = 0):

    xx' = xx + n d d'
    s2' = s2 + 4 d'xx d + n |d|^4 + 4 d'sx + 2 |d|^2 tr xx
    sx' = sx + d tr xx + 2 xx d + n |d|^2 d

Two groups merge by moving both to the common mean and adding: every term is then a sum of squares
or small, so nothing cancels (Chan, Golub and LeVeque 1983 for xx).
"""

from __future__ import annotations

import contextlib
import copy
import sys
from typing import Any, Optional

import numpy as np

from richd._keywords import forgiving_class
from richd._link import wire as _wire
from richd._torch import products as _products, sums as _sums
from richd._values import arrays as _arrays

#: Rows centred and multiplied at a time: bounds the working copy in double to 8 * 4096 * p bytes.
_BLOCK_ROWS = 4096


@forgiving_class
class Moments:
    """Accumulates rows of features (n x p) and outputs (n x C); `a + b` merges exactly.

    Arguments:
        precision: "double", or "single" for products of centred rows in float32 that are summed
            in double (error of the covariance about 1e-7, far faster on GPUs without fast
            float64). Default: single on a GPU without fast float64, double elsewhere.

    Autocast and TF32, which may be on around an update, change neither.

    The statistics live where the first rows were: numpy, or torch on the tensors' device.
    """

    def __init__(self, precision: Optional[str] = None) -> None:
        if precision not in (None, "single", "double"):
            raise ValueError(f'precision is "single" or "double", not {precision!r}')
        self._precision = precision
        self.clear()

    def clear(self) -> None:
        """Forget all rows, as after a checkpoint."""
        self.rows = 0
        self.outputs_dtype = _wire.DTYPE_NONE
        self._m: Any = None
        self._k: Any = None
        self._xx: Any = None
        self._xy: Any = None
        self._yy: Any = None
        self._s2: Any = 0.0
        self._sx: Any = None

    @property
    def n_features(self) -> int:
        """Features p, 0 before the first rows."""
        return 0 if self._m is None else self._m.shape[0]

    @property
    def n_outputs(self) -> int:
        """Outputs C, 0 before the first rows."""
        return 0 if self._k is None else self._k.shape[0]

    def update(self, features: Any, outputs: Any) -> Moments:
        """Add rows: features (..., p), outputs (..., C) of as many rows. Returns self.

        Raises ValueError when the rows do not match each other or the ones before.
        """
        x, _ = _as_matrix(features, "features")
        y, code = _as_matrix(outputs, "outputs")
        if x.shape[0] != y.shape[0]:
            raise ValueError(f"{x.shape[0]} rows of features beside {y.shape[0]} of outputs")
        with _as_written(x):
            for start in range(0, x.shape[0], _BLOCK_ROWS):
                stop = start + _BLOCK_ROWS
                self._merge(self._of_block(_double(x[start:stop]), _double(y[start:stop]), code))
        return self

    def __add__(self, other: Moments) -> Moments:
        merged = copy.copy(self)  # _merge replaces arrays and never writes into them
        return merged._merge(other)

    def __iadd__(self, other: Moments) -> Moments:
        return self._merge(other)

    def frames(self) -> tuple[list[np.ndarray], int]:
        """The six frames of a moments message and the dtype code of its matrix xx.

        xx is its upper triangle, float64, or float32 where that would be over 32 MiB (p > 2895).
        Copies to the host and so waits for the device. Raises ValueError when a frame would be over
        64 MiB.
        """
        shape = _sums.Shape(self.n_features, self.n_outputs)
        if not shape.fits:
            text = f"moments of p={self.n_features}, C={self.n_outputs} do not fit 64 MiB frames"
            raise ValueError(text)
        last = np.concatenate((np.array([float(self._s2)]), _host(self._sx)))
        xx = _triangle(self._xx, shape.xx_dtype == _wire.DTYPE_F64)
        rest = [_host(self._m), _host(self._k), xx, _host(self._xy), _host(self._yy), last]
        return rest, shape.xx_dtype

    def _of_block(self, x: Any, y: Any, code: int) -> Moments:
        """The moments of one block, both in double."""
        block = Moments(self._precision)
        block.rows, block.outputs_dtype = x.shape[0], code
        block._m, block._k = x.mean(0), y.mean(0)
        x, y = x - block._m, y - block._k
        block._xx = _gram_single(x) if self._is_single(x) else x.T @ x
        block._xy, block._yy = x.T @ y, y.T @ y
        s = (x * x).sum(1)
        block._s2, block._sx = (s * s).sum(), x.T @ s
        return block

    def _is_single(self, x: Any) -> bool:
        if self._precision is not None or isinstance(x, np.ndarray):
            return self._precision == "single"
        return not _products.is_double_fast(x.device)

    def _merge(self, other: Moments) -> Moments:
        """Add `other`'s rows; its arrays may be shared afterwards, and are never written."""
        if other.rows == 0:
            return self
        if self.rows == 0:
            for name in ("rows", "outputs_dtype", "_m", "_k", "_xx", "_xy", "_yy", "_s2", "_sx"):
                setattr(self, name, getattr(other, name))
            return self
        if (self.n_features, self.n_outputs) != (other.n_features, other.n_outputs):
            raise ValueError(
                f"{other.n_features} features and {other.n_outputs} outputs do not merge with "
                f"{self.n_features} and {self.n_outputs}"
            )
        n = self.rows + other.rows
        share = other.rows / n
        m = self._m + (other._m - self._m) * share
        k = self._k + (other._k - self._k) * share
        mine, theirs = self._moved(m, k), other._moved(m, k)
        self._xx, self._xy, self._yy, self._s2, self._sx = (a + b for a, b in zip(mine, theirs))
        self._m, self._k, self.rows = m, k, n
        self.outputs_dtype = _coarser(self.outputs_dtype, other.outputs_dtype)
        return self

    def _moved(self, m: Any, k: Any) -> tuple[Any, ...]:
        """(xx, xy, yy, s2, sx) about the centres m and k; the formulas are the module's."""
        n, d, e = self.rows, self._m - m, self._k - k
        xxd, dd, trace = self._xx @ d, d @ d, self._xx.diagonal().sum()
        return (
            self._xx + n * d[:, None] * d[None, :],
            self._xy + n * d[:, None] * e[None, :],
            self._yy + n * e[:, None] * e[None, :],
            self._s2 + 4 * (d @ xxd) + n * dd * dd + 4 * (d @ self._sx) + 2 * dd * trace,
            self._sx + trace * d + 2 * xxd + n * dd * d,
        )


def _as_matrix(values: Any, what: str) -> tuple[Any, int]:
    """A numpy array or torch tensor of shape (n, columns), and its dtype code."""
    rows = _arrays.as_rows(values, what)
    if isinstance(rows, _arrays.DeviceRows):
        return rows.tensor, rows.dtype
    if rows.dtype == _wire.DTYPE_BF16:  # int16 in disguise: the upper half of a float32
        wide = rows.values.view(np.uint16).astype(np.uint32) << 16
        return wide.view(np.float32), rows.dtype
    return rows.values, rows.dtype


def _double(values: Any) -> Any:
    if isinstance(values, np.ndarray):
        return values.astype(np.float64, copy=False)
    return values.to(sys.modules["torch"].float64)


def _gram_single(x: Any) -> Any:
    """X'X (p, p) in double, of float32 products."""
    if not isinstance(x, np.ndarray):
        return _products.gram_single(x)
    x32 = x.astype(np.float32)
    return (x32.T @ x32).astype(np.float64)


def _as_written(values: Any) -> Any:
    """Products inside of it are those of the arrays' own types."""
    if isinstance(values, np.ndarray):
        return contextlib.nullcontext()
    return _products.as_written(values.device)


def _triangle(xx: Any, is_double: bool) -> np.ndarray:
    """The upper triangle of (p, p), one row after the other from the diagonal on."""
    if isinstance(xx, np.ndarray):
        rows = np.concatenate([xx[i, i:] for i in range(len(xx))])
        return rows.astype(np.float64 if is_double else np.float32, copy=False)
    torch = sys.modules["torch"]
    return _host(_sums.packed_triangle(xx, torch.float64 if is_double else torch.float32))


def _host(values: Any) -> np.ndarray:
    return values if isinstance(values, np.ndarray) else values.cpu().numpy()


def _coarser(a: int, b: int) -> int:
    """The dtype with fewer digits: it decides the rank of the outputs."""
    order = (_wire.DTYPE_NONE, _wire.DTYPE_F64, _wire.DTYPE_F32, _wire.DTYPE_F16, _wire.DTYPE_BF16)
    return max(a, b, key=order.index)
