"""Writes points to Weights & Biases.

The training thread finds the run, the mirror's own thread writes. The run is the program's active
one: none is opened here.

A row of W&B belongs to whoever commits it, and a row that was committed refuses smaller steps. So
values are put into the row that the program is about to commit (commit=False): its own steps and
the number of its rows stay what they are. A row takes one checkpoint; the next one waits for the
next row of the program. Where checkpoints come faster than rows some are left out; richd has them
all. The axis of `richd/...` is `richd/step`, the training step.
"""

from __future__ import annotations

import sys
from typing import Any, Optional

STEP = "richd/step"
#: Checkpoints that wait for a row of the program; beyond them the oldest is left out.
HELD_MAX = 8


class Wandb:
    """The active run, or the one that was given."""

    def __init__(self, run: Any = None) -> None:
        self._is_given = run is not None
        self._run = run
        self._defined: Any = None  # the run that knows the axis
        self._held: dict[int, dict[str, Any]] = {}  # rows by checkpoint, the oldest first
        self._row: Any = None  # the program's row that was written into last
        self._step: Optional[int] = None  # the checkpoint that it has

    def look(self) -> None:
        if not self._is_given:
            self._run = getattr(sys.modules.get("wandb"), "run", None)

    def write(self, values: dict[str, float], step: int, time: Optional[float]) -> None:
        run = self._run
        if run is None:
            raise LookupError("no run is active at the checkpoint: call wandb.init() before it")
        if run is not self._defined:
            run.define_metric(STEP, hidden=True)
            run.define_metric("richd/*", step_metric=STEP)
            self._defined = run
        self._held.setdefault(step, {STEP: step}).update(values)
        if len(self._held) > HELD_MAX:
            del self._held[min(self._held)]
        self._put(run, min(self._held))

    def _put(self, run: Any, step: int) -> None:
        """Put the checkpoint into the program's row, if that has no other one."""
        if run.step != self._row:
            self._row, self._step = run.step, None
        if self._step in (None, step):
            self._step = step
            run.log(self._held.pop(step), commit=False)

    def close(self) -> None:
        """The newest goes into the row that the program's next log or wandb.finish commits."""
        if self._held:
            self._run.log(self._held[max(self._held)], commit=False)
