"""A linear head in place of its outputs: the triangle of its weights, in slices.

Called by the training thread, at checkpoints. What richd measures of outputs F = Phi W' + b depends
only on their kernel, and R of W = QR has the same kernel (R'R = W'W). So p columns stand for C, and
no row of logits travels (proto/INGEST.md, head). `_intake` decides when a head is sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from richd._link import wire as _wire
from richd._values import arrays as _arrays

#: Rows of W that one step of the decomposition takes, in units of p: it works on 5 p x p values.
_BLOCK = 4


@dataclass
class Head:
    """The head of a layer.

    `weight` is (C, p), borrowed: it is read at each checkpoint, as it is then. `fields` are those
    of a header that the layer's rows and its head share.
    """

    weight: Any
    fields: dict[str, int]


def shape_of(weight: Any) -> tuple[int, int]:
    """(C, p) of the weights. Raises ValueError unless they are a real matrix."""
    shape = tuple(getattr(weight, "shape", np.shape(weight)))
    if len(shape) != 2 or 0 in shape:
        raise ValueError(f"a head is the weight (C, p) of a linear layer, not of shape {shape}")
    return int(shape[0]), int(shape[1])


def triangle(weight: Any) -> np.ndarray:
    """R with R'R = W'W for W (C, p): (p, p), upper triangular, float32; float64 of float64.

    By QR decompositions of W in blocks of rows, on the device where it lies, in its precision but
    single at least: 2 C p^2 operations, and a copy of 5 p^2 values. Half precision is exact in
    single. It takes 25 s of one core for p = 4096, C = 50,257, so a head of that size is for a
    GPU. The error of R'R is some 3e-7 of its norm (1e-15 in double). Raises ValueError when a
    weight is not finite.
    """
    torch = _arrays._torch_of(weight)
    if torch is None:
        r = _triangle_numpy(weight)
    else:
        r = triangle_torch(torch, weight).cpu().numpy()
    if not np.isfinite(r).all():
        raise ValueError("the head's weights are not finite")
    missing = r.shape[1] - r.shape[0]  # C < p: no more directions
    return np.pad(r, ((0, missing), (0, 0))) if missing > 0 else r


def packed(r: np.ndarray) -> np.ndarray:
    """The triangle without what is below the diagonal, one row after the other."""
    return np.concatenate([r[i, i:] for i in range(len(r))])


def slices(values: np.ndarray, p: int, bytes_max: int) -> Iterator[tuple[int, int, np.ndarray]]:
    """(first row, rows, their part) of a packed triangle, at most `bytes_max` or a row each."""
    first, start = 0, 0
    while first < p:
        stop, end = first, start
        most = start + bytes_max // values.itemsize
        while stop < p and (stop == first or end + p - stop <= most):
            end += p - stop
            stop += 1
        yield first, stop - first, values[start:end]
        first, start = stop, end


def dtype_of(r: np.ndarray) -> int:
    """The wire's code of the triangle's values."""
    return _wire.DTYPE_F64 if r.dtype == np.float64 else _wire.DTYPE_F32


def weights_dtype_of(weight: Any) -> int:
    """The wire's code of half-precision weights; 0 of others, which the triangle's values tell."""
    name = str(getattr(weight, "dtype", "")).removeprefix("torch.")
    return {"bfloat16": _wire.DTYPE_BF16, "float16": _wire.DTYPE_F16}.get(name, _wire.DTYPE_NONE)


def triangle_torch(torch: Any, weight: Any) -> Any:
    """R of a torch weight, where it lies: (p, p), or (C, p) with fewer outputs than features."""
    weight = weight.detach()
    dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
    r = weight.new_empty((0, weight.shape[1]), dtype=dtype)
    for block in weight.split(_BLOCK * weight.shape[1]):
        r = torch.linalg.qr(torch.cat([r, block.to(dtype)]), mode="r").R
    return r


def _triangle_numpy(weight: Any) -> np.ndarray:
    w = np.asarray(weight)
    dtype = np.float32 if w.dtype in (np.float16, np.float32) else np.float64
    r: Any = np.empty((0, w.shape[1]), dtype=dtype)
    for first in range(0, w.shape[0], _BLOCK * w.shape[1]):
        block = w[first : first + _BLOCK * w.shape[1]].astype(dtype)
        r = np.linalg.qr(np.concatenate([r, block]), mode="r")
    return r
