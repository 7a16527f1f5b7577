"""A linear head in place of its outputs: the triangle of its weights, in slices.

Pure functions, any thread. What richd measures of outputs F = Phi W' + b depends only on their
kernel, and R of W = QR has the same kernel (R'R = W'W). So p columns stand for C, and no row of
logits travels (proto/INGEST.md, head). `_intake` decides when a head is sent, `_triangle` has it
computed beside the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from richd._link import wire as _wire
from richd._values import arrays as _arrays

#: Rows of W that one step of the decomposition takes, in units of p: it works on 5 p x p values.
_BLOCK = 4
#: Columns of a product, or of Cholesky's factor, that are computed at a time.
_PANEL = 256
#: Operations of one product on the host, a panel for each row: some .1 s of a core.
_PIECE_OPERATIONS = 2e9
#: Operations that the training thread does by itself: .1 ms of a core.
_SMALL_OPERATIONS = 1e6


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


@dataclass
class Matrix:
    """Weights (C, p) as numpy sees them; of bfloat16, which it lacks, the bits."""

    values: np.ndarray
    is_bfloat16: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(C, p)."""
        return self.values.shape[0], self.values.shape[1]

    @property
    def size_bytes(self) -> int:
        """Bytes of all values."""
        return self.values.nbytes

    def copied(self) -> Matrix:
        """In memory of its own. It keeps the interpreter's lock, as copy() does not (`_arrays`)."""
        values = np.ascontiguousarray(self.values)
        own = np.frombuffer(values.tobytes(), values.dtype).reshape(values.shape)
        return self.with_values(own)

    def with_values(self, values: np.ndarray) -> Matrix:
        """The same format with other values."""
        return replace(self, values=values)

    def rows(self, first: int, stop: int) -> np.ndarray:
        """These rows in double."""
        part = self.values[first:stop]
        if self.is_bfloat16:
            part = (part.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
        return part.astype(np.float64)


def matrix_of(weight: Any) -> Matrix:
    """The memory of a weight on the host, not copied where numpy can read it."""
    if _arrays._torch_of(weight) is not None:
        tensor = weight.detach().cpu()
        return Matrix(_arrays._torch_to_numpy(tensor), str(tensor.dtype) == "torch.bfloat16")
    values = np.asarray(weight)
    is_bfloat16 = values.dtype.name == "bfloat16"
    return Matrix(values.view(np.int16) if is_bfloat16 else values, is_bfloat16)


def precision_of(matrix: Matrix) -> Any:
    """The triangle's format: single, for half precision is exact in it; double of double."""
    is_single = matrix.is_bfloat16 or matrix.values.dtype in (np.float16, np.float32)
    return np.float32 if is_single else np.float64


def triangle(weight: Any) -> np.ndarray:
    """R with R'R = W'W for W (C, p) on the host: (p, p), upper triangular, as `triangle_of`."""
    return triangle_of(matrix_of(weight))


def triangle_of(matrix: Matrix, go_on: Callable[[], None] = lambda: None) -> np.ndarray:
    """R with R'R = W'W: (p, p), upper triangular, float32; float64 of float64.

    R is Cholesky's factor of W'W in double. Only the kernel R'R matters, and it is as near to W'W
    as that of a QR decomposition of W, 1e-15 of its norm, 6e-8 in single; the condition, which is
    squared, would count for R alone. It takes C p^2 operations, in pieces that anything can come
    between: `go_on` is called there. Where W has fewer directions than p, W'W has p 2e-16 of its
    largest diagonal value added to the diagonal, as rounding would. Raises ValueError when a weight
    is not finite.
    """
    n_outputs, p = matrix.shape
    gram = np.zeros((p, p))
    n_rows = int(min(_BLOCK * p + 64, max(64, _PIECE_OPERATIONS // (p * _PANEL))))
    for first in range(0, n_outputs, n_rows):
        _add_product(gram, matrix.rows(first, first + n_rows), go_on)
    if not np.isfinite(gram.trace()):
        raise ValueError("the head's weights are not finite")
    r = _factor(gram, go_on).T.astype(precision_of(matrix))
    r[n_outputs:] = 0  # C < p: no more directions
    return r


def _add_product(gram: np.ndarray, rows: np.ndarray, go_on: Callable[[], None]) -> None:
    """Add rows' rows (n, p): the lower triangle of gram (p, p)."""
    for first in range(0, len(gram), _PANEL):
        with np.errstate(all="ignore"):  # what is not finite is found in the end
            gram[first:, first : first + _PANEL] += (
                rows[:, first:].T @ rows[:, first : first + _PANEL]
            )
        go_on()


def _factor(gram: np.ndarray, go_on: Callable[[], None]) -> np.ndarray:
    """L with L L' = gram, but for what makes it positive definite where it is not."""
    largest = gram.diagonal().max()
    if largest == 0:
        return gram
    shift = 0.0
    while True:
        try:
            return _cholesky(gram + shift * np.eye(len(gram)) if shift else gram.copy(), go_on)
        except np.linalg.LinAlgError:
            shift = 10 * shift or len(gram) * np.finfo(float).eps * largest


def _cholesky(a: np.ndarray, go_on: Callable[[], None]) -> np.ndarray:
    """L with L L' = a, of which the lower triangle is read, and written over.

    Panel by panel, as LAPACK's dpotrf does, which nothing could come between: 1.5e12 operations for
    p = 16,384. Raises LinAlgError where `a` is not positive definite.
    """
    for first in range(0, len(a), _PANEL):
        stop = first + _PANEL
        own = a[first:stop, first:stop] = np.linalg.cholesky(a[first:stop, first:stop])
        panel = a[stop:, first:stop]
        panel[:] = np.linalg.solve(own, panel.T).T
        go_on()
        for column in range(stop, len(a), _PANEL):
            right = a[column : column + _PANEL, first:stop]
            a[column:, column : column + _PANEL] -= a[column:, first:stop] @ right.T
            go_on()
    return np.tril(a)


def is_small(weight: Any) -> bool:
    """Whether the triangle takes no longer than a thread takes to begin."""
    n_outputs, n_features = shape_of(weight)
    return n_outputs * n_features**2 <= _SMALL_OPERATIONS


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
