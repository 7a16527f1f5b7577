"""What the labels of a call mean, whatever form they come in, and which rows have one.

Pure functions, any thread. A label is a whole number 0..K-1, of any type; a row of one-hot columns
is its column; rows of other columns (soft labels) are values. A row has no label where that is
negative (-100 by torch's convention), `ignore_index` or NaN. `_offers` says what becomes of it.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np

from richd._link import wire as _wire
from richd._values import arrays as _arrays
from richd._values.tokens import Tokens

#: What a layer has whose rows come without labels.
NONE = ("none", 0)

Kind = tuple[str, int]


@dataclass(frozen=True)
class Labels:
    """The labels of n rows.

    Attributes:
        kind: ("classes", K) or ("values", K).
        rows: (n, 1) of labels, or (n, K) values.
        with_label: the indices of the rows that have one; None: all of them.
        complaint: what is wrong with some of them, or None.
    """

    kind: Kind
    rows: _arrays.Rows
    with_label: Optional[np.ndarray] = None
    complaint: Optional[str] = None


def unlabelled(layer: str) -> str:
    """The layer that has the rows without a label."""
    return f"{layer}{'-' if '@' in layer else '@'}unlabelled"


def are_labels(rows: _arrays.Rows) -> bool:
    """Whether these targets are labels (n, 1), and no values."""
    return rows.dtype in (_wire.DTYPE_I32, _wire.DTYPE_I64)


def one_hot(rows: _arrays.Rows, n_classes: int) -> _arrays.Rows:
    """(n, K) of labels (n, 1), in float32."""
    if isinstance(rows, _arrays.DeviceRows):
        return _arrays.as_rows(rows.tensor == rows.tensor.new_tensor(range(n_classes)), "labels")
    values = np.zeros((rows.n_rows, n_classes), dtype=np.float32)
    values[np.arange(rows.n_rows), rows.values[:, 0]] = 1
    return _arrays.as_rows(values, "labels")


def balanced_weights(rows: _arrays.Rows) -> np.ndarray:
    """(n,) float64 of labels (n, 1): n / (C' n_c) for a row of class c, C' classes that occur."""
    if isinstance(rows, _arrays.DeviceRows):
        values = rows.tensor.cpu().numpy()
    else:
        values = rows.values
    _, place, counts = np.unique(values.ravel(), return_inverse=True, return_counts=True)
    return (len(values) / (len(counts) * counts))[place.ravel()]


def read(
    given: Any,
    tokens: Tokens,
    shape: tuple[int, ...],
    n_classes: int,
    ignore_index: Optional[int] = None,
) -> Labels:
    """The labels beside features of that shape, (..., p), of which `tokens` are taken.

    Arguments:
        given: (...) whole numbers of any real type, or (..., K) one-hot or soft. What lies on a
            device is not looked at, as that would wait for it: (..., K) is then taken for one-hot,
            and richd leaves out the rows of labels below 0.

    Raises ValueError where they are no labels, or not those of the rows.
    """
    values = _cut(_arrays.as_array(given), tokens, shape)
    n = math.prod(tokens.cut_shape(shape)[:-1] if len(shape) > 1 else shape)
    has_columns = _has_columns(values, n)
    if hasattr(values, "detach"):
        if values.device.type != "cpu":
            return _on_device(values, has_columns, n_classes)
        values = values.detach().float().numpy() if _is_half(values) else values.numpy()
    if values.dtype.kind not in "iubf":
        raise ValueError(f"they are {values.dtype}, not whole numbers")
    if has_columns:
        return _of_columns(values.reshape(n, -1), ignore_index)
    return _of_numbers(values.reshape(-1), n_classes, ignore_index)


def cut(given: Any, tokens: Tokens, shape: tuple[int, ...], index: Any) -> Any:
    """(n,) or (n, K) of labels beside features (..., p): those of rows that were taken.

    Labels (batch, sequence - 1) are those of all tokens but the last, which has no next one.
    `index` are the rows of the tokens that are taken; None: all. Raises ValueError where they are
    not as many as the features.
    """
    values = _arrays.as_array(given)
    before_last = (*shape[:-2], shape[-2] - 1) if len(shape) > 2 else ()
    n_before_last = math.prod(before_last) if before_last else 0
    if before_last and math.prod(values.shape) == n_before_last:
        values = _padded(values.reshape(before_last))
    values = _cut(values, tokens, shape)
    n = math.prod(tokens.cut_shape(shape)[:-1])
    values = values.reshape(n, -1) if _has_columns(values, n) else values.reshape(-1)
    return values if index is None else _arrays.take_rows(values, index)


def _padded(values: Any) -> Any:
    """One label more of each sequence, which is none."""
    if hasattr(values, "new_full"):
        none = values.new_full((*values.shape[:-1], 1), -1)
        return sys.modules["torch"].cat([values, none], -1)
    return np.concatenate([values, np.full((*values.shape[:-1], 1), -1, values.dtype)], axis=-1)


def _cut(values: Any, tokens: Tokens, shape: tuple[int, ...]) -> Any:
    """Those of the tokens that are taken, where there is one label for each token."""
    if tokens.is_all:
        return values
    if values.ndim == 1 and len(shape) > 2 and len(values) == math.prod(shape[:-1]):
        values = values.reshape(shape[:-1])
    if tuple(values.shape) == shape[:-1] or len(shape) > 2 and tuple(values.shape) == shape[:1]:
        return tokens.values(values)
    return tokens.columns(values) if tuple(values.shape[:-1]) == shape[:-1] else values


def _has_columns(values: Any, n: int) -> bool:
    size = math.prod(values.shape)
    if size == n:
        return False
    if values.ndim > 1 and size == n * values.shape[-1]:
        return True
    raise ValueError(f"{size} labels, of shape {tuple(values.shape)}, beside {n} rows")


def _is_half(tensor: Any) -> bool:
    return tensor.is_floating_point() and tensor.element_size() < 4


def _of_numbers(numbers: np.ndarray, n_classes: int, ignore_index: Optional[int]) -> Labels:
    kind = ("classes", n_classes)
    whole = numbers
    if numbers.dtype.kind in "iu" and ignore_index is None and len(numbers) > 0:
        if numbers.min() >= 0 and numbers.max() < n_classes:
            return Labels(kind, _arrays.as_labels(numbers))
    if numbers.dtype.kind == "f":
        whole = np.where(np.isnan(numbers), -1, numbers)
        with np.errstate(invalid="ignore"):
            whole = whole.astype(np.int64)
        wrong = np.flatnonzero((whole != numbers) & ~np.isnan(numbers))
        if len(wrong) > 0:
            raise ValueError(
                f"{numbers[wrong[0]]:g} is no whole number; values of a regression are targets="
            )
    has_label = whole >= 0
    if ignore_index is not None:
        has_label &= whole != ignore_index
    complaint = None
    if has_label.any() and int(whole[has_label].max()) >= n_classes:
        highest = int(whole[has_label].max())
        complaint = f"a label is {highest}, of {n_classes} classes: give n_classes"
        has_label &= whole < n_classes
    rows = _arrays.as_labels(whole)
    if has_label.all():
        return Labels(kind, rows, None, complaint)
    return Labels(kind, rows, np.flatnonzero(has_label), complaint)


def _of_columns(columns: np.ndarray, ignore_index: Optional[int]) -> Labels:
    """One-hot rows, of which one may be all zeros and has no label, or soft ones."""
    if not np.isfinite(columns).all():
        raise ValueError("they are not finite")
    n_classes = columns.shape[1]
    sums = columns.sum(axis=1, dtype=np.float64)
    if not (np.isin(columns, (0, 1)).all() and (sums <= 1).all()):
        return Labels(("values", n_classes), _arrays.as_rows(columns, "labels"))
    numbers = np.where(sums == 1, columns.argmax(axis=1), -1)
    return _of_numbers(numbers, n_classes, ignore_index)


def _on_device(tensor: Any, has_columns: bool, n_classes: int) -> Labels:
    if has_columns:
        n_classes = int(tensor.shape[-1])
        tensor = tensor.detach().argmax(-1)
    elif tensor.is_floating_point():
        tensor = tensor.detach().long()
    return Labels(("classes", n_classes), _arrays.as_labels(tensor))
