"""richctl migrate: a whole history into PostgreSQL and back, resumed where it was ended, and
compared row by row."""

import json
import signal
import subprocess

import pytest

from harness import BUILD, clean_environment, wait_until
from sharing import answers, await_level, train

RUNS = ("one", "two")


def migrate(*arguments, code=0):
    done = subprocess.run([BUILD / "richctl", "migrate", *map(str, arguments)],
                          env=clean_environment(), capture_output=True, text=True, timeout=300,
                          check=False)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done


def sums(*arguments, code=0):
    """{(table, run): its line}."""
    lines = map(json.loads, migrate(*arguments, "--json", code=code).stdout.splitlines())
    return {(line["table"], line["run"]): line for line in lines}


def fill(daemon, runs=RUNS, steps=range(12)):
    for i, run in enumerate(runs):
        with daemon.trainer(run, name=f"n-{i}", tags=["ä"], config={"lr": 0.1 * i, "t": 'ü"'},
                            watch=["d_lr"]) as trainer:
            train(trainer, steps)
            trainer.say("summary", seq=trainer._next_seq(),
                        summary={"best": i, "alert: loss": {"step": 3, "text": "high"}})
            trainer.finish()
        daemon.rpc("run.edit", run=run, note="a note")


def test_it_goes_there_and_back(new_daemon, database, tmp_path):
    daemon = new_daemon().start()
    fill(daemon)
    expected = {run: answers(daemon, run) for run in RUNS}
    assert str(daemon.process.pid) in migrate(daemon.state, database.url, code=69).stderr
    daemon.stop()
    there = sums(daemon.state, database.url)
    assert all(line["same"] and line["rows"] == line["rows_there"] for line in there.values())
    assert {key[1] for key in there} == set(RUNS)
    assert {key[0] for key in there} >= {"run", "run_text", "attempt", "layer", "scalar_name",
                                         "point", "spectrum", "scalar", "finding"}
    assert there["point", "one"]["rows"] == 24
    text = migrate(daemon.state / "richd.sqlite", database.url).stdout  # the second time
    assert "point" in text and "the same" in text and "differ" not in text
    back = new_daemon()
    assert sums(database.url, back.state).keys() == there.keys()
    back.start()
    for run in RUNS:
        assert answers(back, run) == expected[run]
    with back.trainer("one") as trainer:  # a history as any other
        train(trainer, range(12, 14))
        trainer.finish()
    assert back.rpc("run.get", run="one")["attempt"] == 2


@pytest.mark.parametrize("change, table, column", [
    ("UPDATE richd.point SET d_lr = d_lr + 1e-12 WHERE run = 'one' AND step = 3", "point", "d_lr"),
    ("DELETE FROM richd.scalar WHERE run = 'one' AND step = 3", "scalar", None),
    ("UPDATE richd.layer SET p = 17 WHERE run = 'one'", "layer", "p"),
    ("UPDATE richd.spectrum SET data = set_byte(data, 9, get_byte(data, 9) # 1) WHERE run = 'one'"
     " AND step = 3", "spectrum", "data"),
])
def test_what_differs_is_named(new_daemon, database, change, table, column):
    daemon = new_daemon().start()
    fill(daemon, steps=range(5))
    daemon.stop()
    migrate(daemon.state, database.url)
    database.sql(change)
    told = sums(daemon.state, database.url, "--check", code=1)
    wrong = {key: line for key, line in told.items() if not line["same"]}
    assert set(wrong) == {(table, "one")}
    if column:
        assert wrong[table, "one"]["columns"] == column
    text = migrate(daemon.state, database.url, "--check", code=1)
    assert f"{table} of one: " in text.stdout and "1 differ" in text.stdout
    back = sums(database.url, daemon.state, "--check", code=1)  # the same, seen from there
    assert [key for key, line in back.items() if not line["same"]] == [(table, "one")]


def test_it_goes_on_where_it_was_ended(new_daemon, database):
    daemon = new_daemon().start()
    with daemon.trainer("long") as trainer:
        for step in range(40):
            trainer.log(step, **{f"s{i}": step + i for i in range(200)})
        trainer.wait(trainer.log(40, last=1))
        trainer.finish()
    daemon.stop()
    process = subprocess.Popen([BUILD / "richctl", "migrate", str(daemon.state), database.url],
                               env=clean_environment(), stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    wait_until(lambda: database.count("scalar") > 0 or process.poll() is not None, "a batch")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    before = database.value("SELECT max(batch) FROM richd.source")
    migrate(daemon.state, database.url)
    assert database.count("scalar") == 40 * 200 + 1
    assert int(database.value("SELECT max(batch) FROM richd.source")) >= int(before)
    assert database.count("source") == 1


def test_two_histories_meet_in_one(new_daemon, database):
    """Only what the one has is asked of the other."""
    daemons = [new_daemon().start() for _ in range(2)]
    for i, daemon in enumerate(daemons):
        with daemon.trainer("both") as trainer:
            train(trainer, range(4 * i, 4 * i + 4), layers=("head", f"layer{i}"))
            trainer.finish()
        daemon.stop()
        migrate(daemon.state, database.url)
    for daemon in daemons:
        told = sums(daemon.state, database.url, "--check")
        assert told["point", "both"]["rows"] == 8
    assert sums(daemons[0].state, database.url, "--check")["run", "both"]["described_elsewhere"]


def test_wrong_sides_are_refused(database, tmp_path):
    assert "one of the two" in migrate(tmp_path, tmp_path, code=64).stderr
    assert "no history" in migrate(tmp_path / "none", database.url, code=1).stderr
    nowhere = f"postgresql:///x?host={tmp_path}"
    assert "No such file" in migrate(nowhere, tmp_path / "new", code=69).stderr


def test_a_store_with_runs_of_its_own_takes_no_history(new_daemon, database):
    daemon = new_daemon("--history", database.url).start()
    fill(daemon, runs=("one",), steps=range(3))
    await_level(daemon)
    daemon.stop()
    assert "has runs of its own" in migrate(database.url, daemon.state, code=1).stderr
