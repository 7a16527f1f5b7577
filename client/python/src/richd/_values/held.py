"""Rows of several calls in one place, until their checkpoint.

Used by `thinning`, under its lock. The arrays lie where the rows lie, on the host or on a device.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from richd._values import arrays as _arrays
from richd._values.arrays import DeviceRows, HostRows, Rows
from richd._values.rows import Offer


class Held:
    """Rows of one form, in arrays that they fill one after the other.

    Attributes:
        n_rows: rows that are here.
        n_thinned: rows that were left out for them.
    """

    def __init__(self, offer: Offer, capacity: int) -> None:
        self.n_rows = 0
        self.n_thinned = 0
        self._offer = offer
        self._columns = self._empty(capacity)

    def _empty(self, capacity: int) -> list[Any]:
        """Arrays for the parts of the offer, and one for the steps."""
        parts = [_empty_like(_values_of(part), capacity) for part in _parts_of(self._offer)]
        return [*parts, np.empty(capacity, dtype=np.int64)]

    @property
    def n_layers(self) -> int:
        """Layers whose rows they are."""
        return len(self._offer.layers)

    @property
    def n_bytes(self) -> int:
        """Bytes of the rows."""
        return self.n_rows * row_bytes(self._offer)

    def add(self, offer: Offer, step: int) -> None:
        """Copy the rows in."""
        start, stop = self.n_rows, self.n_rows + offer.n_rows
        if stop > len(self._columns[-1]):
            grown = self._empty(2 * stop)
            for new, old in zip(grown, self._columns):
                new[:start] = old[:start]
            self._columns = grown
        for mine, part in zip(self._columns, _parts_of(offer)):
            mine[start:stop] = _values_of(part)
        self._columns[-1][start:stop] = step
        self._offer = offer
        self.n_rows = stop

    def keep(self, index: np.ndarray) -> None:
        """Let go of all rows but these, in ascending order."""
        for values in self._columns:
            values[: len(index)] = _arrays.take_rows(values, index)
        self.n_thinned += self.n_rows - len(index)
        self.n_rows = len(index)

    def hand_over(self) -> Iterator[tuple[Offer, int]]:
        """The rows, as those of the first step and, if any, those up to the last."""
        n, columns = self.n_rows, self._columns
        self.n_rows = self.n_thinned = 0
        self._columns = self._empty(0)
        steps = columns[-1][:n]
        n_first = int(np.count_nonzero(steps == steps[0])) if n > 0 else 0
        for start, stop in [(0, n_first), (n_first, n)] if n > n_first else [(0, n)]:
            values = [column[start:stop] for column in columns[:-1]]
            yield _with_values(self._offer, values), int(steps[stop - 1]) if n > 0 else 0


def form_of(offer: Offer) -> Hashable:
    """What rows have in common that fit into the same arrays."""
    parts = tuple((part.n_columns, part.dtype, type(part)) for part in _parts_of(offer))
    return tuple(offer.layers), parts, tuple(offer.fields.items())


def row_bytes(offer: Offer) -> int:
    """Bytes of one row of all parts."""
    return sum(map(_arrays.row_bytes, _parts_of(offer)))


def _parts_of(offer: Offer) -> list[Rows]:
    return [*offer.layers.values(), *offer.shared]


def _values_of(part: Rows) -> Any:
    return part.tensor if isinstance(part, DeviceRows) else part.values


def _with_values(offer: Offer, values: list[Any]) -> Offer:
    """The offer with these in place of its rows, in the order of its parts; they are ours."""
    left = iter(values)

    def taken(part: Any) -> Any:
        if part is None:
            return None
        if isinstance(part, DeviceRows):
            return replace(part, tensor=next(left))
        return HostRows(next(left), part.dtype, is_ours=True)

    return replace(
        offer,
        layers={name: taken(part) for name, part in offer.layers.items()},
        outputs=taken(offer.outputs),
        targets=taken(offer.targets),
        weights=taken(offer.weights),
        copy=False,
    )


def _empty_like(values: Any, n: int) -> Any:
    shape = (n, values.shape[1])
    if isinstance(values, np.ndarray):
        return np.empty(shape, dtype=values.dtype)
    return values.new_empty(shape)
