"""A run that goes on under another daemon gets the attempt's number that follows, where the shared
history can be reached; where it cannot, its trainer does not wait, and the numbers are made one
later."""

import os
import signal
import time

import pytest

from harness import wait_until
from sharing import await_level, train


@pytest.fixture
def new_writer(new_daemon, database):
    return lambda: new_daemon("--history", database.url).start()


def series_of(database, run):
    return database.sql("SELECT attempt, step FROM richd.series WHERE run = '%s' ORDER BY 1, 2"
                        % run)


def test_the_trainer_is_told_the_next_number(new_writer, new_daemon, database):
    reader = new_daemon("--history", database.url, "--read-only", "on")
    daemons = [new_writer() for _ in range(3)]
    for i, daemon in enumerate(daemons):
        with daemon.trainer("moves", resume="allow" if i == 0 else "must") as trainer:
            assert trainer.attempt == i + 1
            train(trainer, range(3 * i, 3 * i + 5), layers=("head",))
            trainer.finish()
        await_level(daemon)
    with daemons[0].trainer("moves") as trainer:  # and back
        assert trainer.attempt == 4
        train(trainer, range(9, 11), layers=("head",))
        trainer.finish()
    await_level(daemons[0])
    assert database.sql("SELECT attempt, first_step FROM richd.attempt ORDER BY 1") == [
        ["1", "0"], ["2", "3"], ["3", "6"], ["4", "9"]]
    reader.start()
    wait_until(lambda: reader.rpc("run.list")["runs"]
               and reader.rpc("run.get", run="moves")["n_points"] == 17, "the points")
    columns = reader.series("moves")
    assert columns["step"] == list(range(11))
    assert columns["attempt"] == [1] * 3 + [2] * 3 + [3] * 3 + [4] * 2
    # Those who write show what they have, under the same numbers.
    assert daemons[1].series("moves")["attempt"] == [2] * 5
    with daemons[1].trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run="new-elsewhere", writer="w", resume="must")
        assert trainer.expect("nack")["code"] == "ENOENT"
    with daemons[0].trainer("only-here") as trainer:
        train(trainer, range(1))
        trainer.finish()
    await_level(daemons[0])
    with daemons[1].trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run="only-here", writer="w", resume="never")
        assert trainer.expect("nack")["code"] == "EEXIST"


def test_a_server_that_is_away_holds_no_trainer(new_daemon, own_server):
    database = own_server.new_database()
    daemons = [new_daemon("--history", database.url).start() for _ in range(2)]
    with daemons[0].trainer("run") as trainer:
        train(trainer, range(4), layers=("head",))
        trainer.finish()
    await_level(daemons[0])
    own_server.stop()
    began = time.monotonic()
    with daemons[1].trainer("run") as trainer:
        assert time.monotonic() - began < 10  # some milliseconds
        assert trainer.attempt == 1  # nobody knows better
        train(trainer, range(2, 6), layers=("head",))
        trainer.finish()
    own_server.start()
    await_level(daemons[1])
    assert series_of(database, "run") == [["1", str(step)] for step in range(4)] + [
        ["2", str(step)] for step in range(2, 6)]
    with daemons[1].trainer("run") as trainer:  # from here on it knows
        assert trainer.attempt == 3


def test_a_server_that_is_silent_holds_it_for_a_moment(new_daemon, database):
    daemon = new_daemon("--history", database.url).start()
    with daemon.trainer("first") as trainer:
        train(trainer, range(1), layers=("head",))
        trainer.finish()
    await_level(daemon)
    pid = int(database.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'richd'"
                             " AND datname = current_database()"))
    os.kill(pid, signal.SIGSTOP)
    try:
        for i in range(3):  # the first alone waits
            with daemon.trainer("second") as trainer:
                assert trainer.attempt == i + 1
                train(trainer, range(1), layers=("head",))
                trainer.finish()
    finally:
        os.kill(pid, signal.SIGCONT)
    await_level(daemon)
    assert database.value("SELECT count(*) FROM richd.attempt WHERE run = 'second'") == "3"
