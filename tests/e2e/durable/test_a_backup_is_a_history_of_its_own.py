import shutil
import sqlite3
import threading

from harness import draw, richd, wait_until


def back_up(daemon, file):
    return richd("--backup", str(file), RICHD_STATE_DIR=str(daemon.state))


class Load(threading.Thread):
    """Logs and checkpoints one after the other, each acknowledged before the next."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.daemon_ = daemon
        self.stopping = threading.Event()
        self.acked = -1

    def run(self):
        with self.daemon_.trainer("run") as trainer:
            step = 0
            while not self.stopping.is_set():
                trainer.rows(*draw(8, 4, 2, seed=step))
                trainer.log(step, loss=step)
                trainer.checkpoint(step)
                self.acked = step
                step += 1


def steps_of(daemon):
    (loss,) = daemon.rpc("scalars.query", run="run")["scalars"]
    return loss["columns"]["step"], daemon.series("run")["step"]


def test_a_backup_under_load_is_a_prefix(daemon, new_daemon, tmp_path):
    load = Load(daemon)
    load.start()
    promised = []
    for i in range(3):
        wait_until(lambda n=10 * (i + 1): load.acked > n, "some steps")
        promised.append(load.acked)
        done = back_up(daemon, tmp_path / f"backup{i}")
        assert (done.returncode, done.stderr) == (0, "")
    load.stopping.set()
    load.join()
    assert not list(tmp_path.glob("*.part"))

    copy = new_daemon()
    copy.state.mkdir()
    for i, at_least in enumerate(promised):
        for old in copy.state.glob("richd.sqlite*"):
            old.unlink()
        shutil.copy(tmp_path / f"backup{i}", copy.state / "richd.sqlite")
        copy.start()
        logged, measured = steps_of(copy)
        assert logged == list(range(len(logged))) and len(logged) > at_least
        assert measured == logged[:len(measured)] and len(logged) - len(measured) <= 1
        assert copy.rpc("server.status")["problems"] == []
        with copy.trainer("run") as trainer:  # it is a history to go on with
            trainer.wait(trainer.log(len(logged), loss=0))
        copy.stop()


def test_what_a_backup_refuses(daemon, tmp_path):
    with daemon.trainer("run") as trainer:
        trainer.wait(trainer.log(0, loss=0))
    daemon.stop()
    file = tmp_path / "backup"
    assert back_up(daemon, file).returncode == 0, "without a daemon"
    again = back_up(daemon, file)
    assert again.returncode == 73 and "File exists" in again.stderr
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)
    nowhere = back_up(daemon, tmp_path / "no" / "backup")
    assert nowhere.returncode == 74 and str(tmp_path / "no") in nowhere.stderr
    for path in daemon.state.glob("richd.sqlite*"):
        path.unlink()
    nothing = back_up(daemon, tmp_path / "other")
    assert nothing.returncode == 74 and nothing.stderr.count("richd.sqlite") == 1
    assert not (daemon.state / "richd.sqlite").exists()
    missing = richd("--backup")
    assert missing.returncode == 64 and "needs a value: FILE" in missing.stderr


def test_a_backup_beside_an_older_log_is_not_mixed_with_it(daemon, tmp_path):
    """After kill -9 a log is left. Who puts the backup there and forgets it would have its pages
    written into the backup by SQLite."""
    copy = tmp_path / "copy"
    with daemon.trainer("run") as trainer:
        for step in range(20):
            trainer.wait(trainer.log(step, loss=step))
        assert back_up(daemon, copy).returncode == 0
        for step in range(20, 200):
            trainer.log(step, loss=step)
        trainer.wait(trainer.seq)
        daemon.kill()
    database = daemon.state / "richd.sqlite"
    log = (daemon.state / "richd.sqlite-wal").read_bytes()
    assert len(log) > 0
    shutil.copy(copy, database)
    daemon.start()
    (loss,) = daemon.rpc("scalars.query", run="run")["scalars"]
    assert loss["columns"]["step"] == list(range(20))
    wait_until(lambda: daemon.rpc("server.status")["history"] == "sound", "the check")
    assert (daemon.state / "richd.sqlite-wal.other-1").read_bytes() == log
    assert any("of another file" in p for p in daemon.rpc("server.status")["problems"])
