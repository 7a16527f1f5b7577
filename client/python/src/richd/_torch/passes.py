"""One forward pass of a model on its way: what its watched layers have given so far.

A pass belongs to the thread that runs it, from its beginning to the final outputs. It holds copies:
a layer may be followed by an operation in place, and whatever refers to an activation keeps it in
memory. `_watch` begins passes and offers what they brought.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Optional

from richd._values import arrays as _arrays
from richd._values.thinning import Draw

#: Dimensions of (batch, sequence, features).
_SEQUENCE = 3


def matrix_of(tensor: Any, by_sample: bool) -> Any:
    """(n, p) of (n, ...): a row is all that a sample has, or one token of (batch, sequence, p)."""
    tensor = tensor.detach()
    if by_sample or tensor.ndim != _SEQUENCE:
        return tensor.reshape(len(tensor), -1)
    return tensor.flatten(0, 1)


class _Kept:
    """What is kept of one call of a layer: the rows taken of n, and the shape they came in."""

    def __init__(self, rows: Any, n_rows: int, shape: tuple[int, ...]) -> None:
        self.rows = rows
        self.n_rows = n_rows
        self.shape = shape

    def fitted(self, n: int) -> Any:
        """(n, p): where all tokens of n samples were kept, all that a sample has is its row."""
        return self.rows if self.n_rows == n else self.rows.reshape(n, -1)


class Pass:
    """The rows of one pass.

    Arguments:
        split: the split of the rows; None: training.
        draw: says which of n rows are taken; None: the pass is left out.
    """

    def __init__(self, split: Optional[str], draw: Optional[Callable[[int], Draw]]) -> None:
        self.split = split
        self._draw = draw
        self._passed_over: set[str] = set()
        self._draws: dict[int, Draw] = {}
        self._calls: list[dict[str, _Kept]] = []  # the k-th call of each layer in this pass

    @property
    def is_empty(self) -> bool:
        """Whether no layer has given a row."""
        return not self._calls

    @property
    def is_taken(self) -> bool:
        """Whether its rows are taken."""
        return self._draw is not None

    def pass_over(self, layer: str) -> None:
        """The layer was called in this pass, which is left out."""
        self._passed_over.add(layer)

    def has(self, layer: str) -> bool:
        """Whether the layer was called in this pass."""
        return layer in self._passed_over or any(layer in call for call in self._calls)

    def add(self, layer: str, matrix: Any, shape: tuple[int, ...]) -> None:
        """Copy the rows to take of one call of a layer: (n, p), made of a tensor of that shape."""
        kept = _Kept(self.rows_of(matrix), len(matrix), shape)
        for call in self._calls:
            if layer not in call:
                call[layer] = kept
                return
        self._calls.append({layer: kept})

    def rows_of(self, matrix: Any) -> Any:
        """A copy of the rows to take of (n, p): the same ones of all matrices with n rows."""
        return _arrays.copies_of_rows([matrix], self.draw_of(len(matrix)).index)[0]

    def finish(
        self, outputs: Any, on_misfit: Callable[[str, tuple[int, ...], bool], None]
    ) -> tuple[list[dict[str, Any]], Any]:
        """The features of each call, by layer, and the rows of the outputs (n, C) beside them.

        A layer whose rows are not those of the outputs is left out, and `on_misfit` is called with
        its name, its shape, and whether its samples are the outputs' rows.
        """
        rows = self.rows_of(outputs)
        calls = [
            {
                layer: kept.fitted(len(outputs))
                for layer, kept in call.items()
                if self._fits(layer, kept, len(outputs), on_misfit)
            }
            for call in self._calls
        ]
        return [features for features in calls if features], rows

    @staticmethod
    def _fits(
        layer: str, kept: _Kept, n: int, on_misfit: Callable[[str, tuple[int, ...], bool], None]
    ) -> bool:
        if kept.n_rows == n:
            return True
        is_by_sample = kept.shape[0] == n
        on_misfit(layer, kept.shape, is_by_sample)
        is_whole = kept.n_rows == math.prod(kept.shape[:-1])  # padding was left out elsewhere
        return is_by_sample and is_whole and len(kept.rows) == kept.n_rows

    def draw_of(self, n: int) -> Draw:
        """Which rows are taken of n: the same ones in the whole pass."""
        if n not in self._draws:
            assert self._draw is not None  # the pass is taken
            self._draws[n] = self._draw(n)
        return self._draws[n]
