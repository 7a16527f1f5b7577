"""Padding, sequences with the time first, and pictures: what a row is, and what is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from richd._values.offers import Kinds, offers
from richd._values.rows import Beside

B, T, P, C = 3, 6, 5, 4
X = np.random.default_rng(0).normal(size=(B, T, P)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(B, T, C)).astype(np.float32)
LABELS = np.arange(B * T).reshape(B, T) % C
LEFT = np.array([[0, 0, 0, 1, 1, 1], [0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]])
RIGHT = LEFT[:, ::-1].copy()
CONVERT = pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])


def taken(x, y, **options):
    """(features, outputs, labels) of the rows that are offered."""
    (offer,), said = offers({"head": x}, y, None, Beside(**options), Kinds())
    assert said == []
    labels = None if offer.targets is None else offer.targets.values[:, 0].tolist()
    return offer.layers["head"].values, offer.outputs.values, labels


@CONVERT
@pytest.mark.parametrize("mask", [LEFT, RIGHT, RIGHT.astype(bool), RIGHT.astype(np.float32)])
def test_padding_is_no_row(convert, mask):
    x, y, labels = taken(
        convert(X), convert(Y), mask=convert(mask), labels=convert(LABELS)
    )
    real = mask.astype(bool)
    assert np.array_equal(x, X[real]) and np.array_equal(y, Y[real])
    assert labels == LABELS[real].tolist()


@CONVERT
@pytest.mark.parametrize(
    ("choice", "mask", "at"),
    [
        ({"position": "last"}, RIGHT, [(0, 2), (1, 4), (2, 5)]),
        ({"position": "last"}, LEFT, [(0, 5), (1, 5), (2, 5)]),
        ({"position": 0}, LEFT, [(0, 3), (1, 1), (2, 0)]),
        ({"position": 4}, RIGHT, [(1, 4), (2, 4)]),
        ({"position": [0, -1]}, RIGHT, [(0, 0), (0, 2), (1, 0), (1, 4), (2, 0), (2, 5)]),
        ({"tokens": 2}, RIGHT, [(0, 0), (0, 2), (1, 1), (1, 4), (2, 2), (2, 5)]),
        ({"tokens": 1}, LEFT, [(0, 5), (1, 5), (2, 5)]),
        ({"tokens": 5}, LEFT[:1], [(0, 3), (0, 4), (0, 5)]),
        ({"position": "last"}, np.array([[1] * T, [0] * T, [1, 1, 0, 0, 0, 0]]), [(0, 5), (2, 1)]),
    ],
)
def test_positions_are_those_of_the_tokens_that_are_no_padding(convert, choice, mask, at):
    n = len(mask)
    x, y, labels = taken(
        convert(X[:n]), convert(Y[:n]), mask=convert(mask), labels=convert(LABELS[:n]), **choice
    )
    rows = tuple(np.array(at).T)
    assert np.array_equal(x, X[rows]) and np.array_equal(y, Y[rows])
    assert labels == LABELS[rows].tolist()


def test_what_sequences_have_goes_with_their_one_token():
    mask = np.array([[1] * T, [0] * T, [1, 1, 0, 0, 0, 0]])
    x, y, labels = taken(X, Y[:, 0], mask=mask, position="last", labels=np.array([3, 1, 2]))
    assert np.array_equal(x, X[[0, 2], [5, 1]]) and np.array_equal(y, Y[[0, 2], 0])
    assert labels == [3, 2]


def test_a_mask_that_does_not_fit_is_refused():
    for mask, text in ((LEFT[:, 1:], "does not go with"), (LEFT[0], r"\(batch, sequence\)")):
        with pytest.raises(ValueError, match=text):
            taken(X, Y, mask=mask)


@CONVERT
@pytest.mark.parametrize("options", [{}, {"position": "last"}, {"tokens": 2}, {"mask": RIGHT}])
def test_time_first_is_the_same_rows(convert, options):
    expected = taken(X, Y, labels=LABELS, **options)
    first = [convert(values.swapaxes(0, 1)) for values in (X, Y, LABELS)]
    for labels in (first[2], first[2].reshape(-1)):
        found = taken(first[0], first[1], labels=labels, batch_first=False, **options)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected))


@CONVERT
def test_pictures_are_their_mean(convert):
    x = np.random.default_rng(2).normal(size=(B, P, 4, 3)).astype(np.float32)
    for values in (convert(x), convert(x.reshape(B, P, 12))):
        found, outputs, labels = taken(values, Y[:, 0], pool="mean", labels=np.array([0, 1, 2]))
        assert np.allclose(found, x.mean((2, 3)), atol=1e-6) and labels == [0, 1, 2]
    last = torch.tensor(x).to(memory_format=torch.channels_last)
    assert np.allclose(taken(last, Y[:, 0], pool="mean")[0], x.mean((2, 3)), atol=1e-6)
    half = torch.tensor(x).bfloat16()
    assert np.allclose(taken(half, Y[:, 0], pool="mean")[0], x.mean((2, 3)), atol=1e-2)


def test_a_width_is_no_feature():
    picture = np.ones((B, P, 7, 7), np.float32)
    for outputs in (np.ones((B, C)), np.ones((B, C, 7, 7))):
        with pytest.raises(ValueError, match='7: for .* pass pool="mean"'):
            taken(picture, outputs)
    x, _, _ = taken(np.ones((B, 7, 7, P)), np.ones((B, 7, 7, C)))  # a layer of the last dimension
    assert x.shape == (B * 49, P)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"pool": "max"}, "pool is None or"),
        ({"pool": "mean", "position": 0}, "give no position"),
        ({"pool": "mean", "batch_first": False}, "give no position"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, text):
    with pytest.raises(ValueError, match=text):
        taken(X, Y, **options)
