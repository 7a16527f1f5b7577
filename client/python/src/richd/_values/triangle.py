"""The triangle of a head in host memory, made beside the training by a thread of its own.

The training thread begins it at a checkpoint and goes on; the sender asks whether it is there. The
thread copies the weights, while the training's next pass reads them, and decomposes the copy,
behind the training. No optimizer waits for the copy, so it is checked: every value is read a second
time, some were read at the checkpoint, and the weights' version is that of the checkpoint. A copy
that the optimizer wrote into is thrown away, and the point has no head. `_head` has the formula,
`_intake` decides what is sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Optional

import numpy as np

from richd._link.priority import step_back
from richd._values import head as _head
from richd._values.pieces import pieces

#: Weights up to this size are copied by the training thread: .1 to .3 ms.
COPY_BYTES = 1 << 20
#: Bytes that are copied, and then compared, at a time: between them the thread can be stopped.
_PIECE_BYTES = 4 << 20
#: Values that are read at the checkpoint itself: what another optimizer wrote into before the copy
#: began differs in nearly all of them.
_N_SAMPLES = 512
#: The golden ratio's multiples are spread evenly.
_SPREAD = 0.6180339887498949


class TornError(ValueError):
    """The weights were written into before they had been copied."""


class Triangle:
    """A triangle on its way: made by the training thread, for the sender.

    Attributes:
        packed: its values, when `is_there`.
        weight: whose triangle it is, borrowed until then.
        was_torn: it failed because the weights were written into.
    """

    def __init__(self, weight: Any, wake: Callable[[], None]) -> None:
        self.weight = weight
        self.was_torn = False
        self._wake = wake
        self._matrix: Any = _head.matrix_of(weight)
        self._check: Optional[_Check] = None
        p = self._matrix.shape[1]
        self.packed = np.empty(p * (p + 1) // 2, dtype=_head.precision_of(self._matrix))
        self._failure: Optional[Exception] = None
        self._is_given_up = False
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._main, name="richd-head", daemon=True)

    def start(self, copy: bool) -> None:
        """Begin; with `copy` this thread makes the copy, so that nobody can write into it."""
        is_ours = copy or self._matrix.size_bytes <= COPY_BYTES
        if is_ours:
            self._matrix = self._matrix.copied()
        else:
            self._check = _Check(self.weight, self._matrix)
        self._thread.start()

    # ---- called by the sender --------------------------------------------------------------------

    def is_there(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self._done.is_set()

    def wait(self) -> None:
        """Until it is there. Raises ValueError where it could not be made."""
        self._done.wait()
        if self._failure is not None:
            raise self._failure

    # ---- called by the training thread -----------------------------------------------------------

    def give_up(self, timeout: float) -> None:
        """The run ends: do without it. Waits so long for the thread's end, at the next piece."""
        self._is_given_up = True
        self._end(ValueError("the run ended before the head's triangle was computed"))
        self._thread.join(max(0.0, timeout))

    # ---- the thread ------------------------------------------------------------------------------

    def _main(self) -> None:
        try:
            with pieces.work():
                self._make()
        except _GivenUpError:
            return
        except Exception as error:
            self.was_torn = isinstance(error, TornError)
            self._end(error)
        else:
            self._end(None)
        finally:
            self._matrix = self._check = None  # they hold the weights

    def _end(self, failure: Optional[Exception]) -> None:
        if not self._done.is_set():
            self._failure = failure
            self.weight = None
            self._done.set()
            self._wake()

    def _make(self) -> None:
        matrix = self._matrix if self._check is None else self._copy(self._check)
        self._matrix = self._check = None
        step_back()
        packed = _head.packed(_head.triangle_of(matrix, self._go_on))
        self._go_on()
        self.packed[:] = packed

    def _copy(self, check: _Check) -> _head.Matrix:
        """A copy of the weights as they were at the checkpoint. Raises TornError."""
        live = self._matrix.values
        copy = np.empty_like(live)
        n_rows = max(1, _PIECE_BYTES // (live.shape[1] * live.itemsize))
        for first in range(0, len(live), n_rows):
            copy[first : first + n_rows] = live[first : first + n_rows]
            self._go_on()
        for first in range(0, len(live), n_rows):
            check.compare(copy[first : first + n_rows], live[first : first + n_rows])
            self._go_on()
        check.compare_samples(copy)
        return self._matrix.with_values(copy)

    def _go_on(self) -> None:
        pieces.pause()
        if self._is_given_up:
            raise _GivenUpError


class _GivenUpError(Exception):
    """Nobody wants the triangle any more."""


class _Check:
    """What the weights were at the checkpoint, as far as a moment of the training thread tells."""

    def __init__(self, weight: Any, matrix: _head.Matrix) -> None:
        self._weight = weight
        self._version = _version_of(weight)
        n_rows, n_columns = matrix.values.shape
        steps = np.arange(_N_SAMPLES)
        self._rows = (steps * n_rows) // _N_SAMPLES
        self._columns = ((steps * _SPREAD) % 1.0 * n_columns).astype(np.intp)
        self._samples = matrix.values[self._rows, self._columns]

    def compare(self, copy: np.ndarray, live: np.ndarray) -> None:
        """Raises TornError where a value has changed since it was copied."""
        if not np.array_equal(_bits(copy), _bits(live)):
            raise TornError(_TORN)

    def compare_samples(self, copy: np.ndarray) -> None:
        """Raises TornError where the copy is not that of the checkpoint."""
        self.compare(copy[self._rows, self._columns], self._samples)
        if _version_of(self._weight) != self._version:
            raise TornError(_TORN)


_TORN = (
    "an optimizer wrote into the head's weights before they were copied, so this point has no "
    "head: call checkpoint() behind the optimizer's step. It makes the copy from now on"
)


def _bits(values: np.ndarray) -> np.ndarray:
    """As integers: a NaN equals itself."""
    return values.view(f"u{values.itemsize}")


def _version_of(weight: Any) -> Any:
    """torch counts what is written into a tensor, except by way of `.data`."""
    try:
        return weight._version
    except (AttributeError, RuntimeError):  # no tensor; made in inference mode
        return None
