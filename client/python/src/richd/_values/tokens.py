"""Which rows a batch has: which tokens of a sequence, and what a picture's positions become.

The same ones of features, outputs, labels and weights. Pure functions, any thread. The tokens of
one sequence are not independent, but the finite-sample corrections and error bars of a point need
independent rows. So one position of a sequence, or a few, stand for it. Padding is no token.
`_choice.Choice` decides which rows of a batch are taken.
"""

from __future__ import annotations

import math
import operator
import sys
from collections.abc import Sequence
from typing import Any, Optional, Union

import numpy as np

from richd._values import arrays as _arrays

#: What `position=` may be.
Position = Union[None, int, str, Sequence[int]]
#: What `pool=` may be.
POOLS = (None, "mean")

_SEQUENCE = 3  # dimensions of (batch, sequence, columns)
_PICTURE = 4  # of (n, c, h, w) at least


class Tokens:
    """A fixed choice of positions.

    Arguments:
        position: an index from 0, or from -1 backwards; "last"; several indices; None: all.
        tokens: in place of it, so many positions: with T tokens and k = min(tokens, T), those
            at floor(i T / k) - 1 for i = 1..k, evenly spaced and the last one among them.
        pool: "mean": (n, c, ...) of a convolution is its mean over all positions, (n, c).
        batch_first: False: sequences come as (sequence, batch, columns).

    Attributes:
        is_all: whether every token is taken, where it lies.

    Raises ValueError for what is neither.
    """

    def __init__(
        self,
        position: Position = None,
        tokens: Optional[int] = None,
        pool: Optional[str] = None,
        batch_first: bool = True,
    ) -> None:
        if position is not None and tokens is not None:
            raise ValueError("give position or tokens, not both")
        if tokens is not None and (isinstance(tokens, (bool, float)) or tokens < 1):
            raise ValueError(f"tokens is at least 1, not {tokens!r}")
        if pool not in POOLS:
            raise ValueError(f'pool is None or "mean", not {pool!r}')
        if pool is not None and (position is not None or tokens is not None or not batch_first):
            raise ValueError("pool takes the mean of all positions: give no position or tokens")
        self.pool = pool
        self._batch_first = batch_first
        self._count = tokens
        self._position = _check_position(position)
        self.is_all = batch_first and position is None and tokens is None and pool is None

    @property
    def chooses(self) -> bool:
        """Whether some tokens are left out."""
        return self._count is not None or self._position is not None

    def with_mask(self, mask: np.ndarray) -> Tokens:
        """The same among the tokens that are no padding: mask (batch, sequence), true for those.

        Positions are then those of a sequence without its padding. A sequence that lacks one has no
        row there.
        """
        return _Masked(self, mask)

    def columns(self, values: Any) -> Any:
        """Those of an array or tensor (..., T, columns); one without a sequence stays whole."""
        if self.pool is not None:
            return _mean(values) if values.ndim >= _SEQUENCE else values
        values = self.batch_leading(values, _SEQUENCE)
        if not self.chooses or values.ndim < _SEQUENCE:
            return values
        return values[..., self._of(values.shape[-2]), :]

    def values(self, values: Any) -> Any:
        """Those of an array or tensor (..., T), as labels are; (n,), one each, stays whole."""
        values = self.batch_leading(values, _SEQUENCE - 1)
        if not self.chooses or values.ndim < _SEQUENCE - 1:
            return values
        return values[..., self._of(values.shape[-1])]

    def batch_leading(self, values: Any, n_dims: int) -> Any:
        """(batch, sequence, ...) of an array or tensor that has so many dimensions."""
        return values if self._batch_first or values.ndim != n_dims else values.swapaxes(0, 1)

    def leading(self, n: int, length: int) -> tuple[int, int]:
        """The first dimensions of n sequences of that length."""
        return (n, length) if self._batch_first else (length, n)

    def cut_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What the shape (..., T, columns) becomes."""
        if self.pool is not None:
            return shape[:2]
        if len(shape) == _SEQUENCE and not self._batch_first:
            shape = (shape[1], shape[0], shape[2])
        if not self.chooses or len(shape) < _SEQUENCE:
            return shape
        taken = self._of(shape[-2])
        return (*shape[:-2], *([len(taken)] if isinstance(taken, list) else []), shape[-1])

    def n_rows(self, shape: tuple[int, ...]) -> int:
        """How many rows a tensor (..., columns) has of that shape."""
        return math.prod((shape if self.is_all else self.cut_shape(shape))[:-1])

    def _of(self, length: int) -> Union[int, list[int]]:
        """The positions from 0 on, each once; a single one as a number, which takes the axis away.

        Raises ValueError for one that a sequence of `length` tokens lacks.
        """
        if self._count is not None:
            k = min(self._count, length)
            return [i * length // k - 1 for i in range(1, k + 1)]
        wanted = self._position
        for i in wanted if isinstance(wanted, list) else [wanted]:
            if not -length <= i < length:
                raise ValueError(f"a sequence of {length} tokens has no position {i}")
        if not isinstance(wanted, list):
            return wanted
        return list(dict.fromkeys(i % length for i in wanted))

    def _among(self, lengths: np.ndarray) -> np.ndarray:
        """(batch, k): the positions in sequences of these lengths, -1 where they have none."""
        lengths = lengths[:, None]
        if self._count is not None:
            i = np.arange(1, self._count + 1)[None, :]
            k = np.minimum(self._count, lengths)
            return np.where(i <= k, i * lengths // np.maximum(k, 1) - 1, -1)
        wanted = self._position
        if wanted is None:
            i = np.arange(max(1, int(lengths.max(initial=0))))[None, :]
        else:
            i = np.array(wanted if isinstance(wanted, list) else [wanted])[None, :]
        i = np.where(i < 0, lengths + i, i)
        return np.where((i >= 0) & (i < lengths), i, -1)


class _Masked(Tokens):
    """A choice among the tokens that are no padding. Rows have no sequence any more."""

    def __init__(self, tokens: Tokens, mask: np.ndarray) -> None:
        super().__init__()
        self.is_all = False
        self._batch_first = tokens._batch_first
        self._shape = mask.shape
        self._is_single = tokens._count == 1 or isinstance(tokens._position, int)
        lengths = mask.sum(axis=1)
        among = tokens._among(lengths)
        at = (np.cumsum(lengths) - lengths)[:, None] + among
        real = np.flatnonzero(mask)
        self._index = real[np.unique(at[among >= 0])]

    @property
    def chooses(self) -> bool:
        return True

    def columns(self, values: Any) -> Any:
        if values.ndim < _SEQUENCE:
            return self._taken(values, tuple(values.shape[:1]))
        values = self.batch_leading(values, _SEQUENCE)
        return self._taken(values.reshape(-1, values.shape[-1]), tuple(values.shape[:-1]))

    def values(self, values: Any) -> Any:
        shape = tuple(values.shape)
        if len(shape) == _SEQUENCE - 1:
            values = self.batch_leading(values, _SEQUENCE - 1)
            shape = tuple(values.shape)
        return self._taken(values.reshape(-1), shape)

    def cut_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (len(self._index), shape[-1])

    def _taken(self, rows: Any, shape: tuple[int, ...]) -> Any:
        """Rows of these tokens, one for each token, or for each sequence where one is taken."""
        n, length = self._shape
        if shape in (self._shape, (n * length,)):
            return _arrays.take_rows(rows, self._index)
        if shape == (n,) and self._is_single:
            return _arrays.take_rows(rows, self._index // length)
        raise ValueError(f"a mask of {self._shape} does not go with {shape}")


def _mean(values: Any) -> Any:
    """(n, c): the mean over the positions of (n, c, ...)."""
    if not hasattr(values, "detach"):
        flat = values.reshape(*values.shape[:2], -1)
        return flat.mean(axis=-1, dtype=np.float64 if flat.dtype == np.float64 else np.float32)
    torch = sys.modules["torch"]
    dtype = values.dtype if values.dtype == torch.float64 else torch.float32
    return values.detach().mean(dim=tuple(range(2, values.ndim)), dtype=dtype)


def as_mask(mask: Any) -> np.ndarray:
    """(batch, sequence) of bool: what is not 0. Raises ValueError for what has no two dimensions.

    It waits for what lies on a device.
    """
    real = _arrays.as_array(mask) != 0
    if getattr(real, "ndim", 0) != _SEQUENCE - 1:
        raise ValueError(f"a mask is (batch, sequence), not {getattr(real, 'shape', mask)}")
    return real.cpu().numpy() if hasattr(real, "cpu") else np.asarray(real)


def check_width(features: tuple[int, ...], outputs: Optional[tuple[int, ...]]) -> None:
    """Raise ValueError where the last of (n, c, h, w) would be taken for the features.

    A layer that works on the last dimension leaves the others alone.
    """
    if len(features) >= _PICTURE and (outputs is None or features[:-1] != outputs[:-1]):
        raise width_error(features)


def width_error(features: tuple[int, ...]) -> ValueError:
    """What to pass in place of a picture."""
    return ValueError(
        f"features {features} would be taken by their last dimension, {features[-1]}: for those of "
        'a convolution, (n, c, h, w), pass pool="mean", for others (n, p)'
    )


def check_lengths(features: Sequence[Any], columns: Sequence[Any], values: Sequence[Any]) -> None:
    """Raise ValueError unless all that have a sequence have one length, and the features do.

    Arguments:
        features, columns: arrays or tensors (..., T, columns).
        values: arrays or tensors (..., T).
    """
    lengths = {v.shape[-2] for v in features if v.ndim >= _SEQUENCE}
    if not lengths:
        raise ValueError("position and tokens choose among features (batch, sequence, p)")
    lengths.update(v.shape[-2] for v in columns if v.ndim >= _SEQUENCE)
    lengths.update(v.shape[-1] for v in values if v.ndim >= _SEQUENCE - 1)
    if len(lengths) > 1:
        raise ValueError(f"the sequences have different lengths: {sorted(lengths)}")


def shape_of(values: Any) -> tuple[int, ...]:
    """The shape of an array of any framework."""
    shape = getattr(values, "shape", None)
    return tuple(np.shape(values)) if shape is None else tuple(shape)


def indexable(values: Any) -> Any:
    """A torch tensor, or the numpy array that `values` becomes; None stays None."""
    return None if values is None else _arrays.as_array(values)


def _check_position(position: Position) -> Any:
    """None, an int or a list of them."""
    if position is None:
        return None
    if isinstance(position, str):
        if position != "last":
            raise ValueError(f'position is None, "last", an index or several, not {position!r}')
        return -1
    try:
        return operator.index(position)  # type: ignore[arg-type]
    except TypeError:
        pass
    try:
        several = [operator.index(i) for i in position]  # type: ignore[union-attr]
    except TypeError:
        several = []
    if not several:
        raise ValueError(f'position is None, "last", an index or several, not {position!r}')
    return several


#: Every token, where it lies.
ALL = Tokens()
