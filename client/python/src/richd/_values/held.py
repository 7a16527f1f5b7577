"""Rows of several passes in one place, until their checkpoint.

Used by `thinning`, under its lock. The arrays lie where the rows lie, on the host or on a device. A
pass only puts its rows here; they are checked, all at once, when the checkpoint sends them.
"""

from __future__ import annotations

import functools
from collections.abc import Container, Hashable, Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np

from richd._values import arrays as _arrays

#: What may be given beside rows that has a value for each of them.
VALUES = ("labels", "targets")
#: What a piece takes beside its rows: 1.6 kB on the host, of features and outputs (CPython 3.11,
#: torch 1.13, 2026-11-27). Passes of one row are hardly more.
PIECE_BYTES = 2048


class Piece:
    """Rows of one pass, or of several that are alike; nobody else writes into them.

    Attributes:
        features: (n, p) of each layer, by name in depth order.
        outputs: (n, C); None where `head` makes them.
        head: the weight (C, p), or None.
        given: labels or targets, and how to read them; None: nothing.
        step: of the last of the rows.
        number: of the pass in its window.
        n_rows: n.
    """

    def __init__(
        self,
        features: Mapping[str, Any],
        outputs: Any,
        head: Any,
        given: Optional[Mapping[str, Any]],
        step: int,
        number: int = 0,
    ) -> None:
        self.features = features
        self.outputs = outputs
        self.head = head
        self.given = given
        self.step = step
        self.number = number
        self.n_rows = len(next(iter(features.values())))

    @property
    def n_outputs(self) -> int:
        """C."""
        return int(self.head.shape[0] if self.outputs is None else self.outputs.shape[1])

    @property
    def form(self) -> Hashable:
        """What pieces have in common that can be joined."""
        kinds = tuple([(p.shape[1:], p.dtype, getattr(p, "device", None)) for p in self.parts])
        options = None
        if self.given is not None:
            options = tuple((k, None if k in VALUES else v) for k, v in self.given.items())
        return tuple(self.features), id(self.head), options, kinds

    @functools.cached_property
    def parts(self) -> list[Any]:
        """All that has a value for each row."""
        given = [v for k, v in (self.given or {}).items() if k in VALUES and v is not None]
        return [*self.features.values(), *([] if self.outputs is None else [self.outputs]), *given]

    def picked(self, index: np.ndarray) -> Piece:
        """These rows of it, as copies."""
        return self._with(_arrays.take_rows(part, index) for part in self.parts)

    def joined(self, others: Sequence[Piece]) -> Piece:
        """These rows and those of others of its form, which come later."""
        if not others:
            return self
        last, parts = others[-1], zip(self.parts, *[other.parts for other in others])
        return last._with(_arrays.join(values) for values in parts)

    def _with(self, parts: Iterator[Any]) -> Piece:
        """The same with these in place of its rows, in the order of its parts."""
        features = {name: next(parts) for name in self.features}
        outputs = None if self.outputs is None else next(parts)
        given = self.given and {
            k: next(parts) if k in VALUES and v is not None else v for k, v in self.given.items()
        }
        return Piece(features, outputs, self.head, given, self.step, self.number)


class Held:
    """The pieces of one window, in the order in which they came.

    Attributes:
        n_rows: rows that are here.
        row_bytes: bytes of one of them, at most.
    """

    def __init__(self) -> None:
        self.n_rows = 0
        self.row_bytes = 0
        self._pieces: list[Piece] = []

    @property
    def numbers(self) -> list[int]:
        """The numbers of the passes, each once."""
        return list(dict.fromkeys(piece.number for piece in self._pieces))

    @property
    def n_rows_of_layers(self) -> int:
        """The rows of each layer that they are rows of."""
        return sum(piece.n_rows * len(piece.features) for piece in self._pieces)

    @property
    def n_bytes(self) -> int:
        """Bytes of the rows, at most."""
        return self.n_rows * self.row_bytes

    @property
    def memory_bytes(self) -> int:
        """What they take here."""
        return self.n_bytes + len(self._pieces) * PIECE_BYTES

    def add(self, piece: Piece, row_bytes: int) -> None:
        """Hold these as well, of so many bytes each."""
        self._pieces.append(piece)
        self.n_rows += piece.n_rows
        self.row_bytes = max(self.row_bytes, row_bytes)

    def keep(self, index: np.ndarray) -> None:
        """Let go of all rows but these, in ascending order."""
        stops = np.cumsum([piece.n_rows for piece in self._pieces])
        places = np.searchsorted(index, stops)
        kept, start, place = [], 0, 0
        for piece, stop, next_place in zip(self._pieces, stops.tolist(), places.tolist()):
            n = next_place - place
            if n == piece.n_rows:
                kept.append(piece)
            elif n > 0:
                kept.append(piece.picked(index[place:next_place] - start))
            start, place = stop, next_place
        self._pieces = kept
        self.n_rows = len(index)

    def keep_passes(self, numbers: Container[int]) -> None:
        """Let go of the rows of all passes but these."""
        self._pieces = [piece for piece in self._pieces if piece.number in numbers]
        self.n_rows = sum(piece.n_rows for piece in self._pieces)

    def hand_over(self) -> Iterator[Sequence[Piece]]:
        """Those of each form: of the first step and, if any, up to the last."""
        forms: dict[Hashable, list[Piece]] = {}
        for piece in self._pieces:
            forms.setdefault(piece.form, []).append(piece)
        self._pieces, self.n_rows = [], 0
        for pieces in forms.values():
            n_first = sum(piece.step == pieces[0].step for piece in pieces)
            yield pieces[:n_first]
            if n_first < len(pieces):
                yield pieces[n_first:]
