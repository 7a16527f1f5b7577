"""A run against a daemon that answers, one that is silent, and none at all."""

from __future__ import annotations

import json
import logging
import os
import threading
import time

import numpy as np
import pytest

import richd
from richd._link import outbox as _outbox, session as _session, wire as _wire
from richd._values import arrays as _arrays, intake as _intake, labels as _labels
from support import Daemon, connected, message, python, wait_until, welcome


def rows(n=8, p=4, c=3, dtype=np.float32):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, p)).astype(dtype), rng.normal(size=(n, c)).astype(dtype)


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


# ---- with a daemon -------------------------------------------------------------------------------


def test_open_carries_what_init_was_given(daemon):
    run = connected(
        daemon, project="mod97", name="wd1 seed0", config={"lr": 1e-3}, group="g", tags=["a"]
    )
    (opened,) = daemon.controls("open")
    assert run.id.startswith("wd1-seed0-") and opened["run"] == run.id
    assert opened["name"] == "wd1 seed0" and opened["project"] == "mod97"
    assert opened["config"] == {"lr": 1e-3} and opened["group"] == "g" and opened["tags"] == ["a"]
    assert opened["resume"] == "allow" and opened["window"] == {"kind": "checkpoint"}
    run.finish()


def test_rows_arrive_as_they_were(daemon):
    run = connected(daemon)
    x, y = rows()
    labels = np.arange(8) % 3
    run.observe(x, y, step=5, labels=labels)
    run.observe(x[:2], y[:2], labels=labels[:2])
    assert run.checkpoint(step=6, wait=True)
    (_, first, name, frames), (_, second, _, _) = daemon.batches()
    assert name == "head" and frames == [x.tobytes(), y.tobytes(), labels.astype("<i8").tobytes()]
    assert (first.seq, first.step, first.rows_before, first.n_rows) == (1, 5, 0, 8)
    assert (first.n_features, first.n_outputs, first.n_targets) == (4, 3, 3)
    assert (second.seq, second.step, second.rows_before, second.n_rows) == (2, 5, 8, 2)
    run.finish()


def test_large_rows_are_lent_and_arrive_whole(daemon):
    run = connected(daemon)
    x, y = rows(2000, 64, 40, np.float64)
    run.observe(x, y, step=0, copy=False)
    run.checkpoint(step=0, wait=True)
    ((_, _, _, frames),) = daemon.batches()
    assert frames == [x.tobytes(), y.tobytes()]
    assert wait_until(lambda: run._outbox.size_bytes == 0)
    run.finish()


def test_rows_that_change_their_shape_or_type_have_headers_of_their_own(daemon):
    x = np.ones((4, 3), dtype=np.float32)
    with connected(daemon) as run:
        for dtype in ("f4", "f4", "f8", "f4"):
            run.observe(x.astype(dtype), x, step=1)
        assert wait_until(lambda: len(daemon.batches()) == 4)
    headers = [batch[1] for batch in daemon.batches()]
    assert [(h.seq, h.rows_before, h.features_dtype, h.n_targets) for h in headers] == [
        (1, 0, _wire.DTYPE_F32, 0),
        (2, 4, _wire.DTYPE_F32, 0),
        (3, 8, _wire.DTYPE_F64, 0),
        (4, 12, _wire.DTYPE_F32, 0),
    ]


def test_waking_a_sender_that_has_ended_does_nothing(daemon):
    run = connected(daemon)
    sender = run._sender
    run.finish()
    sender.loop.join(5.0)
    sender.wake()
    sender.loop.wake(sender)
    assert sender.stopped


def test_overwriting_the_arrays_after_observe_changes_nothing(daemon):
    daemon.silence()
    run = richd.init(endpoint=daemon.address)
    x, y = rows()
    before = x.tobytes()
    run.observe(x, y, step=0)
    x[:] = 0
    daemon.speak()
    run.checkpoint(step=0, wait=True)
    assert daemon.batches()[0][3][0] == before
    run.finish()


