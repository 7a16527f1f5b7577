"""What a run reads back from the daemon: its history, its transitions, its representations.

Called by any thread. Unlike the calls of a training loop, these ask, wait, and raise.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np

from richd._keywords import forgiving
from richd._link import feed as _feed
from richd._report import RichdError
from richd._values.event import Event
from richd._values.point import Point
from richd._values.representation import RepresentationMap
from richd._values.shown import CORRECTED
from richd._values.spectrum import Spectrum


class Reader:
    """The part of a run that asks the daemon's feed."""

    _find_feed: _feed.Find

    @property
    def id(self) -> str:
        """The run's id."""
        raise NotImplementedError

    @forgiving
    def series(
        self, metric: Optional[str] = None, layer: Optional[str] = None, timeout: float = 5.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """A measure over the run so far, as the daemon has it on disk: (steps, values).

        Without `metric` it is D_LR: d_debiased, which is right at any number of rows, or d_lr where
        that is null at every point.

        Both are (n,), int64 and float64, of every point, however many there are; a value that is
        not available is NaN. `layer` may be left out when the run has one. Unlike the calls for a
        training loop, it asks and waits. It raises RichdError when there is no answer within
        `timeout` seconds, or no such run, layer or metric.
        """
        name = CORRECTED["d_lr"] if metric is None else metric
        steps, values = _feed.series(self._find_feed, self.id, name, layer, timeout)
        if metric is None and np.isnan(values).all():
            return _feed.series(self._find_feed, self.id, "d_lr", layer, timeout)
        return steps, values

    @forgiving
    def compare(
        self,
        layers: Optional[Sequence[str]] = None,
        step: Optional[int] = None,
        steps: Optional[tuple[int, int]] = None,
        other: Optional[str] = None,
        timeout: float = 5.0,
    ) -> RepresentationMap:
        """What the representations of layers, checkpoints or runs have in common: linear CKA.

        Of each of `layers` (all when left out) it takes the latest checkpoint that the daemon kept,
        the one of `step`, or all from `steps[0]` to `steps[1]`; `other`, a run's id, project/name
        or name, gives the columns in place of the run itself. Rows can be compared where they are
        the same: the run needs `init(probe=True)`, and so does the other, with the same inputs.
        The daemon keeps a layer's first checkpoint, its newest, and an even choice between, 33 at
        most, of at most 256 rows. It asks and waits as `series` does, and raises RichdError when
        there is no answer within `timeout` seconds, or nothing to compare.
        """
        first, last = steps or (None, None)
        given: dict[str, Any] = {
            "run": self.id,
            "layers": None if layers is None else list(layers),
            "step": step,
            "from": first,
            "to": last,
            "with": other,
        }
        params = {name: value for name, value in given.items() if value is not None}
        answer = _feed.call(self._find_feed, "representation.map", params, timeout)
        return RepresentationMap.from_json(answer)

    @forgiving
    def events(self, layer: Optional[str] = None, timeout: float = 5.0) -> list[Event]:
        """The transitions of the run so far, in the order of their starts.

        `layer` keeps those of one layer; without it, those of scalars come as well. An empty list
        says nothing while a series has fewer than 23 points (`richctl show` tells). It asks, waits
        and raises as `series` does.
        """
        params = {"run": self.id} if layer is None else {"run": self.id, "layer": layer}
        answer = _feed.call(self._find_feed, "event.query", params, timeout)
        return [Event.from_json(e) for e in answer["events"] if e["kind"] == "transition"]


def fetch_spectrum(find_feed: _feed.Find, run_id: str, point: Point) -> Optional[Spectrum]:
    params = {"run": run_id, "layer": point.layer, "step": point.step}
    try:
        return Spectrum.from_json(_feed.call(find_feed, "spectrum.query", params))
    except RichdError as error:
        if error.code == "ENOENT":
            return None
        raise
