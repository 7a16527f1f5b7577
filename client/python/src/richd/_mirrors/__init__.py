"""Mirrors: what a point has, written into the trackers that people look at already.

`init(mirror=...)` makes them here. Each is told of points as `Run.on_point` tells them, in a thread
of its own. The training thread only calls `look`, at `init` and at each checkpoint: trackers know
the active run by thread, so it has to be asked there.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from typing import Any, Optional, Protocol

from richd._mirrors.mlflow import MLflow
from richd._mirrors.tensorboard import TensorBoard
from richd._mirrors.trackio import Trackio
from richd._mirrors.wandb import Wandb
from richd._report import Reporter
from richd._values.point import Point
from richd._values.shown import CORRECTED

#: What is mirrored beside the shown forms: a chart each, so not all there is.
_FURTHER = (
    "rank",
    "n",
    "nc1",
    "nc2_angle",
    "dead_features",
    "param_change",
    "ntk_distance",
    "ntk_alignment",
)


class Tracker(Protocol):
    """One place to write to."""

    def look(self) -> None:
        """Note the tracker's active run. Called by the training thread; imports nothing."""

    def write(self, values: dict[str, float], step: int, time: Optional[float]) -> None:
        """Write the values by name. Raises where that is not possible."""

    def close(self) -> None:
        """There is no more to write."""


#: By name: how it is made from nothing but the run's id.
_NAMED: dict[str, Callable[[str], Tracker]] = {
    "wandb": lambda run_id: Wandb(),
    "tensorboard": TensorBoard.in_folder,
    "trackio": lambda run_id: Trackio(),
    "mlflow": lambda run_id: MLflow(),
}


class Mirror:
    """A tracker, with the point's way to it."""

    def __init__(self, name: str, tracker: Tracker) -> None:
        self.name = name
        self._tracker = tracker
        self.look = tracker.look
        self.close = tracker.close

    def __call__(self, point: Point) -> None:
        self._tracker.write(values_of(point), point.step, point.time)


def check(mirror: Any) -> list[Any]:
    """The argument as a list of names and objects. Raises ValueError for a name that is unknown."""
    if mirror is None:
        return []
    given = list(mirror) if isinstance(mirror, (list, tuple)) else [mirror]
    for one in given:
        known = one in _NAMED if isinstance(one, str) else _class_of(one) is not None
        if not known:
            raise ValueError(f"a mirror is one of {', '.join(_NAMED)}, a run or a writer: {one!r}")
    return given


def make(given: Sequence[Any], run_id: str, reporter: Reporter) -> list[Mirror]:
    """The mirrors of what `check` returned; one that cannot be made costs a warning."""
    mirrors = []
    for one in given:
        name = f"mirror {one if isinstance(one, str) else type(one).__name__}"
        if isinstance(one, str) and importlib.util.find_spec(one) is None:
            reporter.warn(name, f"{name}: the package is not there: pip install {one}")
            continue
        try:
            tracker = _NAMED[one](run_id) if isinstance(one, str) else _class_of(one)(one)
            mirrors.append(Mirror(name, tracker))
        except Exception as error:
            reporter.warn(name, f"{name}: {type(error).__name__}: {error}")
    return mirrors


def _class_of(one: Any) -> Any:
    """What writes to a tracker's own object; None where it is none of those."""
    if callable(getattr(one, "add_scalar", None)):
        return TensorBoard
    modules = {"wandb": Wandb, "trackio": Trackio, "mlflow": MLflow}
    return modules.get(type(one).__module__.partition(".")[0])


def values_of(point: Point) -> dict[str, float]:
    """`richd/LAYER/NAME` for what is mirrored of a point, where it has a value."""
    shown = [point.shown(plain) for plain in CORRECTED]
    values = {form.name: form.value for form in shown}
    values[f"{shown[0].name}_se"] = shown[0].se
    values.update({name: getattr(point, name, None) for name in _FURTHER})
    return {
        f"richd/{point.layer}/{name}": float(value)
        for name, value in values.items()
        if value is not None and math.isfinite(value)
    }
