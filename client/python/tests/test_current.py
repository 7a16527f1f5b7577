"""`richd.log`, `richd.finish`, `richd.summary` and alerts: the run that was opened last."""

from __future__ import annotations

import gc
import logging
import weakref

import numpy as np
import pytest

import richd
from richd import _current, _run as _run_module
from support import connected, wait_until


@pytest.fixture(autouse=True)
def no_run_before(monkeypatch):
    monkeypatch.setattr(_current, "_held", None)
    monkeypatch.setattr(_current, "_found", lambda: None)
    monkeypatch.setattr(_current, "_is_told", False)


def test_a_script_may_forget_what_init_returned(daemon):
    richd.init(endpoint=daemon.address, run_id="r", config={"lr": 1})
    gc.collect()
    assert wait_until(lambda: _current._held.attempt, timeout=30)
    richd.log({"loss": 0.5}, step=3)
    richd.config.update({"lr": 2})
    richd.summary["best"] = 0.9
    assert (dict(richd.config), dict(richd.summary)) == ({"lr": 2}, {"best": 0.9})
    richd.finish(timeout=30)
    assert [m["scalars"] for m in daemon.controls("log")] == [{"loss": 0.5}]
    assert [m["config"] for m in daemon.controls("config")] == [{"lr": 2}]
    assert [m["summary"] for m in daemon.controls("summary")] == [{"best": 0.9}]
    assert [m["status"] for m in daemon.controls("close")] == ["finished"]
    gc.collect()
    richd.finish()  # a second one does nothing
    assert len(daemon.controls("close")) == 1


def test_the_newest_run_is_meant(daemon):
    first = connected(daemon, run_id="first")
    second = connected(daemon, run_id="second")
    richd.log({"x": 1}, step=0)
    second.finish(timeout=30)
    richd.log({"x": 2}, step=0)  # it is over
    first.finish()
    assert [m["scalars"] for m in daemon.controls("log")] == [{"x": 1}]


def test_without_a_run_there_is_one_warning_or_an_error(caplog, monkeypatch):
    richd.log({"x": 1})
    richd.summary.update(x=1)
    richd.alert("x")
    richd.finish()
    assert [r.getMessage() for r in caplog.records] == [
        "richd.log: no run is open; richd.init(...) opens one"]
    assert dict(richd.config) == {}
    monkeypatch.setenv("RICHD_RAISE", "1")
    with pytest.raises(richd.RichdError, match="summary"):
        richd.summary["x"] = 1
    with pytest.raises(AttributeError, match="summry"):
        _ = richd.summry


def test_a_run_with_a_model_is_held_by_its_handle_alone(daemon):
    torch = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(4, 3))
    run = connected(daemon)
    run.watch(model, layer="0")
    gone = weakref.ref(run)
    richd.log({"x": 1}, step=0)
    assert wait_until(lambda: daemon.controls("log"))
    del run, model
    gc.collect()
    assert gone() is None


def test_a_run_that_borrows_a_head_is_held_by_its_handle_alone(daemon):
    run = connected(daemon)
    run.observe(np.ones((4, 3)), head=np.ones((5, 3)), step=0)
    assert _current._held is None
    run.finish()


def test_an_alert_is_logged_and_stays_in_the_summary(daemon, caplog, monkeypatch):
    run = connected(daemon)
    run.log({"x": 1}, step=7)
    with caplog.at_level(logging.INFO, "richd"):
        run.alert("loss is nan", "at step 7", level="ERROR")
        richd.alert("half way")
    said = [m["summary"] for m in daemon.controls("summary")] if wait_until(
        lambda: len(daemon.controls("summary")) == 2) else []
    (name, first), = said[0].items()
    assert name == "alert: loss is nan"
    assert {k: first[k] for k in ("level", "text", "step")} == {
        "level": "error", "text": "at step 7", "step": 7}
    assert said[1]["alert: half way"]["level"] == "info" and first["time"] > 1e9
    assert [(r.levelname, "alert: " in r.getMessage()) for r in caplog.records[-2:]] == [
        ("ERROR", True), ("INFO", True)]
    monkeypatch.setattr(_run_module, "ALERTS_MAX", 2)
    run.alert("half way", "again")
    run.alert("a third")
    run.alert("x", level="loud")
    assert wait_until(lambda: len(daemon.controls("summary")) == 3)
    assert "level" in run.stats.last_error and "a third" in caplog.text
    run.finish()
    assert len(daemon.controls("summary")) == 3


def test_the_names_are_those_that_people_know():
    assert {"init", "log", "finish", "alert", "run", "runs"} <= set(richd.__all__)
    assert all(hasattr(richd, name) for name in richd.__all__)