def test_batches_over_16_mib_are_split_by_rows(daemon, monkeypatch):
    monkeypatch.setattr(_intake, "BATCH_BYTES_MAX", 100)
    run = connected(daemon)
    x, y = rows(8)  # 28 bytes a row: 3 rows a batch
    run.observe(x, y, step=0)
    run.checkpoint(step=0, wait=True)
    headers = [header for _, header, _, _ in daemon.batches()]
    assert [(h.seq, h.n_rows, h.rows_before) for h in headers] == [(1, 3, 0), (2, 3, 3), (3, 2, 6)]
    assert b"".join(frames[0] for *_, frames in daemon.batches()) == x.tobytes()
    run.finish()


def test_checkpoint_returns_points_by_layer(daemon):
    daemon.points = {"b": {"d_lr": None, "flags": ["constant"], "novelty": 7}}
    run = connected(daemon)
    for layer in ("a", "b"):
        run.observe(*rows(), step=1, layer=layer)
    points = run.checkpoint(step=2, wait=True)
    assert set(points) == {"a", "b"}
    assert points["a"].d_lr == 0.5 and points["a"].step == 2
    assert points["b"].d_lr is None and points["b"].flags == ("constant",)
    assert points["b"].novelty == 7
    (sent,) = daemon.controls("checkpoint")
    assert sent["layers"] == {"a": {"seq": 1, "rows": 8}, "b": {"seq": 1, "rows": 8}}
    run.finish()


def test_checkpoint_without_wait_returns_none_at_once(daemon):
    daemon.silence()
    run = richd.init(endpoint=daemon.address)
    run.observe(*rows(), step=0)
    started = time.monotonic()
    assert run.checkpoint(step=0) is None
    assert time.monotonic() - started < 0.1
    run.finish(timeout=0.2)


def test_checkpoint_that_is_not_answered_gives_an_empty_dict_and_one_warning(caplog):
    with Daemon(script=lambda _, m: [] if m["type"] == "checkpoint" else None) as daemon:
        run = connected(daemon)
        run.observe(*rows(), step=0)
        for _ in range(2):
            assert run.checkpoint(step=0, wait=True, timeout=0.1) == {}
        assert len([w for w in warnings(caplog) if "no answer" in w]) == 1
        run.finish(timeout=0.3)


def test_log_takes_scalars_of_any_kind(daemon):
    run = connected(daemon)
    values = {"a": 1, "b": np.float32(0.5), "c": np.array(2.0), "d": float("nan"), "e": True}
    run.log(values, step=3)
    assert wait_until(lambda: daemon.controls("log"))
    sent = daemon.controls("log")[0]
    assert sent["scalars"] == {"a": 1, "b": 0.5, "c": 2, "d": None, "e": 1} and sent["step"] == 3
    run.finish()


def test_finish_waits_for_acknowledgements_and_is_idempotent(daemon):
    run = connected(daemon)
    for step in range(50):
        run.observe(*rows(), step=step)
        run.log({"x": step}, step=step)
    run.finish()
    run.finish()
    assert len(daemon.batches()) == 50 and len(daemon.controls("log")) == 50
    (closed,) = daemon.controls("close")
    assert closed["status"] == "finished" and closed["seq"] == 51


def test_context_manager_says_failed_when_an_exception_passes(daemon):
    with pytest.raises(KeyError), richd.init(endpoint=daemon.address):
        raise KeyError
    assert daemon.controls("close")[0]["status"] == "failed"


def test_two_runs_are_two_connections(daemon):
    a, b = connected(daemon, run_id="a"), connected(daemon, run_id="b")
    a.finish()
    b.finish()
    assert {m["run"] for m in daemon.controls("open")} == {"a", "b"}
    assert len(set(daemon.connections)) == 2


def test_moments_travel_as_one_batch(daemon):
    run = connected(daemon)
    x, y = rows(20)
    run.observe_moments(richd.Moments().update(x, y), step=1)
    run.checkpoint(step=1, wait=True)
    ((_, header, _, frames),) = daemon.batches()
    assert header.kind == _wire.KIND_MOMENTS and header.n_rows == 20
    assert header.features_dtype == _wire.DTYPE_F64 and header.outputs_dtype == _wire.DTYPE_F32
    assert [len(f) for f in frames] == [8 * k for k in (4, 3, 10, 12, 9, 5)]
    centred = x.astype(float) - x.astype(float).mean(0)
    triangle = (centred.T @ centred)[np.triu_indices(4)]
    assert np.allclose(np.frombuffer(frames[2]), triangle)
    run.finish()


