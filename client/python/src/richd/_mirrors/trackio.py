"""Writes points to Trackio.

The training thread finds the run, as Trackio keeps the active run in a context variable; the
mirror's own thread writes. None is opened here.

Trackio numbers what is logged without a step from the largest step it has seen. The program's own
numbering would jump to the steps of points, so these are logged by an object beside the run, which
keeps what a log notes for the next one.
"""

from __future__ import annotations

import sys
from typing import Any, Optional


class Trackio:
    """The active run, or the one that was given."""

    def __init__(self, run: Any = None) -> None:
        self._is_given = run is not None
        self._run = run

    def look(self) -> None:
        context = getattr(sys.modules.get("trackio"), "context_vars", None)
        if context is not None and not self._is_given:
            self._run = context.current_run.get()

    def write(self, values: dict[str, float], step: int, time: Optional[float]) -> None:
        run = self._run
        if run is None:
            raise LookupError("no run is active at the checkpoint: call trackio.init() before it")
        type(run).log(_Beside(run), values, step=step)

    def close(self) -> None:
        """The run is the program's: it ends it."""


class _Beside:
    """Reads as the run does; what is assigned to it stays here."""

    def __init__(self, run: Any) -> None:
        self._run_beside = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run_beside, name)
