"""Pages of the history are overwritten while the daemon is away. What is intact is served, what is
not is said, the daemon goes on, and the next start finds a sound file."""

import contextlib
import secrets
import shutil
import sqlite3

import pytest

from harness import PATIENCE_S, draw, wait_until

PAGE = 4096
STEPS = 100


def write_history(daemon, runs=("a", "b", "c"), steps=STEPS):
    for run in runs:
        with daemon.trainer(run, config={"note": run * 10000}) as trainer:
            trainer.rows(*draw(20, 4, 2))
            trainer.checkpoint(0)
            for step in range(1, steps):
                trainer.log(step, loss=step)
            trainer.wait(trainer.seq)
            trainer.finish()


def pages_of(database, name, kind):
    """Numbers of the pages of a table or index; dbstat is in Debian's library."""
    with sqlite3.connect(database) as connection:
        return [page for page, in connection.execute(
            "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY pageno",
            (name, kind))]


def damage(database, page):
    with database.open("r+b") as file:
        file.seek((page - 1) * PAGE)
        file.write(secrets.token_bytes(PAGE))


def status(daemon):
    return daemon.rpc("server.status")


def wait_for_repair(daemon):
    """The background check has found the damage, the file was rewritten and read once more."""
    wait_until(lambda: any("damaged file is" in problem for problem in status(daemon)["problems"]),
               "the repair")
    wait_until(lambda: status(daemon)["history"] == "sound", "the second check")


@pytest.mark.parametrize("name, kind", [("run_config", "overflow"), ("layer", "leaf"),
                                        ("scalar", "leaf"), ("point_by_feed_seq", "leaf")])
def test_damage_is_found_told_and_repaired(daemon, name, kind):
    write_history(daemon)
    daemon.stop()
    database = daemon.state / "richd.sqlite"
    damage(database, pages_of(database, name, kind)[-1])

    daemon.start()
    wait_for_repair(daemon)
    assert daemon.richctl("status").count("PROBLEM") == len(status(daemon)["problems"])
    assert "history: the history was damaged" in daemon.output
    runs = daemon.rpc("run.list")["runs"]
    assert {run["run"] for run in runs} >= {"a", "b", "c"}
    for run in runs:
        daemon.rpc("layer.list", run=run["run"])
        daemon.rpc("series.query", run=run["run"])
    (loss,) = daemon.rpc("scalars.query", run="a")["scalars"]
    assert len(loss["columns"]["step"]) > 0
    with daemon.trainer("a") as trainer:  # a damaged configuration is written again
        trainer.rows(*draw(20, 4, 2))
        trainer.checkpoint(STEPS)

    daemon.restart()
    wait_until(lambda: status(daemon)["history"] == "sound", "the check")
    assert status(daemon)["problems"] == []
    assert (daemon.state / "richd.sqlite.damaged-1").exists()


def test_damage_that_a_commit_meets_is_repaired_at_once(daemon):
    """The page is damaged under the running daemon, which has no reason to read it before."""
    write_history(daemon, steps=10)
    daemon.restart()
    wait_until(lambda: status(daemon)["history"] == "sound", "the check")
    database = daemon.state / "richd.sqlite"
    for page in pages_of(database, "run_config", "leaf"):
        damage(database, page)
    daemon.restart()
    with daemon.trainer("a", config={"new": 1}) as trainer, daemon.subscribe() as subscription:
        trainer.rows(*draw(20, 4, 2))
        trainer.checkpoint(STEPS)
        subscription.read_until(lambda s: any(p["step"] == STEPS for p in s.points))
    assert daemon.rpc("run.get", run="a")["config"] == {"new": 1}
    assert any("configurations" in problem for problem in status(daemon)["problems"])


@pytest.mark.not_under("thread", because="a check of lowest priority takes minutes beside others")
def test_a_check_of_the_old_file_says_nothing_of_the_new_one(daemon):
    """It reads while a commit meets the damage. What it finds was repaired since."""
    write_history(daemon, runs=("a",), steps=10)
    daemon.stop()
    database = daemon.state / "richd.sqlite"
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        db.execute("INSERT INTO scalar (name_key, attempt, step, time, value, feed_seq)"
                   " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 200000)"
                   " SELECT name_key, 1, 1000 + i, 0, i, 1000 + i FROM scalar_name, n")
        db.execute("UPDATE state SET feed_seq = 300000")
    for page in pages_of(database, "run_config", "leaf"):
        damage(database, page)
    daemon.start()
    wait_until(lambda: status(daemon)["history"] == "checking", "the check")
    with daemon.trainer("a", config={"new": 1}) as trainer:
        trainer.rows(*draw(20, 4, 2))
        trainer.checkpoint(STEPS)
    wait_until(lambda: status(daemon)["history"] == "sound", "the check of the new file",
               timeout=8 * PATIENCE_S)
    assert (daemon.state / "richd.sqlite.damaged-1").exists()
    assert not (daemon.state / "richd.sqlite.damaged-2").exists()


@pytest.mark.parametrize("content", [b"x", None])
def test_a_history_that_is_gone_is_told(daemon, content):
    write_history(daemon, runs=("a",))
    daemon.stop()
    database = daemon.state / "richd.sqlite"
    database.unlink()
    if content is not None:
        database.write_bytes(content)
    daemon.start()
    assert daemon.rpc("run.list")["total"] == 0
    assert any("is missing" in problem for problem in status(daemon)["problems"])
    assert "is missing" in daemon.output
    daemon.restart()
    assert status(daemon)["problems"] == []


@pytest.mark.parametrize("content", [b"", None])
def test_a_log_without_its_database_is_kept(daemon, content):
    """SQLite would delete it, and it may hold all that there is."""
    write_history(daemon, runs=("a",))
    daemon.kill()
    database = daemon.state / "richd.sqlite"
    log = (daemon.state / "richd.sqlite-wal").read_bytes()
    database.unlink()
    if content is not None:
        database.write_bytes(content)
    daemon.start()
    assert (daemon.state / "richd.sqlite.damaged-1-wal").read_bytes() == log
    assert any("a new one begins" in problem for problem in status(daemon)["problems"])


def test_a_copy_without_its_log_is_told(daemon, new_daemon):
    write_history(daemon, runs=("a",))
    copy = new_daemon()
    copy.state.mkdir()
    shutil.copy(daemon.state / "richd.sqlite", copy.state)
    copy.start()
    assert any("-wal is missing" in problem for problem in status(copy)["problems"])
    assert "-wal is missing" in copy.output