# ---- a daemon in trouble -------------------------------------------------------------------------


def test_restarted_daemon_at_another_address_gets_what_was_not_acknowledged(tmp_path):
    def publish(daemon):
        (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": daemon.address}))

    with Daemon(script=lambda _, m: [] if m["type"] == "log" else None) as first:
        publish(first)
        run = richd.init(runtime_dir=str(tmp_path), run_id="moves")
        run.log({"x": 1}, step=0)
        assert wait_until(lambda: first.controls("log"))
    with Daemon() as second:
        publish(second)
        assert wait_until(lambda: second.controls("open"))
        run.observe(*rows(), step=1)
        assert run.checkpoint(step=1, wait=True)
        opened = second.controls("open")[0]
        assert opened["attempt"] == 1 and opened["writer"] == first.controls("open")[0]["writer"]
        assert second.controls("log")[0]["seq"] == 1
        kinds = [m["type"] if isinstance(m, dict) else m[0] for m in second.received]
        kinds = [k for k in kinds if k != "ping"]
        assert kinds[:5] == ["hello", "open", "log", "batch", "checkpoint"]
        run.finish()


def test_enotopen_is_answered_with_a_new_connection(daemon):
    run = connected(daemon)
    daemon.say("nack", code="ENOTOPEN", text="who are you")
    assert wait_until(lambda: len(daemon.controls("open")) == 2)
    assert daemon.controls("open")[1]["attempt"] == 1
    assert daemon.connections[0] != daemon.connections[1]
    run.finish()


def test_silent_daemon_is_left_and_found_again(daemon, monkeypatch):
    monkeypatch.setattr("richd._link.session.SILENCE_S", 0.3)
    run = connected(daemon)
    daemon.silence()
    time.sleep(0.5)
    daemon.speak()
    assert wait_until(lambda: len(daemon.controls("open")) >= 2)
    run.observe(*rows(), step=0)
    assert run.checkpoint(step=0, wait=True)
    run.finish()


def test_fenced_run_stops_sending_and_training_goes_on(daemon, caplog):
    run = connected(daemon)
    daemon.say("nack", code="EFENCED", text="attempt 2 has the run", fatal=True)
    assert wait_until(lambda: run._sender.stopped)
    for step in range(100):
        run.observe(*rows(), step=step)
        assert run.checkpoint(step=step, wait=True) == {}
    assert daemon.batches() == []
    assert len(warnings(caplog)) == 1 and "attempt 2 has the run" in warnings(caplog)[0]
    assert run.stats.rows_dropped == 800
    started = time.monotonic()
    run.finish()
    assert time.monotonic() - started < 0.5


def test_what_comes_while_the_sender_ends_is_dropped_without_a_word(daemon, caplog):
    run = connected(daemon)
    run._outbox.close()
    run.log({"x": 1}, step=0)
    assert run.stats.controls_dropped == 1
    assert warnings(caplog) == []
    run.finish(timeout=0.3)


def test_refusals_are_said_once_with_the_daemons_words(daemon, caplog):
    run = connected(daemon)
    for batch in (1, 2, 3):
        text = f"row {batch} column 7 is not finite"
        daemon.say("nack", code="ENUMERIC", text=text, layer="head", batch=batch)
    assert wait_until(lambda: run.stats.batches_refused == 3)
    assert len(warnings(caplog)) == 1 and "row 1 column 7" in warnings(caplog)[0]
    assert "row 3" in run.stats.last_error
    run.finish()


def test_refusal_raises_at_the_next_call_when_asked_to(daemon):
    run = connected(daemon, raise_errors=True)
    daemon.say("nack", code="ESHAPE", text="p is 4, was 5", layer="head", batch=1)
    assert wait_until(lambda: run.stats.batches_refused == 1)
    with pytest.raises(richd.RichdError, match="p is 4, was 5") as caught:
        run.log({"x": 1}, step=0)
    assert caught.value.code == "ESHAPE"
    run.log({"x": 1}, step=0)
    run.finish()


def test_dropped_batches_keep_their_numbers(caplog):
    grants = []

    def stingy(peer, fields):
        return [welcome(0 if not grants else 1 << 20)] if fields["type"] == "open" else None

    with Daemon(script=stingy) as daemon:
        run = connected(daemon, queue_bytes=3 * 300)
        x, y = rows()  # 224 bytes, 292 with header and name
        for step in range(10):
            run.observe(x, y, step=step)
        assert run.stats.batches_dropped == 7 and run.stats.rows_dropped == 56
        assert run.stats.rows_offered == 80
        daemon.say("progress", granted=1 << 20)
        assert wait_until(lambda: len(daemon.batches()) == 3 and run._outbox.size_bytes == 0)
        run.observe(x, y, step=10)
        assert run.checkpoint(step=10, wait=True)
        headers = [h for _, h, _, _ in daemon.batches()]
        assert [(h.seq, h.rows_before) for h in headers] == [(1, 0), (2, 8), (3, 16), (11, 80)]
        assert daemon.controls("checkpoint")[0]["layers"]["head"] == {"seq": 11, "rows": 88}
        assert len(warnings(caplog)) == 1
        run.finish()


def test_no_more_than_4096_controls_are_kept(monkeypatch, caplog):
    monkeypatch.setattr(_outbox.Outbox.__init__, "__defaults__", (1 << 20, 16, 10))
    with Daemon(script=lambda _, m: [] if m["type"] == "log" else None) as daemon:
        run = connected(daemon)
        for step in range(15):
            run.log({"x": 1}, step=step)
        assert run.stats.controls_dropped == 5
        assert wait_until(lambda: len(daemon.controls("log")) == 10)
        assert [m["seq"] for m in daemon.controls("log")] == list(range(1, 11))
        run.finish(timeout=0.3)
    assert len([w for w in warnings(caplog) if "wait for the daemon" in w]) == 1


def test_failed_copy_off_a_gpu_drops_its_batch_alone(daemon, monkeypatch, caplog):
    def fail():
        raise RuntimeError("the device is gone")

    run = connected(daemon)
    stage = _arrays.HostRows.stage

    def staged(self, *arguments):
        return _arrays.Staged(stage(self, *arguments).frame, fail)

    with monkeypatch.context() as patch:
        patch.setattr(_arrays.HostRows, "stage", staged)
        run.observe(*rows(), step=0)
    run.observe(*rows(), step=1)
    assert run.checkpoint(step=1, wait=True)
    assert [header.seq for _, header, _, _ in daemon.batches()] == [2]
    assert run.stats.batches_dropped == 1
    assert wait_until(lambda: run._outbox.size_bytes == 0)
    assert len(warnings(caplog)) == 1 and "the device is gone" in warnings(caplog)[0]
    run.finish()


# ---- no daemon -----------------------------------------------------------------------------------


def test_a_daemon_that_refuses_is_not_called_absent(caplog):
    """What is heard is its reason, and when it has room the run is opened."""
    is_full = [True]

    def script(peer, fields):
        if fields["type"] == "open" and is_full[0]:
            return [message("nack", code="EBUSY", fatal=True, text="the daemon is full of cats")]
        return None

    with Daemon(script=script) as daemon:
        run = richd.init(run_id="r", endpoint=daemon.address)
        said = "richd does not take this run for now: the daemon is full of cats; training goes on"
        assert wait_until(lambda: said in caplog.text, 30.0)
        assert "no richd at" not in caplog.text
        is_full[0] = False
        assert wait_until(lambda: not run._sender.absent, 30.0)
        run.finish()


def test_a_daemon_that_takes_the_run_later_gets_it_at_its_end():
    is_full = [True, False]

    def script(peer, fields):
        if fields["type"] == "open" and is_full[0]:
            return [message("nack", code="EBUSY", fatal=True, text="the database is locked")]
        return None

    with Daemon(script=script) as daemon:
        run = richd.init(run_id="r", endpoint=daemon.address)
        sender = run._sender
        run.log({"loss": 1.0}, step=1)
        assert wait_until(lambda: sender.absent, 30.0)
        room = threading.Timer(0.3, is_full.pop, [0])
        room.start()
        run.finish(timeout=30.0)
        room.join()
        assert not sender.ended_in_trouble


def test_absent_daemon_costs_one_warning_bounded_memory_and_no_time(monkeypatch, caplog):
    monkeypatch.setattr(_session, "ABSENT_S", 0.2)
    run = richd.init(queue_bytes=1 << 20, spool_bytes=0)
    x, y = rows(1000, 64, 10)
    taken = []
    for step in range(1000):
        started = time.perf_counter()
        run.observe(x, y, step=step)
        run.log({"loss": 1.0}, step=step)
        taken.append(time.perf_counter() - started)
        assert run._outbox.size_bytes <= 1 << 20
    assert wait_until(lambda: run._sender.absent)
    assert run.checkpoint(step=1000, wait=True) == {}
    assert run.stats.batches_dropped == 997  # 3 of 296,068 bytes fit
    started = time.monotonic()
    run.finish(timeout=30)
    assert time.monotonic() - started < 10, "it waits for nobody"
    assert len(warnings(caplog)) == 1 and "no richd" in warnings(caplog)[0]
    assert sorted(taken)[900] < 0.1 and max(taken) < 2, "997 found no room, and waited for none"


def test_finish_is_bounded_before_absence_is_known(caplog):
    run = richd.init(endpoint="tcp://127.0.0.1:9")
    run.observe(*rows(), step=0)
    started = time.monotonic()
    run.finish(timeout=0.6)
    assert time.monotonic() - started < 1.0
    assert len(warnings(caplog)) == 1 and "no richd" in warnings(caplog)[0]


def test_daemon_that_starts_later_is_found_and_gets_what_waited(tmp_path, monkeypatch):
    monkeypatch.setattr(_session, "ABSENT_S", 0.1)
    run = richd.init(runtime_dir=str(tmp_path))
    run.observe(*rows(), step=0)
    assert run.checkpoint(step=0, wait=True) == {}  # known to be away by then
    with Daemon(f"ipc://{tmp_path}/ingest") as daemon:
        (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": daemon.address, "feed": ""}))
        assert wait_until(lambda: daemon.controls("checkpoint"))
        assert len(daemon.batches()) == 1
        assert wait_until(lambda: not run._sender.absent)
        assert run.checkpoint(step=1, wait=True)["head"].d_lr == 0.5
        run.finish()


def test_malformed_address_is_a_warning(caplog):
    run = richd.init(endpoint="nonsense://x")
    assert wait_until(lambda: any("cannot connect" in w for w in warnings(caplog)))
    run.observe(*rows(), step=0)
    run.finish(timeout=0.3)


# ---- silence -------------------------------------------------------------------------------------


def test_disabled_run_does_nothing(daemon):
    threads = threading.active_count()
    run = richd.init(endpoint=daemon.address, mode="disabled")
    run.observe(*rows(), step=0)
    run.observe("nonsense", None)
    assert run.checkpoint(step=0, wait=True) == {} and run.checkpoint(step=0) is None
    run.log({"a": object()}, step=0)
    run.finish()
    assert threading.active_count() == threads and daemon.received == []


def test_forked_child_is_a_no_op(daemon):
    run = connected(daemon)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            started = time.monotonic()
            run.observe(*rows(), step=0)
            run.log({"x": 1}, step=0)
            silent = run.checkpoint(step=0, wait=True) == {} and run.stats.rows_offered == 0
            run.finish()
            code = 0 if silent and time.monotonic() - started < 1 else 2
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    run.observe(*rows(), step=1)
    assert run.checkpoint(step=1, wait=True)
    assert len(daemon.batches()) == 1 and daemon.controls("log") == []
    run.finish()


FORK_AND_EXIT = """
import os, sys, numpy as np, richd
run = richd.init(endpoint=sys.argv[1], run_id="parent")
run.observe(np.ones((3000, 64)), np.ones((3000, 4)), step=0)
assert run.checkpoint(step=0, wait=True)
pid = os.fork()
if pid:
    sys.exit(os.waitpid(pid, 0)[1])
run.observe(np.ones((9, 4)), np.ones((9, 4)), step=0)
"""


def test_forked_child_and_its_parent_both_exit_through_atexit(daemon):
    started = time.monotonic()
    done = python(FORK_AND_EXIT, daemon.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert time.monotonic() - started < 10
    assert [m["status"] for m in daemon.controls("close")] == ["finished"]


def test_script_that_never_finishes_its_run_closes_it_at_exit(daemon):
    done = python(
        "import richd, sys; richd.init(endpoint=sys.argv[1]).log({'x': 1}, step=0)", daemon.address
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(daemon.controls("log")) == 1
    assert daemon.controls("close")[0]["status"] == "finished"


def test_script_that_dies_of_an_exception_says_failed(daemon):
    done = python("import richd, sys; richd.init(endpoint=sys.argv[1]); 1 / 0", daemon.address)
    assert done.returncode == 1
    assert daemon.controls("close")[0]["status"] == "failed"


EXIT_WITHOUT_DAEMON = """
import atexit, time
began = []
atexit.register(lambda: print(time.monotonic() - began[0]))  # first in, so last to run
import richd
richd.init(endpoint="tcp://127.0.0.1:9").log({"x": 1}, step=0)
began.append(time.monotonic())
"""


def test_exit_without_a_daemon_takes_at_most_two_seconds():
    done = python(EXIT_WITHOUT_DAEMON)
    assert done.returncode == 0 and float(done.stdout) < 2.0


# ---- mistakes ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        {"mode": "onlin"},
        {"resume": "maybe"},
        {"run_id": "../etc"},
        {"run_id": ""},
        {"run_id": "x" * 65},
        {"window": "sliding"},
        {"window": {"kind": "exponential"}},
        {"window": {}},
        {"window": {"kind": "exponential", "half_life_rows": float("inf")}},
        {"window": None},
        {"projector": None},
        {"projector": {"kind": "ridge", "lambda": "much"}},
        {"config": 3},
        {"tags": "one"},
        {"tags": 1},
        {"queue_bytes": -1},
        {"queue_bytes": "64M"},
    ],
    ids=str,
)
def test_malformed_arguments_of_init_raise_value_error(arguments):
    with pytest.raises(ValueError):
        richd.init(**arguments)


def test_numbers_of_numpy_and_a_name_that_is_one_are_taken_by_init(daemon):
    run = richd.init(
        endpoint=daemon.address,
        name=7,
        window={"kind": "exponential", "half_life_rows": np.int64(500)},
        projector={"kind": "ridge", "lambda": np.float32(0.25)},
        queue_bytes=1e6,
    )
    assert wait_until(lambda: daemon.controls("open"))
    opened = daemon.controls("open")[0]
    run.finish()
    assert opened["name"] == "7" and run.id.startswith("7-")
    assert opened["window"] == {"kind": "exponential", "half_life_rows": 500}
    assert opened["projector"] == {"kind": "ridge", "lambda": 0.25}


def test_malformed_environment_is_a_warning(monkeypatch, caplog):
    monkeypatch.setenv("RICHD_RUN_ID", "a/b")
    monkeypatch.setenv("RICHD_MODE", "disabled")
    run = richd.init(name="Ünï name!")
    assert run.id.startswith("n-name-") and "RICHD_RUN_ID" in warnings(caplog)[0]


def test_environment_fills_in_what_is_not_given(monkeypatch, daemon):
    for name, value in {
        "ENDPOINT": daemon.address,
        "PROJECT": "p",
        "NAME": "n",
        "RUN_ID": "id-1",
        "RAISE": "1",
    }.items():
        monkeypatch.setenv(f"RICHD_{name}", value)
    run = richd.init(name="given")
    assert wait_until(lambda: daemon.controls("open"))
    opened = daemon.controls("open")[0]
    assert (opened["project"], opened["name"], opened["run"]) == ("p", "given", "id-1")
    with pytest.raises(ValueError):
        run.observe(np.ones((3, 2)), np.ones((4, 2)), step=0)
    run.finish()


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.observe(np.ones((3, 2)), np.ones((4, 2)), step=0),
        lambda run: run.observe(np.ones((3, 2)), np.ones((3, 2)), step=-1),
        lambda run: run.observe(np.ones((3, 2), complex), np.ones((3, 2)), step=0),
        lambda run: run.observe(np.ones((3, 2)), np.ones((3, 2)), step=0, layer="a\nb"),
        lambda run: run.observe(np.ones((3, 0)), np.ones((3, 2)), step=0),
        lambda run: run.log({"x": "text"}, step=0),
        lambda run: run.log({"": 1}, step=0),
        lambda run: run.watch(object()),
    ],
)
def test_mistakes_in_calls_are_one_warning_and_nothing_is_sent(call, daemon, caplog):
    run = connected(daemon)
    call(run)
    call(run)
    assert len(warnings(caplog)) == 1
    assert daemon.batches() == [] and run.stats.rows_offered == 0
    run.finish()


