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

A pass that is taken costs as much as thousands of rows. So where the calls of a run take too much
time (`pace`), the stride is made of passes first: s = g r, one of each g passes is taken, and one
of each r rows of it. Which one of the g is drawn, each with the same chance, so that passes with a
period (micro-batches that are accumulated, classes in turn) are all met. A window has at least
PASSES_MIN passes, or all it has: what changes within it by d moves their mean by d / 39 (5 strata
of equal length, a draw in each: d / (5 sqrt(12 * 5))), and the rows' own scatter is more. The first
pass is always taken, and makes room for a later one by lot.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Optional

import numpy as np

from richd._values.held import Held, Piece
from richd._values.pace import SHARE, Pace
from richd._values.rows import of_split

#: A point is made of so many rows, where the window has them.
ROWS_MIN = 1024
#: And of so many for each direction of the outputs: fewer, and what is fitted by chance is large.
ROWS_A_RANK = 4
#: The standard error that a point is to have.
STANDARD_ERROR = 0.01
#: So much of the rows that are wanted is held at least, until the last window's stride is reached.
GUARD = 4
#: A window that lasts so many passes has rows of as many at least.
PASSES_MIN = 5
#: What a tap holds of one window. Beyond it rows are sent before the checkpoint, and the stride
#: stays as it is until then.
HELD_BYTES_MAX = 32 << 20
#: Draws of calls that are alike: numpy takes as long for one as for all of these.
DRAWS_AT_ONCE = 16


def rows_needed(point: Mapping[str, Any]) -> int:
    """The rows that a window like the point's needs: its variance falls as 1 / n."""
    needed = max(ROWS_MIN, ROWS_A_RANK * int(point.get("rank") or 0))
    error, n = point.get("d_debiased_se"), point.get("n")
    if error and n:
        needed = max(needed, int(n * (error / STANDARD_ERROR) ** 2) + 1)
    return needed


class Turn(NamedTuple):
    """A pass that is taken: its number in the window, and of how many it is one."""

    number: int = 0
    stride: int = 1


#: Of rows that are not counted by passes.
ALL_ROWS = Turn()


@dataclass
class Draw:
    """How the rows of a call were drawn.

    Attributes:
        index: the indices of those that are taken of `n_rows`; None: all of them.
        stride: one of so many is taken.
        row_bytes: bytes of a row.
        turn: the pass's, where passes are counted.
    """

    index: Optional[np.ndarray]
    n_rows: int
    stride: int = 1
    row_bytes: int = 0
    turn: Turn = ALL_ROWS


class Drawn(NamedTuple):
    """Rows to send, at most so many bytes, and how many rows were left out for them."""

    pieces: Sequence[Piece]
    split: Optional[str]
    n_thinned: int
    n_bytes: int

    @property
    def rows(self) -> Piece:
        """All of them, as a copy. Raises what the device raises that has no memory for it."""
        first, *others = self.pieces
        return first.joined(others)


