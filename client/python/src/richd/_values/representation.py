"""A map of what representations have in common, as arrays. A value, any thread.

The fields are those of representation.map in proto/FEED.md: linear CKA (arXiv 1905.00414), and its
de-biased form (arXiv 2010.15327).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from richd._values.spectrum import as_array


class Place(NamedTuple):
    """The checkpoint of a layer whose representation was kept."""

    run: str
    layer: str
    attempt: int
    step: int

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Place:
        """Make a place of the daemon's JSON object; fields of a newer daemon are skipped."""
        return cls(*(fields[name] for name in cls._fields))


@dataclass(frozen=True, eq=False)
class RepresentationMap:
    """Linear CKA between representations of the same rows; 1 is alike but for rotation and scale.

    Attributes:
        rows, columns: the places compared, m and k of them: by layer, then by step.
        cka_debiased: (m, k) in [-1, 1], 0 on average for unrelated features, whatever their width;
            its standard error is then about sqrt(2) / n. The one to read. NaN where features do
            not vary.
        cka: (m, k) in [0, 1], the plain form, which grows with the features' width over n.
        n: rows that were compared.
        probe_rows: rows of the windows, of which these are an even choice.
        left_out: checkpoints that were left out, where there were more than 64.
    """

    rows: tuple[Place, ...]
    columns: tuple[Place, ...]
    cka_debiased: np.ndarray
    cka: np.ndarray
    n: int
    probe_rows: int
    left_out: int

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> RepresentationMap:
        """Make a map of the daemon's JSON object; fields of a newer daemon are skipped."""
        return cls(
            rows=tuple(Place.from_json(place) for place in fields["rows"]),
            columns=tuple(Place.from_json(place) for place in fields["columns"]),
            cka_debiased=np.stack([as_array(row) for row in fields["cka_debiased"]]),
            cka=np.stack([as_array(row) for row in fields["cka"]]),
            n=fields["n"],
            probe_rows=fields["probe_rows"],
            left_out=fields["left_out"],
        )
