"""Rows that a tap holds until the checkpoint: whose they are, and when they are let go."""

from __future__ import annotations

import pytest
import torch

from richd._link import wire as _wire
from richd._values import arrays as _arrays
from support import python

nn = torch.nn


def network():
    return nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


def marks(daemon, run, step=9):
    run.checkpoint(step=step, wait=True)
    return daemon.controls("checkpoint")[-1]["layers"]


def test_a_run_that_ends_without_a_checkpoint_lets_go_of_them(run):
    model, loss = network(), nn.CrossEntropyLoss()
    tap = run.watch(model, layer="2", labels=loss)
    for _ in range(3):
        loss(model(torch.ones(8, 5)), torch.zeros(8, dtype=torch.long))
    model(torch.ones(8, 5))  # waits for its labels
    run.finish()
    assert tap.thinning.take(1 << 30) == []
    assert run.stats.rows_offered == 32


def test_those_of_a_removed_tap_go_with_the_next_checkpoint(daemon, run):
    model = network()
    for step in range(4):
        tap = run.watch(model, layer="2")
        model(torch.ones(8, 5))
        tap.remove()
        assert marks(daemon, run, step)["2"] == {"seq": step + 1, "rows": 8 * (step + 1)}
    assert run._thinnings == []


def test_rows_without_labels_are_counted_once(daemon, run):
    model = network()
    tap = run.watch(model, layer="2")
    labels = torch.tensor([0, 1, 2, -100]).repeat(25)
    for _ in range(100):
        model(torch.ones(100, 5))
        tap.labels(labels)
    counts = marks(daemon, run)
    assert counts["2"]["thinned"] > 2 * counts["2@unlabelled"]["thinned"] > 0
    total = sum(layer["rows"] + layer["thinned"] for layer in counts.values())
    assert total == pytest.approx(10_000, rel=0.01)


def test_a_layer_of_other_rows_does_not_count_for_the_others(daemon, run):
    """It is drawn from as well, before it is known that its rows are not those of the outputs."""

    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.head = nn.Linear(5, 4), nn.Linear(5, 4), nn.Linear(4, 3)

        def forward(self, x):
            features = self.first(x)
            self.second(x[: len(x) // 3])
            return self.head(features)

    model = Other()
    run.watch(model, layers=["first", "second"], outputs="head")
    for _ in range(100):
        model(torch.ones(99, 5))
    count = marks(daemon, run)["first"]
    assert count["rows"] + count["thinned"] == 9900


def test_a_layer_that_cannot_be_sent_does_not_hold_up_the_others(daemon, run):
    model = network()
    long = "x" * (_wire.LAYER_NAME_MAX - 2)
    run.watch(model, layer=long, module="0")
    run.watch(model, layer="2")
    model.eval()
    for step in range(2):
        model(torch.ones(8, 5))
        assert marks(daemon, run, step)["2@eval"]["rows"] == 8 * (step + 1)


def test_rows_that_find_no_memory_do_not_hold_up_the_others(daemon, run, monkeypatch, caplog):
    model = network()
    run.watch(model, layer="0")
    run.watch(model, layer="2")
    join = _arrays.join

    def join_some(parts):
        if parts[0].shape[1] == 5:
            raise RuntimeError("out of memory")  # as CUDA has it
        return join(parts)

    monkeypatch.setattr(_arrays, "join", join_some)
    for step in range(2):
        for _ in range(2):
            model(torch.ones(8, 5))
        assert marks(daemon, run, step)["2"]["rows"] == 16 * (step + 1)
    assert "out of memory" in caplog.text


def test_a_program_that_ends_while_rows_are_let_go_ends_well():
    code = """
import tempfile, richd, torch
model = torch.nn.Linear(512, 10)
with richd.init(runtime_dir=tempfile.mkdtemp()) as run:
    run.watch(model, module=model, rows="all")
    for step in range(30):
        model(torch.zeros(512, 512))
    run.checkpoint(step=step)
"""
    ended = python(code)
    assert ended.returncode == 0, ended.stderr
