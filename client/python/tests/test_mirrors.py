"""What mirrors write, and what they do where a tracker is missing. Real ones: tests/frameworks."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import math
import sys
import types

import numpy as np
import pytest

import richd
from richd import _mirrors
from richd._mirrors.wandb import HELD_MAX, STEP, Wandb
from support import wait_until


class Writer:
    """As TensorBoard's."""

    def __init__(self, fails=False):
        self.scalars = []
        self.fails = fails
        self.is_flushed = False

    def add_scalar(self, name, value, step):
        if self.fails:
            raise OSError("no space left on device")
        self.scalars.append((name, value, step))

    def flush(self):
        self.is_flushed = True


class Rows:
    """A run of W&B: a log with commit=False joins the row that the program will commit."""

    __module__ = "wandb.sdk.wandb_run"

    def __init__(self):
        self.step = 0
        self.row = {}
        self.rows = []
        self.axes = {}

    def define_metric(self, name, step_metric=None, hidden=False):
        self.axes[name] = step_metric

    def log(self, row, commit=True):
        self.row.update(row)
        if commit:
            self.rows.append(self.row)
            self.row = {}
            self.step += 1


def measure(run, *steps):
    for step in steps:
        run.observe(np.eye(8, 4), np.eye(8, 4), step=step)
        run.checkpoint(step=step)


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_a_mirror_has_the_form_that_is_shown_and_its_error():
    extra = {"u_debiased": 0.4, "pr_debiased": None, "d_debiased_se": 0.01, "nc1": math.nan}
    point = richd.Point(
        layer="a", d_lr=0.5, d_debiased=0.4, u=0.6, pr=3.0, rank=2, n=64, extra=extra
    )
    values = {"d_debiased": 0.4, "d_debiased_se": 0.01, "u_debiased": 0.4, "pr": 3, "rank": 2}
    assert _mirrors.values_of(point) == {
        f"richd/a/{name}": value for name, value in {**values, "n": 64}.items()
    }


def test_a_mirror_gets_each_point_at_its_step(daemon):
    writer = Writer()
    run = richd.init(endpoint=daemon.address, mirror=writer)
    measure(run, 10, 20)
    run.finish()
    assert [v for v in writer.scalars if v[0] == "richd/head/d_lr"] == [
        ("richd/head/d_lr", 0.5, 10), ("richd/head/d_lr", 0.5, 20)
    ]
    assert writer.is_flushed


def test_a_mirror_that_fails_costs_one_warning_and_no_other_mirror(daemon, caplog):
    writer = Writer()
    run = richd.init(endpoint=daemon.address, mirror=[Writer(fails=True), writer])
    measure(run, 1, 2, 3)
    run.finish()
    assert len(writer.scalars) >= 3
    (warning,) = warnings(caplog)
    assert "mirror Writer: OSError: no space left on device" in warning


@pytest.mark.parametrize("name", ["wandb", "tensorboard", "trackio", "mlflow"])
def test_a_package_that_is_not_there_costs_one_clear_sentence(daemon, caplog, monkeypatch, name):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    run = richd.init(endpoint=daemon.address, mirror=name)
    measure(run, 1)
    run.finish()
    (warning,) = warnings(caplog)
    assert f"mirror {name}: the package is not there: pip install {name}" in warning


def test_a_tracker_whose_active_run_cannot_be_found_loses_no_checkpoint(daemon, monkeypatch):
    def fail():
        raise RuntimeError("the tracking server is away")

    broken = types.SimpleNamespace(active_run=fail)
    monkeypatch.setitem(sys.modules, "mlflow", broken)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: broken)
    run = richd.init(endpoint=daemon.address, mirror="mlflow")
    measure(run, 1)
    run.finish()
    assert len(daemon.controls("checkpoint")) == 1


@pytest.mark.parametrize("mirror", ["wandd", 3, ["wandb", None]])
def test_what_is_no_mirror_is_refused(mirror):
    with pytest.raises(ValueError, match="wandb, tensorboard, trackio, mlflow"):
        richd.init(mirror=mirror, mode="disabled")


def test_the_import_of_richd_brings_no_tracker():
    trackers = {"wandb", "tensorboard", "trackio", "mlflow", "keras", "jax"}
    assert not trackers & {name.partition(".")[0] for name in sys.modules}


@pytest.mark.parametrize("framework", ["keras", "jax"])
def test_a_framework_that_is_not_there_is_named_in_one_sentence(monkeypatch, framework):
    monkeypatch.setitem(sys.modules, framework, None)
    with pytest.raises(ImportError, match=f"richd.{framework} needs .*: pip install {framework}"):
        importlib.import_module(f"richd.{framework}")


# ---- W&B's rows ----------------------------------------------------------------------------------


def test_a_row_of_the_program_takes_one_checkpoint_and_all_its_layers():
    rows, mirror = Rows(), Wandb()
    mirror._run = rows
    for step in range(3):
        for layer in "ab":
            mirror.write({f"richd/{layer}/u": step / 10}, step, None)
        rows.log({"loss": 1.0})
    assert rows.rows == [
        {"richd/a/u": s / 10, "richd/b/u": s / 10, STEP: s, "loss": 1.0} for s in range(3)
    ]
    assert rows.axes == {STEP: None, "richd/*": STEP}


def test_checkpoints_that_come_faster_than_rows_wait_and_the_oldest_are_left_out():
    rows, mirror = Rows(), Wandb(Rows())
    mirror._run = rows
    for step in range(3 * HELD_MAX):
        mirror.write({"richd/a/u": 0.5}, step, None)
    assert len(mirror._held) == HELD_MAX and not rows.rows
    rows.log({"loss": 1.0})
    mirror.close()
    rows.log({"loss": 0.5})
    assert [row[STEP] for row in rows.rows] == [0, 3 * HELD_MAX - 1]


def test_without_a_daemon_mirrors_cost_nothing():
    run = richd.init(endpoint="tcp://127.0.0.1:9", mirror=Writer())
    measure(run, 1)
    run.finish()
    assert wait_until(lambda: run._sender is None)
