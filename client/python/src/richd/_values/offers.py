"""Which layer the rows of a call go to, by the labels or targets that they have.

Called by the training thread, or several of them. `_rows` checks the rows, `_labels` reads labels,
`Run` queues what comes of it.

A layer has labels of K classes, K values, or neither, from its first rows on (INGEST.md), and its
measures are those of one population: of all its rows and of all its classes. So rows that have no
label, in a layer where others have one, are a layer of their own, NAME@unlabelled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Optional

import numpy as np

from richd._values import arrays as _arrays, labels as _labels
from richd._values.labels import NONE, Kind
from richd._values.rows import Beside, Offer, check
from richd._values.tokens import Tokens, shape_of


class Kinds:
    """What each layer of a run has, by its name in richd. Any thread."""

    def __init__(self) -> None:
        self._of: dict[str, Kind] = {}

    def settle(self, layer: str, kind: Kind) -> Kind:
        """What the layer has: `kind` when these are its first rows."""
        return self._of.setdefault(layer, kind)

    def has_targets(self, layer: str) -> bool:
        """Whether the layer began with labels or values."""
        return self._of.get(layer, NONE) != NONE


def offers(
    features: Mapping[str, Any], outputs: Any, head: Any, beside: Beside, kinds: Kinds
) -> tuple[list[Offer], list[str]]:
    """The rows of a call, each for the layer it goes to, and what is wrong with their labels.

    A wrong label costs the label, and not its row. Raises ValueError as `check` does, and where
    options contradict each other.
    """
    if beside.labels is not None and beside.targets is not None:
        raise ValueError("give labels or targets, not both")
    if beside.balanced and (beside.labels is None or beside.weights is not None):
        raise ValueError("balanced=True needs labels, and no weights of its own")
    tokens = beside.choice()
    offer = check(features, outputs, head, beside, tokens)
    if beside.labels is None:
        return _placed(offer, _kind_of(offer), kinds)
    try:
        found = _read(features, offer, beside, tokens)
    except (ValueError, TypeError) as error:
        placed, said = _placed(offer, NONE, kinds)
        return placed, [f"labels are left out: {error}", *said]
    placed, said = _with_labels(offer, found, beside.balanced, kinds)
    return placed, said if found.complaint is None else [found.complaint, *said]


def _kind_of(offer: Offer) -> Kind:
    return NONE if offer.targets is None else ("values", offer.n_targets)


def _read(
    features: Mapping[str, Any], offer: Offer, beside: Beside, tokens: Tokens
) -> _labels.Labels:
    shape = shape_of(next(iter(features.values())))
    n_classes = beside.n_classes or offer.n_outputs
    return _labels.read(beside.labels, tokens, shape, n_classes, beside.ignore_index)


def _with_labels(
    offer: Offer, found: _labels.Labels, balanced: bool, kinds: Kinds
) -> tuple[list[Offer], list[str]]:
    """The rows that have a label, and those that have none."""
    index, rows = found.with_label, found.rows
    if index is None:
        return _placed(_labelled(offer, rows, found.kind, balanced), found.kind, kinds)
    placed: list[Offer] = []
    said: list[str] = []
    if len(index) > 0:
        part = _labelled(offer.part(index), rows.picked(index), found.kind, balanced)
        placed, said = _placed(part, found.kind, kinds)
    others = np.setdiff1d(np.arange(rows.n_rows), index, assume_unique=True)
    return placed + _placed(offer.part(others), found.kind, kinds)[0], said


def _labelled(offer: Offer, rows: _arrays.Rows, kind: Kind, balanced: bool) -> Offer:
    weights = offer.weights
    if balanced:
        weights = _arrays.as_rows(_labels.balanced_weights(rows), "weights")
    return replace(offer, targets=rows, n_targets=kind[1], weights=weights)


# ---- layers --------------------------------------------------------------------------------------


def _placed(offer: Offer, kind: Kind, kinds: Kinds) -> tuple[list[Offer], list[str]]:
    """The offer as its layers take it; `kind` is what they have if these are their first rows."""
    has_kind = (offer.targets is None) == (kind == NONE)
    if has_kind and all(kinds.settle(name, kind) == kind for name in offer.layers):
        return [offer], []
    groups: dict[tuple[Kind, bool], dict[str, _arrays.Rows]] = {}
    said = []
    for name, rows in offer.layers.items():
        has = kinds.settle(name, kind)
        takes = has if _goes_with(offer, has) else NONE
        is_other = takes != has
        if is_other and kind != has:
            said.append(
                f"{name} began with {_said(has)}: rows with {_said(kind)} are the layer "
                f"{_labels.unlabelled(name)}"
            )
        if takes == NONE and offer.targets is not None and not is_other:
            said.append(f"labels of {name} are left out: it began without, in its first rows")
        own = _labels.unlabelled(name) if is_other else name
        groups.setdefault((takes, is_other), {})[own] = rows
    return [_as(replace(offer, layers=part), takes) for (takes, _), part in groups.items()], said


def _goes_with(offer: Offer, kind: Kind) -> bool:
    """Whether rows with these targets can be those of a layer that has that."""
    if offer.targets is None or kind == NONE:
        return kind == NONE
    return kind[1] == offer.n_targets and (
        kind[0] == "values" or _labels.are_labels(offer.targets)
    )


def _as(offer: Offer, kind: Kind) -> Offer:
    """The offer with its targets as the layer has them; NONE: without."""
    targets: Optional[_arrays.Rows] = offer.targets
    if kind == NONE or targets is None:
        return replace(offer, targets=None, n_targets=0)
    if kind[0] == "values" and _labels.are_labels(targets):
        return replace(offer, targets=_labels.one_hot(targets, kind[1]))
    return offer


def _said(kind: Kind) -> str:
    return "no labels" if kind == NONE else f"{kind[1]} {kind[0]}"
