"""`richd.run` and `richd.runs`: finished runs, over the feed's socket and over HTTP with a token."""

import math
import socket

import numpy as np
import pytest

import richd
from harness import Daemon, draw
from richd._history import filters as _filters, source as _source

pytestmark = pytest.mark.not_under(
    "address", "thread", because="the package asks what the tests of HTTP and of the feed ask")

STEPS = 9


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A daemon with a page and three finished runs, of other learning rates."""
    daemon = Daemon(tmp_path_factory.mktemp("sweep"), "--http", "127.0.0.1:0")
    tokens = daemon.folder / "tokens"
    tokens.write_text("read read-0123456789abcdef\n")
    tokens.chmod(0o600)
    daemon.flags += ["--token-file", str(tokens)]
    daemon.start()
    features, outputs = draw(128, 12, 3)
    for k in range(3):
        run = richd.init(project="sweep", name=f"seed{k}", run_id=f"r{k}", group="g",
                         tags=["a", f"t{k}"], runtime_dir=str(daemon.runtime), spool_bytes=0,
                         config={"lr": 0.1 * k, "opt": "adam", "net": {"width": 12}})
        for step in range(STEPS):
            scaled = features * np.linspace(1, 1 + step + k, 12, dtype=np.float32)
            run.observe(scaled, outputs, step=step)
            run.log({"loss": abs(step - 4.0) + k, "acc": math.nan if step == 3 else step}, step=step)
            run.checkpoint(step=step, wait=True, timeout=30, spectrum=step == 2)
        run.log({"loss": 7.0}, step=100)
        run.summary["best"] = k
        run.finish(timeout=30)
    yield daemon
    daemon.close()


@pytest.fixture(params=["socket", "http"])
def place(request, sweep):
    """The arguments that name the daemon."""
    if request.param == "socket":
        return {"runtime_dir": str(sweep.runtime)}
    return {"feed": f"{sweep.endpoints['http']}/#token=read-0123456789abcdef"}


def test_a_finished_run_is_all_there(sweep, place):
    run = richd.run("sweep/seed1", **place)
    assert (run.id, run.name, run.state, run.attempt) == ("r1", "seed1", "finished", 1)
    assert run.config == {"lr": 0.1, "opt": "adam", "net": {"width": 12}}
    assert (run.summary, run.tags, run.group) == ({"best": 1}, ("a", "t1"), "g")
    assert (run.last_step, run.n_points) == (STEPS - 1, STEPS)
    (attempt,) = run.attempts
    assert run.host == attempt.host == socket.gethostname()
    assert (attempt.attempt, attempt.first_step, attempt.state) == (1, 0, "finished")
    layer = run.layers["head"]
    assert (layer.p, layer.c, layer.n_points, layer.last.step) == (12, 3, STEPS, STEPS - 1)
    assert run.events == []

    columns = sweep.series("r1", metrics=["d_debiased", "d_debiased_se"])
    table = run.series(["d_debiased", "d_debiased_se"], scalars=["loss"])
    assert list(table["step"]) == list(range(STEPS)) and table["step"].dtype == np.int64
    assert list(table["d_debiased"]) == columns["d_debiased"]
    assert list(table["scalar:loss"]) == [abs(s - 4.0) + 1 for s in range(STEPS)]
    assert list(table["layer"]) == ["head"] * STEPS and set(table["flags"][0]) <= {"small_sample"}
    assert list(run.series("pr", layers="head", steps=(2, 4))["step"]) == [2, 3, 4]
    assert "nc1" in run.series().columns

    spectrum = run.spectrum()
    assert spectrum.step == 2 and len(spectrum.rho) == 12
    assert run.spectrum(step=2, layer="head").total == spectrum.total
    with pytest.raises(richd.RichdError, match="ENOENT"):
        run.spectrum(step=5)


def test_every_scalar_that_was_logged_is_there(place):
    scalars = richd.run("r2", **place).scalars
    assert list(scalars) == ["acc", "loss"]
    steps, values = scalars["loss"]
    assert list(steps) == [*range(STEPS), 100] and values[-1] == 7.0
    assert np.isnan(scalars["acc"][1][3])
    table = scalars.table()
    assert list(table["name"]) == ["acc"] * STEPS + ["loss"] * (STEPS + 1)
    assert table["time"].dtype == np.dtype("datetime64[us]")
    with pytest.raises(KeyError):
        scalars["los"]


def test_pages_join_without_a_gap_and_nothing_is_binned(place, monkeypatch):
    run = richd.run("r0", **place)
    whole, logged = run.series(scalars=True), run.scalars.table()
    monkeypatch.setattr(_source, "PAGE_ROWS", 4)
    paged = run.series(scalars=True)
    assert list(paged.columns) == list(whole.columns)
    assert list(paged["step"]) == list(range(STEPS))
    for name in ("d_lr", "scalar:acc", "n"):
        np.testing.assert_array_equal(paged[name], whole[name])
    np.testing.assert_array_equal(run.scalars.table()["value"], logged["value"])


def ids(runs):
    return [run.id for run in runs]


@pytest.mark.parametrize("filters, found", [
    ({}, ["r2", "r1", "r0"]),
    ({"project": "sweep", "limit": 2}, ["r2", "r1"]),
    ({"project": "other"}, []),
    ({"tags": "t1"}, ["r1"]),
    ({"tags": ["a", "t2"]}, ["r2"]),
    ({"config": {"lr": 0.1}}, ["r1"]),
    ({"config": {"lr": (0.05, 0.15), "opt": "adam"}}, ["r1"]),
    ({"config": {"lr": (0.05, None)}}, ["r2", "r1"]),
    ({"config": {"lr": {"max": 0.0}}}, ["r0"]),
    ({"config": {"opt": "sgd"}}, []),
    ({"config": {"absent": 1}}, []),
    ({"state": "finished", "search": "seed2"}, ["r2"]),
    ({"state": "open"}, []),
    ({"sort": "name"}, ["r0", "r1", "r2"]),
    ({"sort": "config:lr", "descending": True, "hidden": True}, ["r2", "r1", "r0"]),
])
def test_runs_are_chosen_and_sorted(place, filters, found):
    assert ids(richd.runs(**filters, **place)) == found


def test_what_a_daemon_does_not_know_is_an_error_and_no_other_answer(place):
    with pytest.raises(richd.RichdError, match="EINVAL"):
        richd.runs(state="finish", **place)
    with pytest.raises(richd.RichdError, match="no_such_measure"):
        richd.runs(sort="no_such_measure", **place)
    with pytest.raises(richd.RichdError, match="ENOENT"):
        richd.run("sweep/seed7", **place)


def test_runs_come_page_by_page(place, monkeypatch):
    monkeypatch.setattr(_filters, "PAGE_RUNS", 2)
    assert ids(richd.runs(**place)) == ["r2", "r1", "r0"]
    assert ids(richd.runs(limit=1, **place)) == ["r2"]
    assert ids(richd.runs(tags="a", limit=2, **place)) == ["r2", "r1"]


def test_a_sweep_is_one_table(sweep, place):
    runs = richd.runs("sweep", **place)
    table = runs.table()
    assert list(table["run"]) == ["r2", "r1", "r0"] and len(table) == len(runs) == 3
    assert list(table["config:lr"]) == [0.2, 0.1, 0.0]
    assert list(table["config:net.width"]) == [12] * 3 and list(table["summary:best"]) == [2, 1, 0]
    for row, run in enumerate(("r2", "r1", "r0")):
        columns = sweep.series(run, metrics=["d_debiased", "d_debiased_se"])
        values = columns["d_debiased"]
        assert table["head:d_debiased"][row] == values[-1]
        assert table["head:d_debiased_se"][row] == columns["d_debiased_se"][-1]
        assert table["head:d_debiased_min"][row] == min(values)
        assert table["head:d_debiased_max"][row] == max(values)
    assert list(table["scalar:loss"]) == [7.0] * 3
    assert list(table["scalar:loss_min"]) == [2.0, 1.0, 0.0]
    assert list(table["scalar:acc_max"]) == [STEPS - 1] * 3
    names = runs.table(metrics=["nc1"], scalars=False).columns
    assert "head:nc1" in names and "head:d_lr" not in names and "scalar:loss" not in names
    assert "last_step" in runs[:2].table(metrics=(), scalars=False).columns


def test_a_token_is_asked_for_and_not_shown(sweep):
    with pytest.raises(richd.RichdError, match="richctl open"):
        richd.runs(feed=sweep.endpoints["http"])
    with pytest.raises(richd.RichdError) as refusal:
        richd.runs(feed="http://127.0.0.1:1/#token=read-0123456789abcdef")
    assert "0123456789" not in str(refusal.value)


def test_the_environment_names_a_feed_and_a_run_knows_its_own(sweep, monkeypatch):
    feed = f"{sweep.endpoints['http']}/#token=read-0123456789abcdef&runs=r1"
    monkeypatch.setenv("RICHD_FEED", feed)
    assert richd.run("r1").id == "r1" and "nc1" in richd.measures()
    live = richd.init(run_id="r1", mode="disabled")
    assert richd.run(live).summary == {"best": 1}
    assert list(live.series("d_lr")[0]) == list(range(STEPS))
    assert live.url == feed
    with pytest.raises(ValueError, match="feed is"):
        richd.run("r1", feed="http:nowhere")


def test_what_people_wrote_of_a_run_is_there(sweep, place):
    sweep.rpc("run.edit", run="r1", note="odd one", hidden=True)
    try:
        assert ids(richd.runs(**place)) == ["r2", "r0"]
        assert ids(richd.runs(hidden=True, search="odd one", **place)) == ["r1"]
        run = richd.run("r1", **place)
        assert (run.note, run.hidden) == ("odd one", True)
    finally:
        sweep.rpc("run.edit", run="r1", note="", hidden=False)
    ordered = ids(richd.runs(sort="d_debiased", **place))
    values = [richd.run(name, **place).layers["head"].last.d_debiased for name in ordered]
    assert values == sorted(values) and len(values) == 3
