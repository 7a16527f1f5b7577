"""Heads in host memory: their triangle is made beside the training, of the weights as they were."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch

from richd._values import head as _head
from richd._values.triangle import COPY_BYTES, TornError, Triangle
from support import connected, python, wait_until

P, C = 128, 4096  # 2 MiB: more than the training thread copies


def new_weight(c=C, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.nn.Parameter(torch.randn(c, P, generator=generator).to(dtype))


def kernel_of(packed):
    r = np.zeros((P, P))
    r[np.triu_indices(P)] = packed
    return r.T @ r


def assert_is_triangle_of(packed, weight):
    w = weight.detach().double().numpy()
    exact = w.T @ w
    assert np.abs(kernel_of(packed) - exact).max() <= 1e-6 * np.linalg.norm(exact)


def step(weight):
    """What an optimizer does."""
    with torch.no_grad():
        weight.add_(torch.ones_like(weight), alpha=0.01)


def step_by_data(weight):
    """As older ones do: torch does not count it."""
    weight.data.add_(torch.ones_like(weight), alpha=0.01)


class Held:
    """Stops every triangle before its decomposition, until `go`."""

    def __init__(self, monkeypatch):
        self.reached, self.may_go = threading.Event(), threading.Event()
        make = _head.triangle_of

        def held(matrix, go_on):
            self.reached.set()
            while not self.may_go.wait(0.005):
                go_on()
            return make(matrix, go_on)

        monkeypatch.setattr(_head, "triangle_of", held)

    def go(self):
        self.may_go.set()


@pytest.fixture
def held(monkeypatch):
    one = Held(monkeypatch)
    yield one
    one.go()


def heads_of(daemon):
    return [(header, frames[0]) for _, header, _, frames in daemon.batches() if header.kind == 3]


# ---- one triangle --------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("c", [C, 100])
@pytest.mark.parametrize("copy", [False, True])
def test_it_is_that_of_the_weights_and_said_when_it_is_there(dtype, c, copy):
    weight, woken = new_weight(c, dtype), threading.Event()
    triangle = Triangle(weight, woken.set)
    triangle.start(copy)
    triangle.wait()
    assert woken.is_set() and triangle.is_there() and triangle.weight is None
    assert_is_triangle_of(triangle.packed, weight)


@pytest.mark.parametrize("write", [step, step_by_data])
def test_weights_that_change_before_the_copy_begins_are_not_taken(write):
    weight = new_weight()
    assert weight.numel() * weight.element_size() > COPY_BYTES
    triangle = Triangle(weight, lambda: None)
    begin = triangle._main
    triangle._thread = threading.Thread(target=lambda: (write(weight), begin()))
    triangle.start(copy=False)
    with pytest.raises(TornError, match="behind the optimizer's step"):
        triangle.wait()
    assert triangle.was_torn


@pytest.mark.parametrize("write", [step, step_by_data])
def test_weights_that_change_during_the_copy_are_not_taken(monkeypatch, write):
    """The write falls between the pieces, or into the second reading."""
    monkeypatch.setattr("richd._values.triangle._PIECE_BYTES", COPY_BYTES)
    for piece in range(3):
        weight = new_weight()
        triangle = Triangle(weight, lambda: None)
        pieces = iter(range(100))
        triangle._go_on = lambda: write(weight) if next(pieces) == piece else None
        triangle.start(copy=False)
        with pytest.raises(TornError):
            triangle.wait()


@pytest.mark.parametrize(("c", "copy"), [(C, True), (1000, False)])
def test_weights_that_are_copied_at_once_may_change(held, c, copy):
    weight = new_weight(c)
    before = weight.detach().clone()
    triangle = Triangle(weight, lambda: None)
    triangle.start(copy)
    step_by_data(weight)
    held.go()
    triangle.wait()
    assert_is_triangle_of(triangle.packed, before)


def test_the_process_forks_while_a_triangle_is_computed():
    """As a DataLoader does at each epoch: OpenBLAS ends its threads before."""
    code = """
import faulthandler, os, torch
from richd._values.triangle import Triangle
faulthandler.dump_traceback_later(60, exit=True)
weight, n_forks = torch.nn.Parameter(torch.randn(8192, 512)), 0
while n_forks < 20:
    triangle = Triangle(weight, lambda: None)
    triangle.start(copy=False)
    while not triangle.is_there() and n_forks < 20:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
        n_forks += 1
    triangle.wait()
