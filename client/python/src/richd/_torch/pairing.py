"""Which labels go with which pass of a tap.

Called by the threads that run the model, in hooks, and by the training thread where it gives labels
and at checkpoints. `_watch` makes passes; what they offer goes to the run.

Labels are given before a pass or behind it: what the first call of `Tap.labels` does, the others do
as well. Labels that come behind find the rows of the last pass of their thread, which wait for
them. Rows wait until the next pass begins, a checkpoint or the end, and then go without. A tap that
was given no labels in a split's first pass does not wait in that split.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any, Optional

#: What is given beside the rows of a pass: labels or targets, and how to read them.
Given = Mapping[str, Any]


class Waiting:
    """The rows of a pass, until it is known which labels they have.

    Arguments:
        split: of the pass.
        fits: `given` cut as the rows were. Raises ValueError where it does not fit them.
        offer: gives the rows away, with what was given beside them.
    """

    def __init__(
        self,
        split: str,
        fits: Callable[[Given], Given],
        offer: Callable[[Optional[Given]], None],
    ) -> None:
        self.split = split
        self.fits = fits
        self.offer = offer


class Pairing:
    """The passes of one tap that wait, and the labels that do."""

    def __init__(self) -> None:
        self.is_behind: Optional[bool] = None  # labels come behind their passes; None: not known
        self._passes: dict[int, Waiting] = {}  # by thread
        self._given: dict[int, Given] = {}
        self._without: set[str] = set()  # splits of which a pass got none

    @property
    def is_waiting(self) -> bool:
        """Whether rows of some pass wait for labels."""
        return bool(self._passes)

    def concerns(self, split: str, is_labelled: bool) -> bool:
        """Whether a pass of that split has labels, or may get some."""
        if self.is_behind is None:
            return is_labelled and split not in self._without or bool(self._given)
        return self.is_behind or bool(self._given)

    def begin(self) -> None:
        """A pass of this thread begins: the one before gets no labels any more."""
        self._let_go(threading.get_ident())

    @property
    def is_idle(self) -> bool:
        """Whether neither rows nor labels wait."""
        return not self._passes and not self._given

    def pass_over(self) -> None:
        """A pass of this thread is left out: its labels are, and the one before gets none."""
        self._given.pop(threading.get_ident(), None)
        self._let_go(threading.get_ident())

    def settle(self) -> None:
        """The same in all threads."""
        for thread in list(self._passes):
            self._let_go(thread)

    def add(self, rows: Waiting, is_labelled: bool) -> None:
        """A pass is over, of a tap that may get labels or hardly will.

        Raises ValueError where its labels do not fit, and offers it without.
        """
        thread = threading.get_ident()
        given = self._given.pop(thread, None)
        if given is not None:
            try:
                given = rows.fits(given)
            except ValueError as error:
                with contextlib.suppress(ValueError):  # this one tells more
                    rows.offer(None)
                raise error
            rows.offer(given)
        elif self.is_behind is not False and self.concerns(rows.split, is_labelled):
            self._passes[thread] = rows
        else:
            rows.offer(None)

    def give(self, given: Given, split: str) -> None:
        """Labels of the pass that is over, or of the next one, given in a module of that mode.

        Raises ValueError where they do not fit their pass, whose rows then wait for others.
        """
        thread = threading.get_ident()
        rows = self._passes.get(thread)
        if self.is_behind is None:
            self.is_behind = rows is not None and rows.split == split
        if not self.is_behind:
            self._given[thread] = given
            return
        if rows is not None:
            cut = rows.fits(given)
            if self._passes.pop(thread, None) is rows:
                rows.offer(cut)

    def give_next(self, given: Optional[Given]) -> None:
        """Labels of the pass of this thread that begins; None: it has none."""
        self.is_behind = False
        self._given.pop(threading.get_ident(), None)
        if given is not None:
            self._given[threading.get_ident()] = given

    def _let_go(self, thread: int) -> None:
        rows = self._passes.pop(thread, None)
        if rows is not None:
            self._without.add(rows.split)
            rows.offer(None)
