"""A spectrum: the feature decomposition of one point, as arrays. A value, any thread.

The fields are those of SPECTRUM in proto/FEED.md: the paper's Eq. 5 (arXiv 2410.04264).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np


@dataclass(frozen=True, eq=False)
class Spectrum:
    """How much variance each feature direction has, and how much of it is used.

    With rho_k, v_k the eigenpairs of S and e_k(x) = (phi(x) - mean)'v_k / sqrt(rho_k), P_F and P_*
    the projections onto outputs and targets. rho has the unit of the features squared, the others
    have none; u and q are in [0, 1], pi_hat and pi_star rise to at most 1.

    Attributes:
        run, layer, attempt, step: whose it is.
        n, p: rows in the window, features.
        rank, rank_targets: of the outputs and of the targets (0 without).
        centred: False when the means were kept in.
        few_rows: n <= p: there are eigenvalues, and no eigenfunctions.
        total: the sum of all p eigenvalues, tr S.
        rho: (k,) eigenvalues of S = X'X/n, descending; k = p unless fewer were asked for.
        u: (k,) utilisation ||P_F e_k||^2, NaN where rho_k is rounding; None with few rows.
        q: (k,) quality ||P_* e_k||^2, NaN and None in the same cases; None without targets too.
        pi_hat, pi_star: (k,) sums of u / rank and of q / rank_targets up to k.
    """

    run: str
    layer: str
    attempt: int
    step: int
    n: float
    p: int
    rank: int
    rank_targets: int
    centred: bool
    few_rows: bool
    total: float
    rho: np.ndarray
    u: Optional[np.ndarray]
    q: Optional[np.ndarray]
    pi_hat: Optional[np.ndarray]
    pi_star: Optional[np.ndarray]

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Spectrum:
        """Make a spectrum of the daemon's JSON object; fields of a newer daemon are skipped."""
        known: dict[str, Any] = {name: fields.get(name) for name in cls.__dataclass_fields__}
        for name in ("rho", "u", "q", "pi_hat", "pi_star"):
            known[name] = None if known[name] is None else as_array(known[name])
        return cls(**known)


def as_array(values: Sequence[Optional[float]]) -> np.ndarray:
    """(n,) float64; null, which stands for what is not finite, becomes NaN."""
    return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
