"""A backup that is restored goes on under numbers that the lost rows had: the shared history keeps
both, and what both have once."""

from harness import richd
from sharing import await_level, train


def test_nothing_is_lost_when_a_store_is_put_back(new_daemon, database, tmp_path):
    daemon = new_daemon("--history", database.url).start()
    backup = tmp_path / "backup"

    def attempt(steps):
        with daemon.trainer("run") as trainer:
            train(trainer, steps, layers=("head",))
            trainer.finish()
        await_level(daemon)

    attempt(range(3))
    assert richd("--backup", str(backup), RICHD_STATE_DIR=str(daemon.state)).returncode == 0
    attempt(range(3, 6))  # the store will know nothing of it
    daemon.stop()
    assert richd("--restore", str(backup), RICHD_STATE_DIR=str(daemon.state)).returncode == 0
    daemon.flags = []  # and has as many rows again before it looks at the history
    daemon.start()
    with daemon.trainer("run") as trainer:
        train(trainer, range(3, 8), layers=("head",))
        trainer.finish()
    daemon.stop()
    daemon.flags = ["--history", database.url]
    daemon.start()
    await_level(daemon)
    assert database.sql("SELECT attempt, count(*) FROM richd.point GROUP BY 1 ORDER BY 1") == [
        ["1", "3"], ["2", "3"], ["3", "5"]]


def test_a_copy_that_writes_at_the_same_time_is_told_apart(new_daemon, database):
    """Two stores with one id: each writes what the other has not."""
    first = new_daemon().start()
    with first.trainer("run-0") as trainer:
        train(trainer, range(2), layers=("head",))
        trainer.finish()
    first.stop()
    second = new_daemon()
    second.state.mkdir()
    for file in first.state.glob("richd.sqlite*"):
        (second.state / file.name).write_bytes(file.read_bytes())
    for daemon in (first, second):
        daemon.flags = ["--history", database.url]
        daemon.start()
        await_level(daemon)
    for steps in (range(3), range(3, 6)):
        for daemon, run in ((first, "run-1"), (second, "run-2")):
            with daemon.trainer(run) as trainer:
                train(trainer, steps, layers=("head",))
            await_level(daemon)
    assert database.sql("SELECT run, count(*) FROM richd.point GROUP BY 1 ORDER BY 1") == [
        ["run-0", "2"], ["run-1", "6"], ["run-2", "6"]]
    said = [problem for daemon in (first, second)
            for problem in daemon.rpc("server.status")["problems"]]
    assert len(said) == 1 and "writes with a copy of this store" in said[0], said
