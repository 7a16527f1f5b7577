import contextlib
import sqlite3
import time

from harness import assert_measures, draw, wait_until


@contextlib.contextmanager
def lock(daemon):
    """Another process that has begun to write, as a person in a shell does."""
    database = sqlite3.connect(daemon.state / "richd.sqlite", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        database.execute("ROLLBACK")
        database.close()


def problems(daemon):
    return daemon.rpc("server.status")["problems"]


def test_a_lock_of_another_process_is_waited_for(daemon):
    first, second = draw(50, 8, 3), draw(60, 8, 3, seed=1)
    with daemon.trainer("run") as trainer:
        trainer.rows(*first)
        trainer.checkpoint(1)
        assert problems(daemon) == []
        with lock(daemon):
            trainer.rows(*second)
            seqs = [trainer.mark(2), trainer.log(2, loss=1.0)]
            wait_until(lambda: daemon.output.count("not stored run=run seq=2") > 2, "three tries")
            assert any("locked" in problem for problem in problems(daemon))
            assert "locked" in daemon.richctl("status")
            assert daemon.series("run")["step"] == [1], "reads are served, and show what is stored"
            assert not set(seqs) & set(trainer.acks)
        released = time.monotonic()
        point = trainer.wait(seqs[0])["head"]
        trainer.wait(seqs[1])
        assert time.monotonic() - released < 5
        assert trainer.nacks == []
    assert_measures(point, *second)
    assert daemon.series("run")["step"] == [1, 2]
    assert problems(daemon) == []
    assert "the store waits" in daemon.output and "the store writes again" in daemon.output


def test_a_run_opens_when_the_lock_is_gone(daemon, new_run):
    with lock(daemon):
        run = new_run("during")
        run.observe(*draw(50, 8, 3), step=1)
        run.checkpoint(step=1)
        wait_until(lambda: "code=EIO" in daemon.output, "the opening to be refused for now")
    wait_until(lambda: daemon.rpc("run.list")["total"] == 1, "the run to open")
    wait_until(lambda: daemon.rpc("run.get", run="during")["n_points"] == 1, "its point")


def test_a_problem_ends_with_the_lock_though_nothing_is_stored(daemon, new_run):
    with lock(daemon):
        new_run("during").finish()
        wait_until(lambda: problems(daemon), "the lock to be told")
    wait_until(lambda: not problems(daemon), "the end of the lock to be noticed")
    wait_until(lambda: "the store writes again" in daemon.output, "it to be told")
    assert daemon.rpc("run.list")["total"] == 0


def test_a_daemon_that_starts_waits_for_the_lock(daemon):
    daemon.stop()
    with lock(daemon):
        daemon.launch()
        wait_until(lambda: "waits for another process" in daemon.output, "the daemon to say so")
        assert daemon.process.poll() is None
    wait_until(daemon.is_ready, "the daemon to be ready")