"""
    ended = python(code)
    assert ended.returncode == 0, ended.stderr


# ---- in a run ------------------------------------------------------------------------------------


def test_a_checkpoint_waits_for_no_head_and_the_point_has_it(daemon, run, held):
    weight = new_weight()
    run.observe(torch.randn(8, P), head=weight, step=1)
    run.checkpoint(step=1)
    run.log({"x": 1.0}, step=2)
    assert held.reached.wait(10)
    step(weight)  # the copy is made
    assert not heads_of(daemon) and not daemon.controls("checkpoint")
    held.go()
    assert wait_until(lambda: daemon.controls("log"), timeout=20)
    (mark,) = daemon.controls("checkpoint")
    slices = heads_of(daemon)
    assert mark["layers"]["head"] == {"seq": 1 + len(slices), "rows": 8}
    assert [header.first_row for header, _ in slices] == [0]


def test_a_checkpoint_that_finds_the_last_head_unmade_has_none(daemon, run, held, caplog):
    weight = new_weight()
    for number in (1, 2):
        run.observe(torch.randn(8, P), head=weight, step=number)
        run.checkpoint(step=number)
    held.go()
    assert wait_until(lambda: len(daemon.controls("checkpoint")) == 2, timeout=20)
    assert len(heads_of(daemon)) == 1
    assert "this point has none" in caplog.text


@pytest.mark.parametrize("look", [torch.detach, lambda w: w.detach().numpy()])
def test_heads_do_not_pile_up_where_each_call_gives_another_look_at_the_weights(run, held, look):
    weight = new_weight()
    for number in range(5):
        run.observe(torch.randn(8, P), head=look(weight), step=number)
        run.checkpoint(step=number)
    assert sum(thread.name == "richd-head" for thread in threading.enumerate()) == 1


def test_a_head_that_was_torn_is_copied_by_the_next_checkpoints(daemon, run, monkeypatch, caplog):
    weight, copies = new_weight(), []
    start = Triangle.start
    monkeypatch.setattr(Triangle, "start", lambda self, copy: (copies.append(copy),
                                                               start(self, copy)))
    monkeypatch.setattr(Triangle, "_go_on", lambda self: step(weight) if len(copies) == 1 else None)
    for number in (1, 2):
        run.observe(torch.randn(8, P), head=weight, step=number)
        run.checkpoint(step=number)
        assert wait_until(lambda: len(daemon.controls("checkpoint")) == number, timeout=20)
    assert copies == [False, True] and len(heads_of(daemon)) == 1
    assert "behind the optimizer's step" in caplog.text


def test_a_checkpoint_that_waits_computes_the_head_itself(daemon, run, monkeypatch):
    monkeypatch.setattr(Triangle, "start", None)
    run.observe(torch.randn(8, P), head=new_weight(), step=1)
    assert run.checkpoint(step=1, wait=True, timeout=20)
    assert len(heads_of(daemon)) == 1


def test_numpy_weights_may_be_written_over_behind_the_call(daemon, run):
    weight = new_weight().detach().numpy()
    before = weight.copy()
    run.observe(np.ones((8, P)), head=weight, step=1)
    run.checkpoint(step=1)
    weight[:] = 0
    assert wait_until(lambda: daemon.controls("checkpoint"), timeout=20)
    ((_, frame),) = heads_of(daemon)
    assert_is_triangle_of(np.frombuffer(frame, np.float32), torch.from_numpy(before))


def test_a_run_ends_in_time_without_the_head_that_is_not_there(daemon, held):
    run = connected(daemon)
    run.observe(torch.randn(8, P), head=new_weight(), step=1)
    run.checkpoint(step=1)
    assert held.reached.wait(10)
    threads = [t for t in threading.enumerate() if t.name == "richd-head"]
    began = time.monotonic()
    run.finish(timeout=2.0)
    assert time.monotonic() - began < 10, "and not until the head is there"
    assert daemon.controls("checkpoint") and daemon.controls("close") and not heads_of(daemon)
    assert threads and wait_until(lambda: not any(t.is_alive() for t in threads))
