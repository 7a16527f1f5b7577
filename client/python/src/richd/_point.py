"""A point: what richd measured for one layer at one checkpoint. A value, any thread.

The fields are those of POINT in proto/FEED.md; what they mean is in the daemon's measure:
arXiv 2410.04264 for D_LR, 1 - D_LR = u * sqrt(PR / r) for its companions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Optional


@dataclass(frozen=True)
class Point:
    """One layer's measures at one step; None where the daemon has none.

    Attributes:
        run, layer: whose point it is.
        attempt: the attempt that sent it, from 1.
        step: the training step of the checkpoint.
        time: seconds since 1970.
        n: rows in the window (an effective number under exponential forgetting).
        rows_missing: rows that were offered for the window and did not arrive.
        p, c, rank: features, outputs, rank r of the centred outputs.
        d_lr: 1 - CKA(T, T_MP) in [0, 1]: 0 rich, 1 lazy.
        d_debiased: the same corrected for n; may fall slightly outside [0, 1].
        u: share of the feature variance inside the learned function space.
        pr: participation ratio of the features, (tr S)^2 / tr(S^2).
        flags: what to know before reading it, as `degenerate` or `partial`.
        extra: fields of a newer daemon; each is an attribute of the point as well.
    """

    run: str = ""
    layer: str = ""
    attempt: int = 0
    step: int = 0
    time: Optional[float] = None
    n: float = 0
    rows_missing: int = 0
    p: int = 0
    c: int = 0
    rank: int = 0
    d_lr: Optional[float] = None
    d_debiased: Optional[float] = None
    u: Optional[float] = None
    pr: Optional[float] = None
    flags: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Point:
        """Make a point of the daemon's JSON object."""
        known = {name: value for name, value in fields.items() if name in _KNOWN}
        known["flags"] = tuple(known.get("flags") or ())
        extra = {name: value for name, value in fields.items() if name not in _KNOWN}
        return cls(**known, extra=extra)

    def __getattr__(self, name: str) -> Any:
        # Only reached for names that are not fields: those of a newer daemon. `extra` itself is
        # looked up in __dict__, because copy and pickle ask before it exists.
        extra = self.__dict__.get("extra", {})
        if name in extra:
            return extra[name]
        raise AttributeError(f"a richd point has no {name!r}")


_KNOWN = frozenset(Point.__dataclass_fields__) - {"extra"}
