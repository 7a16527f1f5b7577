"""Which rows a tap takes where nobody said how many: as many as a point needs, drawn evenly.

Called by the threads that run the model, in its passes, and by the training thread at checkpoints.
`_torch.choice` asks which rows of a pass to take, `_torch.watcher` sends what was held.

How long a window is, is known when it is over. So a window begins with every row. Where more would
be held than are wanted, one of each two neighbours is let go, and half as many are drawn from then
on. With a stride s (a power of two), every row of the window has the same chance 1 / s to be held,
wherever it stands, and one of each s consecutive rows of a pass is drawn. A window of N rows ends
with at least min(N, wanted) of them and at most twice as many as are wanted. A window that is
shorter than the last one may have fewer, min(N, wanted / 4): where the last one says that rows will
be let go, they are let go sooner, so that they are not copied first.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import numpy as np

from richd._values import held as _held
from richd._values.held import Held
from richd._values.pace import SHARE, Pace
from richd._values.rows import Offer

#: A point is made of so many rows, where the window has them.
ROWS_MIN = 1024
#: And of so many for each direction of the outputs: fewer, and what is fitted by chance is large.
ROWS_A_RANK = 4
#: The standard error that a point is to have.
STANDARD_ERROR = 0.01
#: So much of the rows that are wanted is held at least, until the last window's stride is reached.
GUARD = 4
#: What a tap holds of one window. Beyond it rows are sent before the checkpoint, and the stride
#: stays as it is until then.
HELD_BYTES_MAX = 32 << 20


def rows_needed(point: Mapping[str, Any]) -> int:
    """The rows that a window like the point's needs: its variance falls as 1 / n."""
    needed = max(ROWS_MIN, ROWS_A_RANK * int(point.get("rank") or 0))
    error, n = point.get("d_debiased_se"), point.get("n")
    if error and n:
        needed = max(needed, int(n * (error / STANDARD_ERROR) ** 2) + 1)
    return needed


@dataclass(frozen=True)
class Draw:
    """How the rows of a call were drawn.

    Attributes:
        index: the indices of those that are taken of `n_rows`; None: all of them.
        stride: one of so many is taken.
    """

    index: Optional[np.ndarray]
    n_rows: int
    stride: int = 1

    def n_thinned(self, n_taken: int) -> int:
        """The rows that were left out for so many of those that were taken."""
        if self.index is None:
            return 0
        n_thinned, n_drawn = self.n_rows - len(self.index), len(self.index)
        return n_thinned if n_taken == n_drawn else round(n_thinned * n_taken / n_drawn)


class Drawn(NamedTuple):
    """Rows to send: an offer, their step, and how many rows were left out for them."""

    offer: Offer
    step: int
    n_thinned: int


