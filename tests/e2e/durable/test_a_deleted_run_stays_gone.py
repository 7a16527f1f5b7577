"""Runs leave the history, deleted by a person or pruned, and do not come back unasked."""

import json
import signal
import sqlite3

import numpy as np
import pytest

from harness import Feed, RpcError, draw, wait_until

import richd


def store(daemon, run, n=1, **open_fields):
    """A run that has ended, of `n` points."""
    with daemon.trainer(run, **open_fields) as trainer:
        for step in range(n):
            trainer.rows(*draw(40, 8, 3, seed=step))
            trainer.mark(step)
        trainer.log(n, loss=1.0)
        trainer.finish()


def runs_of(daemon):
    return {run["run"] for run in daemon.rpc("run.list")["runs"]}


def ask_history(daemon, question):
    with sqlite3.connect(f"file:{daemon.state}/richd.sqlite?mode=ro", uri=True) as history:
        return history.execute(question).fetchone()[0]


def test_a_deleted_run_is_gone_at_once_and_for_good(daemon):
    store(daemon, "kept")
    store(daemon, "gone", n=3)
    assert daemon.rpc("run.delete", run="gone") == {"run": "gone", "points": 3}
    assert runs_of(daemon) == {"kept"}
    with pytest.raises(RpcError) as refused:
        daemon.rpc("run.get", run="gone")
    assert refused.value.code == -32001
    wait_until(lambda: ask_history(daemon, "SELECT count(*) FROM point") == 1, "the points to go")
    daemon.kill()
    daemon.start()
    assert runs_of(daemon) == {"kept"}
    with daemon.trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run="gone", writer="w")
        assert trainer.expect("nack", code="EGONE")["fatal"]
    store(daemon, "gone", resume="never")
    assert len(daemon.series("gone")["step"]) == 1


def test_an_open_run_is_not_deleted(daemon):
    with daemon.trainer("open") as trainer:
        with pytest.raises(RpcError, match="is open") as refused:
            daemon.rpc("run.delete", run="open")
        assert refused.value.code == -32602
        trainer.finish()
    daemon.rpc("run.delete", run="open")


def test_a_spool_of_a_deleted_run_is_refused_and_says_so(daemon):
    store(daemon, "gone")
    daemon.rpc("run.delete", run="gone")
    run = richd.init(mode="offline", run_id="gone")
    run.observe(*draw(40, 8, 3), step=1)
    run.checkpoint(step=1)
    run.finish()
    told = daemon.richctl("import", "--json", expect=1)
    assert [(line["state"], "was deleted" in line["text"])
            for line in map(json.loads, told.splitlines())] == [("kept", True)]
    assert runs_of(daemon) == set()


def test_a_trainer_that_resumes_a_deleted_run_goes_on_without_it(daemon, caplog):
    store(daemon, "gone")
    daemon.rpc("run.delete", run="gone")
    run = richd.init(endpoint=daemon.endpoints["ingest"], run_id="gone")
    rng = np.random.default_rng(0)
    for step in range(20):
        x = rng.normal(size=(40, 8)).astype("f4")
        run.observe(x, x[:, :3].copy(), step=step)
        run.checkpoint(step=step)
    run.finish()
    assert caplog.text.count("was deleted") == 1
    assert runs_of(daemon) == set()


def test_subscribers_are_told_of_runs_that_left(daemon):
    store(daemon, "gone")
    store(daemon, "other")
    with Feed(daemon.endpoints["feed"]) as feed:
        sub = feed.call("series.subscribe", run="gone")["sub"]
        daemon.rpc("run.delete", run="other")
        daemon.rpc("run.delete", run="gone")
        told = feed.receive()
        assert told["method"] == "run.deleted"
        assert told["params"] == {"sub": sub, "run": "gone"}


def test_the_oldest_runs_are_pruned_and_the_file_shrinks(daemon):
    for i in range(4):
        store(daemon, f"run-{i}", n=100)
    dry = daemon.rpc("history.prune", max_bytes=1, dry_run=True)
    assert dry["runs"] == [f"run-{i}" for i in range(4)]
    assert len(runs_of(daemon)) == 4
    assert daemon.rpc("history.prune", keep_days=1)["runs"] == []
    with daemon.trainer("open") as trainer:
        pruned = daemon.rpc("history.prune", max_bytes=dry["bytes_before"] * 3 // 4)
        assert pruned["runs"] == [f"run-{i}" for i in range(len(pruned["runs"]))] != []
        assert pruned["bytes_after"] <= dry["bytes_before"] * 3 // 4
        daemon.rpc("history.prune", max_bytes=0)
        assert runs_of(daemon) == {"open"}
        trainer.finish()
    store(daemon, "run-0")
    assert "run-0" in runs_of(daemon)


def test_the_daemon_prunes_as_its_options_say(new_daemon, tmp_path):
    config = tmp_path / "richd.conf"
    config.write_text("keep-days = off\n")
    daemon = new_daemon("--config", str(config)).start()
    store(daemon, "old")
    store(daemon, "new")
    daemon.stop()
    with sqlite3.connect(daemon.state / "richd.sqlite") as history:
        history.execute("UPDATE run SET updated = updated - 86400 * 9 WHERE id = 'old'")
    history.close()
    daemon.start()
    assert runs_of(daemon) == {"old", "new"}
    config.write_text("keep-days = 8\n")
    daemon.signal(signal.SIGHUP)
    wait_until(lambda: runs_of(daemon) == {"new"}, "the old run to be pruned")
    wait_until(lambda: "pruned run=old" in daemon.output, "a line of the log")
