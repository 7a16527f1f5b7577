"""Rows of one call, checked against each other: what `Run.observe` and `observe_layers` offer.

Pure functions, any thread. `_arrays` makes arrays of what frameworks have, `_labels` reads labels,
`_offers` says which rows go to which layer by them; `_intake` numbers and queues.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Optional

import numpy as np

from richd._link import wire as _wire
from richd._values import arrays as _arrays, head as _head
from richd._values.tokens import (
    ALL,
    Position,
    Tokens,
    as_mask,
    check_lengths,
    check_width,
    indexable,
    shape_of,
)


@dataclass(frozen=True)
class Beside:
    """What goes with the rows of a call; `Run.observe` says what each field means."""

    step: Optional[int] = None
    split: Optional[str] = None
    labels: Any = None
    targets: Any = None
    n_classes: Optional[int] = None
    weights: Any = None
    balanced: bool = False
    copy: bool = True
    position: Position = None
    tokens: Optional[int] = None
    ignore_index: Optional[int] = None
    mask: Any = None
    pool: Optional[str] = None
    batch_first: bool = True

    def choice(self) -> Tokens:
        """Which tokens are taken. Raises ValueError where that means nothing."""
        is_all = self.position is None and self.tokens is None and self.pool is None
        if is_all and self.batch_first and self.mask is None:
            return ALL
        tokens = Tokens(self.position, self.tokens, self.pool, self.batch_first)
        return tokens if self.mask is None else tokens.with_mask(as_mask(self.mask))


@dataclass(frozen=True)
class Offer:
    """Rows that fit each other: n of each part.

    Attributes:
        layers: the features (n, p) of each layer, by name in depth order.
        outputs, targets, weights: what the layers share, (n, columns) each, in the order in which
            they travel; None: they do not. Targets are values, or labels (n, 1).
        n_outputs: C, whether they travel or not.
        n_targets: columns of the targets, or classes of the labels.
        copy: whether the caller may overwrite its arrays when the call returns.
        head: the weight (C, p) that stands for the outputs, or None.
        left_out: of several layers those that cannot be sent, with the reason.
    """

    layers: dict[str, _arrays.Rows]
    outputs: Optional[_arrays.Rows]
    n_outputs: int
    copy: bool
    targets: Optional[_arrays.Rows] = None
    n_targets: int = 0
    weights: Optional[_arrays.Rows] = None
    head: Any = None
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def n_rows(self) -> int:
        """Rows of each part."""
        return next(iter(self.layers.values())).n_rows

    @property
    def shared(self) -> list[_arrays.Rows]:
        """What travels once, behind the features."""
        parts = (self.outputs, self.targets, self.weights)
        return [part for part in parts if part is not None]

    @property
    def fields(self) -> dict[str, int]:
        """What the headers of all the layers have in common."""
        return {
            "kind": _wire.KIND_ROWS,
            "n_outputs": self.n_outputs,
            "n_targets": self.n_targets,
            "outputs_dtype": _dtype(self.outputs),
            "targets_dtype": _dtype(self.targets),
            "weights_dtype": _dtype(self.weights),
        }

    def part(self, index: np.ndarray) -> Offer:
        """These rows of it, as copies."""

        def picked(rows: Optional[_arrays.Rows]) -> Any:
            return None if rows is None else rows.picked(index)

        return replace(
            self,
            layers={name: picked(rows) for name, rows in self.layers.items()},
            outputs=picked(self.outputs),
            targets=picked(self.targets),
            weights=picked(self.weights),
        )


def check(
    features: Mapping[str, Any], outputs: Any, head: Any, beside: Beside, tokens: Tokens
) -> Offer:
    """The rows of some layers against outputs (..., C), or a head's weight (C, p).

    Their labels are not looked at (`_offers`). Of several layers one that does not fit is left out,
    and the others are sent. Raises ValueError, naming the numbers, where shapes or types do not fit
    and nothing is left.
    """
    if (outputs is None) == (head is None):
        raise ValueError("give outputs, or the head that makes them")
    if not 1 <= len(features) <= _wire.LAYERS_MAX:
        raise ValueError(f"1 to {_wire.LAYERS_MAX} layers share outputs, not {len(features)}")
    if tokens.pool is None:
        for value in features.values():
            check_width(shape_of(value), None if outputs is None else shape_of(outputs))
    if not tokens.is_all:
        features, outputs, beside = _cut(tokens, features, outputs, beside)
    out = None if outputs is None else _arrays.as_rows(outputs, "outputs")
    layers, left_out = _layer_rows(features, beside.split, out)
    target = None if beside.targets is None else _arrays.as_rows(beside.targets, "targets")
    weight = _weight_rows(beside.weights)
    n = next(iter(layers.values())).n_rows
    for part in (target, weight):
        if part is not None and part.n_rows != n:
            raise ValueError(f"{part.n_rows} rows of targets or weights beside {n} of features")
    return Offer(
        layers,
        out,
        out.n_columns if out is not None else _head.shape_of(head)[0],
        beside.copy,
        target,
        0 if target is None else target.n_columns,
        weight,
        head,
        left_out,
    )


def _cut(
    tokens: Tokens, features: Mapping[str, Any], outputs: Any, beside: Beside
) -> tuple[dict[str, Any], Any, Beside]:
    """The same tokens of everything that has some."""
    layers = {name: indexable(value) for name, value in features.items()}
    columns = [indexable(value) for value in (outputs, beside.targets)]
    weights = indexable(beside.weights)
    if tokens.chooses and beside.mask is None:
        check_lengths(
            [tokens.batch_leading(value, 3) for value in layers.values()],
            [tokens.batch_leading(value, 3) for value in columns if value is not None],
            [tokens.batch_leading(value, 2) for value in (weights,) if value is not None],
        )
    layers = {name: tokens.columns(value) for name, value in layers.items()}
    outputs, targets = (None if v is None else tokens.columns(v) for v in columns)
    weights = None if weights is None else tokens.values(weights)
    return layers, outputs, replace(beside, targets=targets, weights=weights)


def of_split(layer: str, split: Optional[str]) -> str:
    """The layer that rows of a split belong to (INGEST.md)."""
    return layer if split in (None, "train") else f"{layer}@{split}"


def _layer_rows(
    features: Mapping[str, Any], split: Optional[str], out: Optional[_arrays.Rows]
) -> tuple[dict[str, _arrays.Rows], dict[str, str]]:
    """The rows of each layer that fits, by its name in richd, and why the others do not."""
    layers, left_out = {}, {}
    for name, value in features.items():
        try:
            layers[of_split(name, split)] = _rows_of_layer(name, value, out)
        except ValueError as error:
            if len(features) == 1:
                raise
            left_out[name] = str(error)
    if not layers:
        raise ValueError(next(iter(left_out.values())))
    return layers, left_out


def _rows_of_layer(name: str, value: Any, out: Optional[_arrays.Rows]) -> _arrays.Rows:
    _wire.check_layer_name(name)
    rows = _arrays.as_rows(value, "features")
    if out is not None and rows.n_rows != out.n_rows:
        raise ValueError(f"{rows.n_rows} rows of features beside {out.n_rows} of outputs")
    if rows.n_columns > _wire.FEATURES_MAX:
        raise ValueError(f"{rows.n_columns} features, at most {_wire.FEATURES_MAX} travel")
    return rows


def _dtype(part: Optional[_arrays.Rows]) -> int:
    return _wire.DTYPE_NONE if part is None else part.dtype


def _weight_rows(weights: Any) -> Optional[_arrays.Rows]:
    if weights is None:
        return None
    flat = _arrays.as_rows(weights, "weights")
    return flat if flat.n_columns == 1 else _arrays.as_rows(weights.reshape(-1), "weights")
