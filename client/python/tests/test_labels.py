"""Labels in every form that people have them in, and rows that have none."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import richd
from richd._link import wire as _wire
from richd._values import arrays as _arrays, offers as _offers
from richd._values.rows import Beside
from support import wait_until

N, P, C = 6, 5, 4
X = np.random.default_rng(0).normal(size=(N, P)).astype(np.float32)
Y = np.random.default_rng(1).normal(size=(N, C)).astype(np.float32)
LABELS = np.array([0, 3, 1, 1, 2, 0])
SOFT = np.full((N, C), 0.1, np.float32) + 0.6 * np.eye(C, dtype=np.float32)[LABELS]


def offered(labels, kinds=None, x=X, y=Y, **options):
    """Each layer's rows and targets, by name, and what was said."""
    kinds = _offers.Kinds() if kinds is None else kinds
    beside = Beside(labels=labels, **options)
    offers, said = _offers.offers({"head": x}, y, None, beside, kinds)
    rows = {}
    for offer in offers:
        for name, part in offer.layers.items():
            targets = None if offer.targets is None else offer.targets.values
            rows[name] = (part.values, targets, offer.n_targets)
            assert offer.outputs.n_rows == part.n_rows
    return rows, said


FORMS = {
    "integers": LABELS,
    "a column": LABELS[:, None],
    "unsigned bytes": LABELS.astype(np.uint8),
    "floats": LABELS.astype(np.float32),
    "half": torch.tensor(LABELS).bfloat16(),
    "one-hot": np.eye(C)[LABELS],
    "one-hot booleans": torch.nn.functional.one_hot(torch.tensor(LABELS), C).bool(),
    "a list": LABELS.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_mean_the_same_in_every_form(form):
    rows, said = offered(FORMS[form])
    features, targets, n_classes = rows["head"]
    assert set(rows) == {"head"} and said == [] and n_classes == C
    assert np.array_equal(features, X) and np.array_equal(targets[:, 0], LABELS)
    assert targets.dtype in (np.int32, np.int64)


def test_soft_labels_are_values():
    for _, labels in (("numpy", SOFT), ("torch", torch.tensor(SOFT))):
        rows, said = offered(labels)
        assert np.array_equal(rows["head"][1], SOFT) and rows["head"][2] == C and said == []


@pytest.mark.parametrize(
    ("labels", "options"),
    [
        (np.array([0, -100, 1, 1, -1, 0]), {}),
        (np.array([0, 255, 1, 1, 255, 0]), {"ignore_index": 255}),
        (np.array([0, np.nan, 1, 1, np.nan, 0]), {}),
        (np.array([0, 3, 1, 1, 3, 0]), {"ignore_index": 3}),
        (np.eye(C)[LABELS] * np.array([1, 0, 1, 1, 0, 1])[:, None], {}),
    ],
    ids=["below 0", "named", "nan", "named class", "no column"],
)
def test_rows_without_a_label_keep_their_features(labels, options):
    rows, said = offered(labels, **options)
    have, lack = [0, 2, 3, 5], [1, 4]
    assert said == [] and set(rows) == {"head", "head@unlabelled"}
    assert np.array_equal(rows["head"][0], X[have])
    assert np.array_equal(rows["head"][1][:, 0], LABELS[have])
    assert np.array_equal(rows["head@unlabelled"][0], X[lack])
    assert rows["head@unlabelled"][1] is None


def test_the_layer_of_a_split_has_its_own_rows_without_labels():
    rows, _ = offered(np.array([0, -100, 1, 1, 2, 0]), split="eval")
    assert set(rows) == {"head@eval", "head@eval-unlabelled"}


def test_a_first_batch_without_a_label_does_not_cost_the_next_its_labels():
    kinds = _offers.Kinds()
    rows, _ = offered(np.full(N, -100), kinds)
    assert set(rows) == {"head@unlabelled"}
    rows, said = offered(LABELS, kinds)
    assert rows["head"][1] is not None and said == []


WRONG = {
    "too many": (np.zeros(N + 1, int), "7 labels, of shape"),
    "strings": (np.array(["cat"] * N), "not whole numbers"),
    "fractions": (np.arange(N) / 2, "0.5 is no whole number"),
    "objects": ([object()] * N, "not whole numbers"),
    "ragged": ([[1], [2, 3]], ""),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_labels_cost_the_labels_and_not_the_rows(wrong):
    labels, text = WRONG[wrong]
    for kinds, layer in ((_offers.Kinds(), "head"), (_offers.Kinds(), "head@unlabelled")):
        if layer != "head":
            offered(LABELS, kinds)
        rows, said = offered(labels, kinds)
        assert set(rows) == {layer} and np.array_equal(rows[layer][0], X)
        assert said[0].startswith("labels are left out: ") and text in said[0]


def test_a_label_beyond_the_classes_costs_itself():
    rows, said = offered(np.array([0, 3, 1, 9, 2, 0]))
    assert len(rows["head"][0]) == 5 and len(rows["head@unlabelled"][0]) == 1
    assert said == ["a label is 9, of 4 classes: give n_classes"]


def test_a_layer_goes_on_as_it_began():
    kinds = _offers.Kinds()
    offered(None, kinds)
    rows, said = offered(LABELS, kinds)
    assert rows["head"][1] is None and "began without" in said[0]
    kinds = _offers.Kinds()
    offered(LABELS, kinds)
    rows, said = offered(None, kinds)
    assert set(rows) == {"head@unlabelled"} and "began with 4 classes" in said[0]
    rows, said = offered(SOFT, kinds)
    assert set(rows) == {"head@unlabelled"} and "4 values" in said[0]
    kinds = _offers.Kinds()
    offered(SOFT, kinds)
    rows, said = offered(LABELS, kinds)
    assert np.array_equal(rows["head"][1], np.eye(C)[LABELS]) and said == []


def test_labels_of_tokens_and_of_sequences():
    x = np.arange(2 * 3 * P, dtype=np.float32).reshape(2, 3, P)
    y = np.ones((2, 3, C), np.float32)
    tokens = np.array([[0, 1, -100], [2, -100, 3]])
    rows, _ = offered(tokens, x=x, y=y)
    assert rows["head"][1][:, 0].tolist() == [0, 1, 2, 3]
    assert np.array_equal(rows["head@unlabelled"][0], [x[0, 2], x[1, 1]])
    rows, _ = offered(np.eye(C)[[[0, 1, 2], [2, 1, 3]]], x=x, y=y)
    assert rows["head"][1][:, 0].tolist() == [0, 1, 2, 2, 1, 3]
    for labels in (tokens, [1, 3], np.eye(C)[[1, 3]], np.eye(C)[[[0, 1, 1], [2, 1, 3]]]):
        rows, said = offered(np.array(labels), x=x, y=y, position=-1)
        taken = rows["head"]
        assert said == [] and taken[1][-1, 0] == 3 and np.array_equal(taken[0][-1], x[1, -1])
    rows, _ = offered(tokens.reshape(-1), x=x, y=y)
    assert rows["head"][1][:, 0].tolist() == [0, 1, 2, 3]


def test_classes_are_balanced_over_the_rows_that_have_a_label():
    beside = Beside(labels=np.array([0, -100, 1, 1, 1, -100]), balanced=True)
    offers, _ = _offers.offers({"head": X}, Y, None, beside, _offers.Kinds())
    first, second = offers
    assert np.allclose(first.weights.values.ravel(), [2, 2 / 3, 2 / 3, 2 / 3])
    assert second.weights is None


def test_wrong_labels_are_warned_of_once_and_raise_behind_the_rows(daemon, caplog):
    with richd.init(endpoint=daemon.address) as run:
        assert wait_until(lambda: run.attempt is not None)
        for n in (1, 2):
            run.observe(X, Y, labels=np.zeros(N + n, int))
    (text,) = [r.getMessage() for r in caplog.records if "observe:" in r.getMessage()]
    assert "labels are left out: 7 labels" in text and len(daemon.batches()) == 2
    with richd.init(endpoint=daemon.address, raise_errors=True) as run:
        assert wait_until(lambda: run.attempt is not None)
        with pytest.raises(ValueError, match="labels are left out"):
            run.observe(X, Y, labels=["a"] * N)
    assert len(daemon.batches()) == 3


def test_what_travels_is_what_was_offered(daemon):
    with richd.init(endpoint=daemon.address) as run:
        run.observe(X, Y, labels=np.array([0, -100, 1, 1, 2, -1]), step=1)
        run.checkpoint(step=1, wait=True)
    first, second = daemon.batches()
    assert (first[2], first[1].n_rows, first[1].targets_dtype) == ("head", 4, _wire.DTYPE_I64)
    assert (second[2], second[1].n_rows, second[1].targets_dtype) == ("head@unlabelled", 2, 0)
    assert np.frombuffer(first[3][2], np.int64).tolist() == [0, 1, 1, 2]
    assert np.array_equal(np.frombuffer(second[3][0], np.float32).reshape(2, P), X[[1, 5]])


def test_rows_that_are_still_computed_are_picked_as_the_others_are():
    class Array(np.ndarray):
        """As far as one of JAX is needed."""

    later = _arrays.LaterRows(X.reshape(2, 3, P).view(Array), N, P, _wire.DTYPE_F32)
    some = later.picked(np.array([1, 4]))
    assert (some.n_rows, some.n_columns) == (2, P)
    assert bytes(staged(some.stage(0, 2, copy=True))) == X[[1, 4]].tobytes()


def staged(rows):
    if rows.wait_filled is not None:
        rows.wait_filled()
    return rows.frame
