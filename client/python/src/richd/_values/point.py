"""A point: what richd measured for one layer at one checkpoint. A value, any thread.

The fields are those of POINT in proto/FEED.md; what they mean is in the daemon's measure:
arXiv 2410.04264 for D_LR, 1 - D_LR = u * sqrt(PR / r) for its companions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Optional

from richd._values.shown import Shown, shown

if TYPE_CHECKING:
    from richd._values.spectrum import Spectrum


@dataclass(frozen=True)
class Point:
    """One layer's measures at one step; None where the daemon has none.

    With X and Y (n x p, n x C) the features and outputs without their means, Q an orthonormal
    basis of Y's columns, S = X'X/n (arXiv 2410.04264; u and pr are derived from it):

        d_lr = 1 - ||Q'X||_F^2 / (sqrt(r) ||X'X||_F) = 1 - u sqrt(pr / r)
        u    = ||Q'X||_F^2 / ||X||_F^2
        pr   = (tr S)^2 / tr(S^2)

    Attributes:
        run, layer: whose point it is.
        attempt: the attempt that sent it, from 1.
        step: the training step of the checkpoint.
        time: seconds since 1970.
        n: rows in the window (an effective number under exponential forgetting).
        rows_missing: rows that were offered for the window and did not arrive.
        rows_thinned: rows of the window that the client left out to spare the training's time;
            those in `n` were drawn evenly from them all.
        ranks_missing: ranks of a job whose processes share the run that had not marked the step in
            time; 0 for a run of one process.
        rows_from, rows_to: steps of the first and the last batch in the window, as the trainer
            gave them; a tap's rows carry the step last given to a call of the run.
        p, c, rank: features, outputs, rank r of the centred outputs.
        classes_seen, class_rows_min: classes of the labels with a row in the window, and rows of
            the one that has the fewest; 0 without labels.
        d_lr: 1 - CKA(T, T_MP) in [0, 1]: 0 rich, 1 lazy. Compare a run with its own beginning, and
            with runs of the same p and C; few rows bias it, `shown()` is right at any n.
        d_debiased: the same, corrected for a finite number of independent rows; needs n > 3 and
            n > r + 1, and may fall slightly outside [0, 1].
        u: share of the feature variance inside the learned function space, in [0, 1].
        pr: participation ratio of the features, in 1..p; it counts directions.
        flags: what to know before reading it, as `degenerate` or `partial`.
        extra: the other measures (`nc1`, `cka_linear`, the standard errors `d_lr_se` and
            `d_debiased_se`, ...; FEED.md has their formulas), and whatever a newer daemon has; each
            is an attribute of the point as well.
    """

    run: str = ""
    layer: str = ""
    attempt: int = 0
    step: int = 0
    time: Optional[float] = None
    n: float = 0
    rows_missing: int = 0
    rows_thinned: int = 0
    ranks_missing: int = 0
    rows_from: Optional[int] = None
    rows_to: Optional[int] = None
    p: int = 0
    c: int = 0
    rank: int = 0
    classes_seen: int = 0
    class_rows_min: int = 0
    d_lr: Optional[float] = None
    d_debiased: Optional[float] = None
    u: Optional[float] = None
    pr: Optional[float] = None
    flags: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    def shown(self, plain: str = "d_lr") -> Shown:
        """The form of a measure that is right at this n: (name, value, se).

        That is the form corrected for few rows (d_debiased of d_lr, u_debiased of u, ...), or the
        plain one, with its name, where the corrected one is not defined, as for a part of the
        outputs. `se` is the standard error of that form, and of no other.
        """
        return shown(plain, lambda name: getattr(self, name, None))

    def __str__(self) -> str:
        """What matters, on one line."""
        u, pr = self.shown("u"), self.shown("pr")
        flags = f" [{', '.join(self.flags)}]" if self.flags else ""
        parts = [f"{s.name} {s.value:.4g}" for s in (u, pr) if s.value is not None]
        own = ", ".join([str(self.shown()), *parts, f"n {self.n:.0f}"])
        return f"{self.layer} step {self.step}: {own}{flags}"

    @property
    def companions(self) -> dict[str, Optional[float]]:
        """The measures beyond d_lr, d_debiased, u and pr, by name: None where not available."""
        return {
            name: value
            for name, value in self.extra.items()
            if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))
        }

    @property
    def spectrum(self) -> Optional[Spectrum]:
        """The feature decomposition, read from the daemon when it is first there; None without one.

        There is one when the checkpoint asked for it, or the run's policy did; of more than 2,048
        features some seconds to minutes after the point. Raises RichdError when the daemon does not
        answer.
        """
        if self.__dict__.get("_spectrum") is None:
            fetch = self.__dict__.get("_fetch")
            self.__dict__["_spectrum"] = fetch(self) if fetch else None
        return self.__dict__["_spectrum"]

    def with_fetch(self, fetch: Callable[[Point], Optional[Spectrum]]) -> Point:
        """This point, which can now get its spectrum. Called by the run."""
        self.__dict__["_fetch"] = fetch
        return self

    def __getstate__(self) -> dict[str, Any]:
        # What reads the spectrum belongs to the run, and does not travel.
        return {name: value for name, value in self.__dict__.items() if name != "_fetch"}

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