class _Window:
    """A window of one split on its way.

    Attributes:
        stride: one of so many rows is drawn.
        hint: the stride that the last window would have needed from its start.
        n_seen: rows of the calls that were taken, as its draws tell.
        is_sent: rows of it are on their way, so that the stride stays.
        held: the rows, by their form: layers, widths, types.
    """

    def __init__(self, hint: int = 1) -> None:
        self.stride = 1
        self.hint = hint
        self.n_seen = 0
        self.is_sent = False
        self.held: dict[Any, Held] = {}

    @property
    def n_rows(self) -> int:
        """Rows that are held."""
        return sum(held.n_rows for held in self.held.values())

    @property
    def n_rows_of_layers(self) -> int:
        """The same, of each layer that they are rows of."""
        return sum(held.n_rows * held.n_layers for held in self.held.values())

    def is_full(self, n: int, wanted: int, rows_max: int) -> bool:
        """Whether a call of n rows would make more than are to be held."""
        limit = 2 * wanted if self.stride >= self.hint else min(2 * wanted // GUARD, rows_max)
        coming = -(-n // self.stride)
        return coming > rows_max or self.n_rows + coming > limit

    @property
    def n_bytes(self) -> int:
        """Bytes of these."""
        return sum(held.n_bytes for held in self.held.values())

    def halve(self, generator: np.random.Generator) -> None:
        """Let go of one row of each two that are neighbours."""
        self.stride *= 2
        for held in self.held.values():
            held.keep(one_of_each(2, held.n_rows, generator))

    def hand_over(self) -> Iterator[Drawn]:
        """What is held, to be sent."""
        for held in self.held.values():
            n_thinned = held.n_thinned
            for offer, step in held.hand_over():
                yield Drawn(offer, step, n_thinned)
                n_thinned = 0


class Thinning:
    """The rows that one tap takes, of each split.

    Arguments:
        pace: the run's; it says how many of the rows that are wanted may be taken.
    """

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._lock = threading.Lock()
        self._windows: dict[Optional[str], _Window] = {}
        self._wanted: dict[str, int] = {}  # by layer, as it is called in richd
        self._ranks: dict[str, int] = {}
        # Its own generator, with a fixed seed: the trainer's random numbers stay as they are.
        self._generator = np.random.default_rng(0)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy holds nothing."""
        return Thinning, (Pace(SHARE),)

    def forget(self) -> int:
        """Let go of what is held; returns how many rows no checkpoint took, of all layers."""
        with self._lock:
            n_rows = sum(window.n_rows_of_layers for window in self._windows.values())
            self._windows.clear()
        return n_rows

    def draw(self, split: Optional[str], n: int, row_bytes: int) -> Draw:
        """Which rows to take of n, of so many bytes each; `add` is told it with them."""
        rows_max = max(1, HELD_BYTES_MAX // max(1, row_bytes))
        with self._lock:
            window = self._windows.setdefault(split, _Window())
            wanted = self._allowed()
            while not window.is_sent and window.is_full(n, wanted, rows_max):
                window.halve(self._generator)
            every = window.stride == 1
            index = None if every else one_of_each(window.stride, n, self._generator)
            return Draw(index, n, window.stride)

    def add(self, split: Optional[str], draw: Draw, offer: Offer, step: int) -> list[Drawn]:
        """Hold rows that were drawn, or those of them that go to one layer.

        Returns those that are to be sent before the checkpoint.
        """
        with self._lock:
            window = self._windows.setdefault(split, _Window())
            self._note_layers(offer)
            window.n_seen += offer.n_rows * draw.stride
            n = offer.n_rows
            if window.stride > draw.stride:  # room was made meanwhile
                index = one_of_each(window.stride // draw.stride, n, self._generator)
                offer = offer.part(index)
            form, row_bytes = _held.form_of(offer), _held.row_bytes(offer)
            if form not in window.held:
                capacity = min(2 * self._allowed(), HELD_BYTES_MAX // row_bytes)
                window.held[form] = Held(offer, max(offer.n_rows, capacity))
            window.held[form].n_thinned += draw.n_thinned(n) + n - offer.n_rows
            window.held[form].add(offer, step)
            if window.n_rows * row_bytes <= HELD_BYTES_MAX:
                return []
            window.is_sent = True
            return list(window.hand_over())

    def take(self, room_bytes: int) -> list[Drawn]:
        """The windows are over: their rows, thinned until they fit into so much of the queue."""
        drawn: list[Drawn] = []
        with self._lock:
            wanted = self._allowed()
            for split, window in self._windows.items():
                if window.n_seen == 0:
                    continue
                while window.n_bytes > room_bytes and window.n_rows > ROWS_MIN // GUARD:
                    window.halve(self._generator)
                drawn += window.hand_over()
                self._windows[split] = _Window(_power_of_two(window.n_seen // wanted))
        return drawn

    def note(self, point: Mapping[str, Any]) -> None:
        """What a point of the run says about the rows that its layer needs."""
        with self._lock:
            layer = str(point.get("layer"))
            if layer in self._wanted:
                self._wanted[layer] = rows_needed(point)
                self._ranks[layer] = int(point.get("rank") or 0)

    def _note_layers(self, offer: Offer) -> None:
        """Until a point of a layer is known, the outputs count as independent."""
        for layer, part in offer.layers.items():
            if layer not in self._wanted:
                self._ranks[layer] = rank = min(part.n_columns, offer.fields["n_outputs"])
                self._wanted[layer] = max(ROWS_MIN, ROWS_A_RANK * rank)

    def _allowed(self) -> int:
        wanted = max(self._wanted.values(), default=ROWS_MIN)
        return self._pace.allows(wanted, max(self._ranks.values(), default=0))


def one_of_each(stride: int, n: int, generator: np.random.Generator) -> np.ndarray:
    """Indices below n, ascending: one of each `stride`, each with the same chance 1 / stride.

    A draw within the stride, and not its first row, so that rows with a period (the positions of a
    sequence) are all met. The last stride may reach beyond n, and its draw as well.
    """
    starts = np.arange(0, n, stride)
    picks = starts + generator.integers(0, stride, len(starts))
    return picks[picks < n]


def _power_of_two(value: int) -> int:
    """The largest that is at most `value`, and at least 1."""
    return 1 << max(0, value.bit_length() - 1)