class _Window:
    """A window of one split on its way.

    Attributes:
        row_stride: one of so many rows of a pass is drawn.
        pass_stride: one of so many passes is taken.
        hint: the stride that the last window would have needed from its start.
        pass_hint: what of it is for passes.
        n_passes: passes so far.
        next_pass: the number of the next one that may be taken.
        n_coming: rows of the last pass that was taken.
        n_seen: rows of the passes.
        n_thinned: those of them that were left out, for what is held.
        is_sent: rows of it are on their way, so that the strides stay.
        held: the rows.
    """

    def __init__(self, hint: int = 1, pass_hint: int = 1) -> None:
        self.row_stride = self.pass_stride = 1
        self.hint, self.pass_hint = hint, pass_hint
        self.n_passes = self.next_pass = self.n_coming = 0
        self.n_seen = self.n_thinned = 0
        self.is_sent = False
        self.held = Held()

    @property
    def stride(self) -> int:
        """One of so many rows of the window is held."""
        return self.row_stride * self.pass_stride

    def leave_out(self, n: int) -> None:
        """These rows are not held."""
        self.n_seen += n
        self.n_thinned += n

    def has_too_many_passes(self, wanted: int, pass_stride: int) -> bool:
        """Whether the pass that comes is to stand for twice as many, as one of `pass_stride`."""
        if self.is_sent or self.held.n_rows == 0:
            return False
        if self.pass_stride < self.pass_hint:
            return True
        if self.held.n_rows + self.n_coming <= 2 * wanted or 2 * self.pass_stride > pass_stride:
            return False
        return len(self.held.numbers) + 1 >= 2 * PASSES_MIN

    def halve_passes(self, number: int, generator: np.random.Generator) -> bool:
        """Let go of one pass of each two; whether the one of that number, which comes, stays."""
        self.pass_stride *= 2
        of_group: dict[int, list[int]] = {}
        for one in (*self.held.numbers, number):
            of_group.setdefault(one // self.pass_stride, []).append(one)
        kept = {passes[generator.integers(len(passes))] for passes in of_group.values()}
        n_before, group = self.held.n_rows, number // self.pass_stride
        if of_group[group] == [number] and generator.integers(2):
            kept.remove(number)  # for the second half of its group
            self.next_pass = self._draw_pass(2 * group + 1, self.pass_stride // 2, generator)
        elif number not in kept:
            self.draw_next(number, generator)
        self.held.keep_passes(kept)
        self.n_thinned += n_before - self.held.n_rows
        return number in kept

    def draw_next(self, number: int, generator: np.random.Generator) -> None:
        """A pass of the group after that of `number` is the next one."""
        group = number // self.pass_stride + 1
        self.next_pass = self._draw_pass(group, self.pass_stride, generator)

    @staticmethod
    def _draw_pass(group: int, stride: int, generator: np.random.Generator) -> int:
        return group * stride + (int(generator.integers(stride)) if stride > 1 else 0)

    def excess(self, n: int, wanted: int, rows_max: int) -> int:
        """By what to divide the rows, so that a call of n more is not too many: 1, 2, 4 ..."""
        factor = 1
        while True:
            stride, held = self.stride * factor, self.held.n_rows // factor
            limit = 2 * wanted if stride >= self.hint else min(2 * wanted // GUARD, rows_max)
            coming = -(-n // (self.row_stride * factor))
            if coming <= rows_max and held + coming <= limit:
                return factor
            factor *= 2

    def thin(self, factor: int, generator: np.random.Generator) -> None:
        """Keep one row of so many that are neighbours."""
        self.row_stride *= factor
        if self.held.n_rows > 0:
            index = one_of_each(factor, self.held.n_rows, generator)
            self.n_thinned += self.held.n_rows - len(index)
            self.held.keep(index)

    def hand_over(self, split: Optional[str]) -> Iterator[Drawn]:
        """What is held, to be sent; each part stands for as many rows as it is of the whole."""
        n_thinned, n_rows = self.n_thinned, self.held.n_rows
        self.n_thinned = 0
        for pieces in self.held.hand_over():
            n = sum(piece.n_rows for piece in pieces)
            part = round(n_thinned * n / max(1, n_rows))
            n_thinned, n_rows = n_thinned - part, n_rows - n
            yield Drawn(pieces, split, part, n * self.held.row_bytes)


class Thinning:
    """The rows that one tap takes, of each split.

    Arguments:
        pace: the run's; it says how many of the rows that are wanted may be taken.

    Attributes:
        takes_all_passes: whether no pass is left out whole.
    """

    def __init__(self, pace: Pace) -> None:
        self.takes_all_passes = False
        self._pace = pace
        self._lock = threading.Lock()
        self._windows: dict[Optional[str], _Window] = {}
        self._wanted: dict[str, int] = {}  # by layer, as it is called in richd
        self._ranks: dict[str, int] = {}
        self._allowed = ROWS_MIN  # how many rows a window is to have now
        self._pass_stride = 1  # of the last windows
        self._noted: set[tuple[Optional[str], ...]] = set()  # splits with their layers
        # Its own generator, with a fixed seed: the trainer's random numbers stay as they are.
        self._generator = np.random.default_rng(0)
        self._strides = _Strides(self._generator)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy holds nothing."""
        return Thinning, (Pace(SHARE),)

    def forget(self) -> int:
        """Let go of what is held; returns how many rows no checkpoint took, of all layers."""
        with self._lock:
            n_rows = sum(window.held.n_rows_of_layers for window in self._windows.values())
            self._windows.clear()
        return n_rows

    # ---- passes ----------------------------------------------------------------------------------

    def passes_over(self, split: Optional[str]) -> bool:
        """Whether the pass that comes is one of those that are left out; it is then over.

        `leave_out` is told its rows. Where it says no, `turn` is asked.
        """
        window = self._windows.get(split)
        if window is None or window.n_passes >= window.next_pass:
            return False
        with self._lock:
            window.n_passes += 1
        return True

    def turn(self, split: Optional[str]) -> Optional[Turn]:
        """The turn of the pass that comes, for `draw`; None: it is left out."""
        with self._lock:
            window = self._windows.get(split) or self._begin(split)
            number = window.n_passes
            window.n_passes += 1
            if number < window.next_pass:
                return None
            stride = 1 if self.takes_all_passes else self._pace.pass_stride()
            while window.has_too_many_passes(self._allowed, stride):
                if not window.halve_passes(number, self._generator):
                    return None
            window.draw_next(number, self._generator)
            return Turn(number, window.pass_stride)

    def leave_out(self, split: Optional[str], n: int) -> None:
        """A pass of n rows was left out."""
        with self._lock:
            (self._windows.get(split) or self._begin(split)).leave_out(n)

    # ---- rows ------------------------------------------------------------------------------------

    def draw(self, split: Optional[str], n: int, row_bytes: int, turn: Turn = ALL_ROWS) -> Draw:
        """Which rows to take of n, of so many bytes each; `add` is told it with them."""
        rows_max = max(1, HELD_BYTES_MAX // max(1, row_bytes))
        with self._lock:
            window = self._windows.get(split) or self._begin(split)
            factor = 1 if window.is_sent else window.excess(n, self._allowed, rows_max)
            if factor > 1:
                window.thin(factor, self._generator)
            stride = window.row_stride
            index = None if stride == 1 else self._strides.draw(stride, n)
            window.n_coming = n if index is None else len(index)
            return Draw(index, n, stride, row_bytes, turn)

    def _begin(self, split: Optional[str], hint: int = 1, pass_hint: int = 1) -> _Window:
        window = self._windows[split] = _Window(hint, pass_hint)
        return window

    def add(self, split: Optional[str], draw: Draw, rows: Piece) -> list[Drawn]:
        """Hold rows that were drawn. Returns those that are to be sent before the checkpoint."""
        with self._lock:
            window = self._windows.get(split) or self._begin(split)
            names = (split, *rows.features)
            if names not in self._noted:
                self._noted.add(names)
                for name in rows.features:
                    self._note_layer(of_split(name, split), rows)
            n_turns = window.pass_stride // draw.turn.stride  # room was made meanwhile
            if n_turns > 1 and self._generator.integers(n_turns) > 0:
                window.leave_out(draw.n_rows)
                return []
            window.n_seen += draw.n_rows
            if window.row_stride > draw.stride:
                ratio = window.row_stride // draw.stride
                rows = rows.picked(one_of_each(ratio, rows.n_rows, self._generator))
            window.n_thinned += draw.n_rows - rows.n_rows
            window.held.add(rows, draw.row_bytes)
            if window.held.memory_bytes <= HELD_BYTES_MAX:
                return []
            window.is_sent = True
            return list(window.hand_over(split))

    def take(self, room_bytes: int) -> list[Drawn]:
        """The windows are over: their rows, thinned until they fit into so much of the queue."""
        drawn: list[Drawn] = []
        with self._lock:
            strides = [w.pass_stride for w in self._windows.values() if w.n_seen > 0]
            self._pass_stride = max(strides, default=self._pass_stride)
            self._update()
            for split, window in self._windows.items():
                if window.n_seen == 0:
                    continue
                while window.held.n_bytes > room_bytes and window.held.n_rows > ROWS_MIN // GUARD:
                    window.thin(2, self._generator)
                drawn += window.hand_over(split)
                self._begin(split, *self._hints(window))
        return drawn

    def _hints(self, window: _Window) -> tuple[int, int]:
        """The strides that the window would have needed from its start."""
        stride = _power_of_two(window.n_seen // self._allowed)
        if self.takes_all_passes:
            return stride, 1
        most = min(stride, self._pace.pass_stride(), window.n_passes // PASSES_MIN)
        return stride, _power_of_two(most)

    def note(self, point: Mapping[str, Any]) -> None:
        """What a point of the run says about the rows that its layer needs."""
        with self._lock:
            layer = str(point.get("layer"))
            if layer in self._wanted:
                self._wanted[layer] = rows_needed(point)
                self._ranks[layer] = int(point.get("rank") or 0)
                self._update()

    def note_layers(self, layers: Iterable[str], rows: Piece) -> None:
        """The rows went to these layers, as they are called in richd."""
        with self._lock:
            for layer in layers:
                self._note_layer(layer, rows)

    def _note_layer(self, layer: str, rows: Piece) -> None:
        """Until a point of a layer is known, the outputs count as independent."""
        if layer not in self._wanted:
            widths = [features.shape[-1] for features in rows.features.values()]
            self._ranks[layer] = rank = min(*widths, rows.n_outputs)
            self._wanted[layer] = max(ROWS_MIN, ROWS_A_RANK * rank)
            self._update()

    def _update(self) -> None:
        wanted = max(self._wanted.values(), default=ROWS_MIN)
        rank = max(self._ranks.values(), default=0)
        self._allowed = self._pace.allows(wanted, rank, self._pass_stride)


class _Strides:
    """Draws of one row of each stride, made several at once where calls are alike."""

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._form = (0, 0)
        self._drawn: list[np.ndarray] = []

    def draw(self, stride: int, n: int) -> np.ndarray:
        """As `one_of_each`."""
        if self._form != (stride, n):
            self._form, self._drawn = (stride, n), []
            return one_of_each(stride, n, self._generator)
        if not self._drawn:
            starts = np.arange(0, n, stride)
            size = (DRAWS_AT_ONCE, len(starts))
            self._drawn = list(starts + self._generator.integers(0, stride, size))
        picks = self._drawn.pop()
        return picks if n % stride == 0 else picks[picks < n]


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
