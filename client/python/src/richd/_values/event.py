"""Events: something that a series of a run did, or that its trainer said. Values, any thread.

The fields are those of EVENT in proto/FEED.md, less `kind`, which is the class.
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


@dataclass(frozen=True)
class Alert:
    """Something that the trainer says a person should see (`Run.alert`).

    Attributes:
        run, attempt, step: where it was said; step 0 before the first.
        time: seconds since 1970.
        level: "info", "warn" or "error".
        title, text: the words.
    """

    run: str
    attempt: int
    step: int
    time: float
    level: str
    title: str
    text: str

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Alert:
        """Make an alert of the daemon's JSON object; fields of a newer daemon are skipped."""
        return cls(**{name: fields[name] for name in cls.__dataclass_fields__})
