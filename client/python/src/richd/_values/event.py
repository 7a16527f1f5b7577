"""An event: something that a series of a run did. A value, any thread.

The fields are those of EVENT in proto/FEED.md, less `kind`: transitions are what there is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class Event:
    """A measure, or a scalar that was logged, passed from one level to another.

    Attributes:
        run, layer: whose it is; `layer` is None for a scalar.
        attempt, step, time: of the point that completed it, seconds since 1970.
        metric: the measure or the scalar.
        direction: "fall" or "rise".
        start, end: steps at which it had covered 10 % and 90 % of the way.
        start_level, end_level, size: the levels before and after (`from` and `to`), their distance.
        n_from, n_to: rows of the points before and after; None for a scalar.
        returned: the step at which it was found to have gone back; None while it lasts.
        agrees: whether an accuracy on held-out data rose with it; None where none was logged.
        accuracy: {"name", "from", "to"}, the scalar that `agrees` is about, or None.
    """

    run: str
    layer: Optional[str]
    attempt: int
    step: int
    time: float
    metric: str
    direction: str
    start: int
    end: int
    start_level: float
    end_level: float
    size: float
    n_from: Optional[float]
    n_to: Optional[float]
    returned: Optional[int]
    agrees: Optional[bool]
    accuracy: Optional[Mapping[str, Any]]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Event:
        """Make an event of the daemon's JSON object; fields of a newer daemon are skipped."""
        renamed = {"start_level": "from", "end_level": "to"}
        names = cls.__dataclass_fields__
        values: dict[str, Any] = {n: fields.get(renamed.get(n, n)) for n in names}
        return cls(**values)
