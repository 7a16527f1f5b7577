import contextlib
import os
import signal
import sqlite3
import time

import numpy as np
import pytest

from harness import PATIENCE_S, Feed, assert_measures, draw, wait_until


def test_sigterm_finishes_what_was_promised(daemon):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4096, 1024)).astype("f4")
    outputs = rng.normal(size=(4096, 32)).astype("f4")
    with daemon.trainer("run") as trainer:
        trainer.rows(features, outputs)
        marks = [trainer.mark(1), trainer.log(1, loss=0.5)]
        wait_until(lambda: daemon.rpc("server.status")["batches"] == 1, "the batch to arrive")
        trainer.say("ping", id=1)
        trainer.expect("pong")  # what was sent before it has been taken
        daemon.stop()
        point = trainer.wait(marks[0])["head"]
        trainer.wait(marks[1])
    assert_measures(point, features, outputs)
    daemon.start()
    assert daemon.series("run")["d_lr"] == [point["d_lr"]]


def test_an_idle_daemon_ends_at_once(daemon):
    subscription = daemon.subscribe()
    with daemon.trainer("run"):
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < 5
    assert not subscription.read_update()
    subscription.close()


def test_sigint_does_the_same(daemon):
    daemon.signal(signal.SIGINT)
    assert daemon.process.wait(PATIENCE_S) == 0
    daemon.process = None
    assert "finishing what was promised" in daemon.output


def test_a_second_signal_ends_at_once(daemon):
    # A checkpoint that waits for room on the disk keeps the daemon from ending by itself.
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        trainer.checkpoint(1)
        daemon.fill_disk()
        trainer.rows(*draw(30, 4, 2))
        trainer.mark(2)
        wait_until(lambda: "not stored" in daemon.output, "the disk to be full")
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "finishing what was promised" in daemon.output)
        daemon.signal(signal.SIGTERM)
        # 0, unless the disk is just being tried again
        assert daemon.process.wait(5) in (0, -signal.SIGTERM)
        daemon.process = None
    assert "stopping at once" in daemon.output


def test_a_second_signal_waits_for_no_job(daemon):
    """The decomposition of 3000 features takes seconds, and is under way at both signals."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3100, 3000)).astype("f4")
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2), layer="small")
        trainer.checkpoint(1)
        trainer.rows(features, features[:, :8])
        trainer.mark(2, spectrum=True)
        trainer.say("ping", id=1)
        trainer.expect("pong")
        daemon.signal(signal.SIGTERM)
        wait_until(lambda: "finishing what was promised" in daemon.output)
        daemon.signal(signal.SIGTERM)
        assert daemon.process.wait(PATIENCE_S) == -signal.SIGTERM
        daemon.process = None
    assert "jobs and commits are left behind" in daemon.output
    assert not (daemon.runtime / "endpoints.json").exists()
    daemon.start()
    assert daemon.series("run", "small")["step"] == [1]


def test_a_daemon_without_standard_input_serves_and_ends(new_daemon):
    daemon = new_daemon()
    daemon.preexec = lambda: os.close(0)
    daemon.start()
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(16, 4, 2))
        trainer.checkpoint(1)
    daemon.stop()


def add_findings(daemon, n_findings):
    """Gives a layer of the run so many transitions that the latest are looked for for a minute."""
    with contextlib.closing(sqlite3.connect(daemon.state / "richd.sqlite")) as db, db:
        db.execute("INSERT INTO finding (layer_key, run_key, attempt, step, metric, direction,"
                   " start_step, end_step, agrees, feed_seq)"
                   " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
                   " SELECT layer_key, run_key, 1, i, 'd_lr', 0, i, i, 0, 1000 + i FROM layer, n",
                   [n_findings])
        db.execute("UPDATE state SET feed_seq = ?", [1001 + n_findings])


def test_a_query_that_runs_does_not_hold_up_the_end(daemon):
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        trainer.checkpoint(1)
        trainer.finish()
    daemon.stop()
    add_findings(daemon, 40_000)
    daemon.start()
    with contextlib.ExitStack() as stack:
        feeds = [stack.enter_context(Feed(daemon.endpoints["feed"])) for _ in range(3)]
        before = daemon.cpu_seconds()
        for feed in feeds:
            feed.send('{"jsonrpc":"2.0","id":1,"method":"event.subscribe"}\n')
        wait_until(lambda: daemon.cpu_seconds() > before + 0.2, "the queries to run")
        began = time.monotonic()
        daemon.stop()
        assert time.monotonic() - began < 10
        assert [feed.receive() for feed in feeds] == [None] * 3, "nobody was answered before"


@pytest.mark.not_under("thread", "address", because="strace is in between")
def test_who_finds_the_daemon_may_end_it_at_once(daemon):
    """It answers signals before its files say that it is there; they come by rename()."""
    daemon.stop()
    daemon.prefix = ["strace", "-D", "-o", "/dev/null", "-e", "trace=rename",
                     "-e", "inject=rename:delay_exit=300000"]
    daemon.launch()
    wait_until((daemon.runtime / "endpoints.json").exists, "the daemon's files")
    daemon.signal(signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_S) == 0
    daemon.process = None
