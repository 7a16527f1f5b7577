"""Which tokens of a sequence are taken, of features, outputs, labels and weights alike.

Pure functions, any thread. The tokens of one sequence are not independent, but the finite-sample
corrections and error bars of a point need independent rows. So one position of a sequence, or a
few, stand for it. `_watch.Choice` decides which rows of a batch are taken.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, Optional, Union

from richd._values import arrays as _arrays

#: What `position=` may be.
Position = Union[None, int, str, Sequence[int]]

_SEQUENCE = 3  # dimensions of (batch, sequence, columns)


class Tokens:
    """A fixed choice of positions.

    Arguments:
        position: an index from 0, or from -1 backwards; "last"; several indices; None: all.
        tokens: in place of it, so many positions: with T tokens and k = min(tokens, T), those
            at floor(i T / k) - 1 for i = 1..k, evenly spaced and the last one among them.

    Raises ValueError for what is neither.
    """

    def __init__(self, position: Position = None, tokens: Optional[int] = None) -> None:
        if position is not None and tokens is not None:
            raise ValueError("give position or tokens, not both")
        if tokens is not None and (isinstance(tokens, (bool, float)) or tokens < 1):
            raise ValueError(f"tokens is at least 1, not {tokens!r}")
        self._count = tokens
        self._position = _check_position(position)

    @property
    def is_all(self) -> bool:
        """Whether every token is taken."""
        return self._count is None and self._position is None

    def columns(self, values: Any) -> Any:
        """Those of an array or tensor (..., T, columns); one without a sequence stays whole."""
        if self.is_all or values.ndim < _SEQUENCE:
            return values
        return values[..., self._of(values.shape[-2]), :]

    def values(self, values: Any) -> Any:
        """Those of an array or tensor (..., T), as labels are; (n,), one each, stays whole."""
        if self.is_all or values.ndim < _SEQUENCE - 1:
            return values
        return values[..., self._of(values.shape[-1])]

    def cut_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """What the shape (..., T, columns) becomes."""
        if self.is_all or len(shape) < _SEQUENCE:
            return shape
        taken = self._of(shape[-2])
        return (*shape[:-2], *([len(taken)] if isinstance(taken, list) else []), shape[-1])

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
