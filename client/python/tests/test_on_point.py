"""What is told of the points of a run: each of them, in order, and never at the training's cost."""

from __future__ import annotations

import logging
import threading
import time

import numpy as np
import pytest

import richd
from richd._link import listener as _listener
from support import connected, wait_until

ROWS = np.eye(8, 4, dtype=np.float32)


def measure(run, *steps):
    for step in steps:
        run.observe(ROWS, ROWS, step=step)
        run.checkpoint(step=step)


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_each_point_is_told_in_order_on_a_thread_of_its_own(daemon):
    run = connected(daemon)
    told = []
    run.on_point(lambda point: told.append((point.step, point.d_lr, threading.current_thread())))
    measure(run, *range(20))
    run.finish()
    assert [step for step, _, _ in told] == list(range(20))
    assert {value for _, value, _ in told} == {0.5}
    assert {thread.name for _, _, thread in told} == {"richd-on-point"}


def test_it_stands_above_a_function(daemon):
    run = connected(daemon)
    told = []

    @run.on_point
    def tell(point):
        told.append(point.layer)

    measure(run, 1)
    run.finish()
    assert told == ["head"] and callable(tell)


def test_what_raises_costs_one_warning_and_no_other_listener(daemon, caplog):
    run = connected(daemon)
    told = []

    def fail(point):
        raise RuntimeError(f"no room at {point.step}")

    run.on_point(fail)
    run.on_point(told.append)
    measure(run, 0, 1, 2)
    run.finish()
    assert len(told) == 3
    (warning,) = warnings(caplog)
    assert "fail" in warning and "RuntimeError: no room at 0" in warning


def test_what_raises_is_raised_in_the_next_call_where_that_was_asked_for(daemon):
    run = connected(daemon, raise_errors=True)
    run.on_point(lambda point: 1 / 0)
    run.observe(ROWS, ROWS, step=1)
    run.checkpoint(step=1)
    assert wait_until(lambda: run.stats.last_error)
    with pytest.raises(richd.RichdError, match="ZeroDivisionError"):
        run.observe(ROWS, ROWS, step=2)
    run.finish()


def test_a_slow_one_holds_nothing_up_and_loses_points_beyond_its_queue(daemon, caplog, monkeypatch):
    monkeypatch.setattr(_listener, "POINTS_MAX", 3)
    run = connected(daemon)
    go_on = threading.Event()
    slow, quick = [], []
    run.on_point(lambda point: (go_on.wait(10), slow.append(point.step)))
    run.on_point(quick.append)
    for step in range(8):
        run.observe(ROWS, ROWS, step=step)
        assert run.checkpoint(step=step, wait=True)
    assert wait_until(lambda: len(quick) == 8)
    started = time.monotonic()
    run.finish(timeout=0.5)
    assert time.monotonic() - started < 1.5
    assert any("too slow" in text for text in warnings(caplog))
    go_on.set()
    assert wait_until(lambda: len(slow) == 4) and slow == [0, 1, 2, 3]


def test_finish_waits_for_the_last_point(daemon):
    run = connected(daemon)
    told = []
    run.on_point(lambda point: (time.sleep(0.2), told.append(point.step)))
    measure(run, 7)
    run.finish()
    assert told == [7]


def test_the_function_may_finish_the_run(daemon):
    run = connected(daemon)
    run.on_point(lambda point: run.finish())
    measure(run, 1)
    assert wait_until(lambda: daemon.controls("close"))
    assert wait_until(lambda: run._sender is None)


def test_there_is_a_spectrum_without_the_run_being_held(daemon):
    run = connected(daemon)
    points = []
    run.on_point(points.append)
    measure(run, 1)
    run.finish()
    assert isinstance(points[0], richd.Point) and points[0].__dict__["_fetch"].args[1] == run.id


def test_without_a_daemon_it_costs_nothing():
    run = richd.init(endpoint="tcp://127.0.0.1:9")
    run.on_point(lambda point: None)
    measure(run, 1)
    run.finish()


def test_a_disabled_run_gives_the_function_back():
    run = richd.init(mode="disabled")
    assert run.on_point(print) is print
    assert not run._listen(print)