@pytest.mark.parametrize(
    "call, name",
    [
        (lambda run: run.checkpoint(step="x"), "checkpoint"),
        (lambda run: run.watch(object()), "watch"),
        (lambda run: run.log({"": 1}), "log"),
    ],
)
def test_mistakes_are_told_by_the_name_that_was_called(call, name, daemon, caplog):
    run = connected(daemon)
    call(run)
    (text,) = warnings(caplog)
    assert f" {name}: " in f" {text}", text
    run.finish()


def test_config_of_any_kind_becomes_json(daemon):
    class Config:
        def __init__(self):
            self.lr, self.steps, self.device = float("inf"), np.int64(3), object
            self.text, self.deep = "a\0b\ud800", {1: {2: (3, {4})}}

    connected(daemon, config=Config()).finish()
    config = daemon.controls("open")[0]["config"]
    assert config["lr"] is None and config["steps"] == 3 and "object" in config["device"]
    assert config["text"] == "ab?" and config["deep"] == {"1": {"2": [3, [4]]}}


def test_config_too_large_for_its_frame_is_left_out(daemon, caplog):
    connected(daemon, config={"x": ["y" * 100] * 20000}).finish()
    assert daemon.controls("open")[0]["config"] == {} and len(warnings(caplog)) == 1


def test_seeded_generators_are_left_alone(daemon):
    import random

    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()
    run = connected(daemon)
    run.observe(*rows(), step=0)
    run.finish()
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_messages_of_two_threads_keep_one_order(daemon):
    run = connected(daemon)

    def train(layer):
        for step in range(200):
            run.observe(*rows(), step=step, layer=layer)
            if step % 20 == 0:
                run.checkpoint(step=step)

    threads = [threading.Thread(target=train, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    run.finish()
    seen = {}
    last_seq = 0
    for item in daemon.received:
        if not isinstance(item, dict):
            _, header, name, _ = item
            assert header.seq == seen.get(name, 0) + 1 and header.rows_before == 8 * (
                header.seq - 1
            )
            seen[name] = header.seq
        elif item["type"] == "checkpoint":
            assert item["seq"] == last_seq + 1
            last_seq = item["seq"]
            assert {k: v["seq"] for k, v in item["layers"].items()} == seen
    assert seen == {"a": 200, "b": 200} and last_seq == 20


def test_point_of_a_newer_daemon_can_be_copied_and_asked():
    import copy
    import pickle

    point = richd.Point.from_json({"layer": "head", "step": 3, "s_init": 0.5, "flags": None})
    assert pickle.loads(pickle.dumps(copy.copy(point))).s_init == 0.5
    assert point.flags == () and point.d_lr is None
    with pytest.raises(AttributeError):
        _ = point.nothing


def test_balanced_weighs_the_classes_equally():
    weights = _labels.balanced_weights(_arrays.as_labels(np.array([0, 0, 0, 1])))
    assert weights.tolist() == pytest.approx([4 / 6, 4 / 6, 4 / 6, 2])
    assert weights.sum() == pytest.approx(4)
