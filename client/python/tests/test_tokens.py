"""A fixed choice of tokens, of rows and of what is given beside them."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import richd
from richd._values.offers import Kinds, offers
from richd._values.rows import Beside
from richd._values.tokens import Tokens


BATCH, LENGTH, P, C = 3, 8, 5, 4


def sequences(columns, seed=0):
    return np.random.default_rng(seed).normal(size=(BATCH, LENGTH, columns)).astype(np.float32)


def matrix(rows):
    return rows.values


def check(features, outputs, head, beside):
    (offer,), complaints = offers(features, outputs, head, beside, Kinds())
    if complaints:
        raise ValueError(complaints[0])
    return offer


CHOICES = [
    ({"position": "last"}, [7]),
    ({"position": 2}, [2]),
    ({"position": np.int64(-3)}, [5]),
    ({"position": [0, 7, -1]}, [0, 7]),
    ({"position": (3, 1)}, [3, 1]),
    ({"position": np.array([-8, 4])}, [0, 4]),
    ({"tokens": 1}, [7]),
    ({"tokens": 2}, [3, 7]),
    ({"tokens": 3}, [1, 4, 7]),
    ({"tokens": 8}, list(range(8))),
    ({"tokens": 100}, list(range(8))),
]


@pytest.mark.parametrize("convert", [np.asarray, torch.as_tensor], ids=["numpy", "torch"])
@pytest.mark.parametrize(("choice", "taken"), CHOICES, ids=str)
def test_the_same_tokens_are_taken_of_all_that_is_given(convert, choice, taken):
    x, y, targets = sequences(P), sequences(C, 1), sequences(2, 2)
    labels = np.arange(BATCH * LENGTH).reshape(BATCH, LENGTH) % C
    weights = 1.0 + np.arange(BATCH * LENGTH).reshape(BATCH, LENGTH)
    labelled = Beside(labels=convert(labels), weights=convert(weights), **choice)
    offer = check({"head": convert(x)}, convert(y), None, labelled)
    outputs, label, weight = offer.shared
    assert np.array_equal(matrix(offer.layers["head"]), x[:, taken].reshape(-1, P))
    assert np.array_equal(matrix(outputs), y[:, taken].reshape(-1, C))
    assert np.array_equal(matrix(label), labels[:, taken].reshape(-1, 1))
    assert np.array_equal(matrix(weight), weights[:, taken].reshape(-1, 1))
    regression = Beside(targets=convert(targets), **choice)
    offer = check({"head": convert(x)}, convert(y), None, regression)
    assert np.array_equal(matrix(offer.shared[1]), targets[:, taken].reshape(-1, 2))


def test_labels_of_whole_sequences_go_with_one_token():
    beside = Beside(labels=np.arange(BATCH), position="last")
    offer = check({"head": sequences(P)}, sequences(C), None, beside)
    assert np.array_equal(matrix(offer.shared[1]), [[0], [1], [2]])


def test_classes_are_balanced_over_the_tokens_that_are_taken():
    labels = np.zeros((BATCH, LENGTH), dtype=np.int64)
    labels[0, -1] = 1  # 1 of the 3 last tokens, 1 of all 24
    beside = Beside(labels=labels, balanced=True, position="last")
    offer = check({"head": sequences(P)}, sequences(C), None, beside)
    assert np.allclose(matrix(offer.shared[2]).ravel(), [3 / 2, 3 / 4, 3 / 4])


def test_a_head_needs_no_outputs_to_be_cut():
    weight = np.ones((C, P), dtype=np.float32)
    offer = check({"head": sequences(P)}, None, weight, Beside(tokens=2))
    assert offer.layers["head"].n_rows == 2 * BATCH and offer.shared == []


@pytest.mark.parametrize(
    ("beside", "text"),
    [
        (Beside(position=LENGTH), "no position 8"),
        (Beside(position=[0, -9]), "no position -9"),
        (Beside(position=[]), "position is"),
        (Beside(position="first"), "position is"),
        (Beside(position=0.5), "position is"),
        (Beside(tokens=0), "at least 1"),
        (Beside(tokens=1.5), "at least 1"),
        (Beside(position=0, tokens=2), "not both"),
        (Beside(tokens=2, labels=np.zeros((BATCH, LENGTH - 1), dtype=int)), "21 labels"),
        (Beside(tokens=2, labels=np.zeros(BATCH, dtype=int)), "3 labels, of shape"),
    ],
)
def test_a_choice_that_fits_nothing_is_refused(beside, text):
    with pytest.raises(ValueError, match=text):
        check({"head": sequences(P)}, sequences(C), None, beside)


def test_rows_without_a_sequence_have_no_tokens_to_choose():
    with pytest.raises(ValueError, match=r"\(batch, sequence, p\)"):
        check({"head": np.ones((4, P))}, np.ones((4, C)), None, Beside(position=0))


def test_a_choice_of_none_is_every_token():
    tokens = Tokens()
    values = sequences(P)
    assert tokens.is_all and tokens.columns(values) is values


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(5, P)
        self.head = torch.nn.Linear(P, C)

    def forward(self, x):
        return self.head(self.body(x))


def test_taps_take_the_same_tokens(daemon):
    model = Net()
    with richd.init(endpoint=daemon.address) as run:
        run.watch(model, layer="head", position=[0, -1])
        run.watch(model, layer="even", module="head", tokens=2)
        run.watch(model, layers="body", outputs="head", tokens=2)
        y = model(torch.randn(BATCH, LENGTH, 5)).detach()
        run.checkpoint(step=0, wait=True)
    sent = {name: frames for _, _, name, frames in daemon.batches()}
    for name, taken in (("head", [0, 7]), ("even", [3, 7]), ("body", [3, 7])):
        outputs = np.frombuffer(sent[name][1], np.float32).reshape(-1, C)
        assert np.array_equal(outputs, y[:, taken].reshape(-1, C))


def test_a_tap_with_a_choice_that_means_nothing_is_one_warning(daemon, caplog):
    with richd.init(endpoint=daemon.address) as run:
        run.watch(Net(), layer="head", position="first")
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "position is" in record.getMessage()
