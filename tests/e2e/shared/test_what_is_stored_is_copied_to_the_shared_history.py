"""Points, values, findings and what describes a run are in PostgreSQL as the feed says them; a
server that is away costs nothing but lag, and nothing is there twice."""

import json
import signal

import pytest

from harness import POINT_KEYS, wait_until
from sharing import await_level, is_level, train

#: What the layer has, and what the feed writes with names.
NOT_COLUMNS = {"p", "c", "flags", "run", "layer", "attempt"}


def points_of(database, run, layer):
    """step -> the point's columns."""
    columns = [key for key in POINT_KEYS if key not in NOT_COLUMNS]
    cells = ", ".join(f'"{name}"' for name in columns)
    rows = database.sql(f"SELECT {cells} FROM richd.series WHERE run = '{run}'"
                        f" AND layer_name = '{layer}' ORDER BY step")
    return {int(row[columns.index("step")]):
            {name: None if cell is None else float(cell) for name, cell in zip(columns, row)}
            for row in rows}


def assert_same_points(daemon, database, run, layer):
    told = daemon.series(run, layer)
    kept = points_of(database, run, layer)
    assert list(kept) == told["step"]
    for i, step in enumerate(told["step"]):
        for name, values in told.items():
            if name in kept[step]:
                assert kept[step][name] == values[i], (layer, step, name)


@pytest.mark.parametrize("n_partitions", [0, 3])
def test_the_copy_is_what_the_feed_says(new_daemon, database, n_partitions):
    daemon = new_daemon("--history", database.url, "--history-partitions", str(n_partitions)).start()
    with daemon.trainer("run-1", name="n", project="p", tags=["a"],
                        config={"lr": 0.1, "text": 'ü"'}) as trainer:
        train(trainer, range(12))
        trainer.finish()
    await_level(daemon)
    wait_until(lambda: database.sql("SELECT attempt, state FROM richd.attempt") == [["1", "1"]],
               "the run to be finished there, too")
    for layer in ("head", "body"):
        assert_same_points(daemon, database, "run-1", layer)
    run = daemon.rpc("run.get", run="run-1")
    name, project, tags, config = database.sql(
        "SELECT name, project, tags, config FROM richd.run JOIN richd.run_text USING (run)")[0]
    assert (name, project, json.loads(tags), json.loads(config)) == (
        run["name"], run["project"], run["tags"], run["config"])
    logged = daemon.rpc("scalars.query", run="run-1", names=["loss"])["scalars"][0]["columns"]
    assert [float(row[0]) for row in database.sql(
        "SELECT value FROM richd.logged WHERE name = 'loss' ORDER BY step")] == logged["value"]
    assert database.value("SELECT count(value) FROM richd.logged WHERE name = 'broken'") == "0"
    assert database.count("spectrum") == 24
    divided = database.sql("SELECT inhparent::regclass, count(*) FROM pg_inherits"
                           " WHERE inhparent::regclass::text NOT LIKE '%\\_by\\_%'"
                           " AND inhparent::regclass::text NOT LIKE '%\\_pkey' GROUP BY 1")
    assert len(divided) == (5 if n_partitions else 0)
    assert {n for _, n in divided} <= {str(n_partitions)}


def test_a_server_that_was_away_has_all_when_it_is_back(new_daemon, own_server):
    database = own_server.new_database()
    daemon = new_daemon("--history", database.url).start()
    with daemon.trainer("run-1") as trainer:
        train(trainer, range(5))
        wait_until(lambda: is_level(daemon), "the first points")
        own_server.stop()
        train(trainer, range(5, 20))  # acknowledged all the same
        status = wait_until(lambda: daemon.rpc("server.status")["history_lag_s"]
                            and daemon.rpc("server.status"), "the lag to be told")
        assert status["history_waiting"] >= 15 * 2
        assert any("shared history is behind since" in text for text in status["problems"])
        daemon.kill()
        own_server.start()
        daemon.start()
    await_level(daemon)
    assert daemon.rpc("server.status")["problems"] == []
    assert database.count("point") == 40
    assert_same_points(daemon, database, "run-1", "head")
    assert database.sql("SELECT count(*), count(DISTINCT (run, layer, attempt, step))"
                        " FROM richd.point") == [["40", "40"]]
    own_server.stop(signal.SIGQUIT)
    own_server.start()


def test_two_daemons_write_one_history(new_daemon, database):
    daemons = [new_daemon("--history", database.url).start() for _ in range(2)]
    for i, daemon in enumerate(daemons):
        with daemon.trainer("both") as trainer:  # the second goes on with the run of the first
            train(trainer, range(3 * i, 3 * i + 3), layers=("head", f"layer{i}"))
            trainer.finish()
        with daemon.trainer(f"own-{i}") as trainer:
            train(trainer, range(3))
            trainer.finish()
        await_level(daemon)
    attempts = database.sql("SELECT attempt, first_step FROM richd.attempt WHERE run = 'both'"
                            " ORDER BY attempt")
    assert attempts == [["1", "0"], ["2", "3"]]
    assert sorted(database.sql("SELECT layer, name FROM richd.layer WHERE run = 'both'")) == [
        ["1", "head"], ["2", "layer0"], ["3", "layer1"]]
    assert database.value("SELECT count(*) FROM richd.point WHERE run = 'both'") == "12"
    assert database.value("SELECT count(DISTINCT source) FROM richd.point") == "2"
    # What is sent once more changes nothing: not who wrote it, nor when.
    before = database.sql("SELECT run, batch FROM richd.point ORDER BY 1, 2")
    database.sql("UPDATE richd.source SET feed_seq = 0")
    for daemon in daemons:
        daemon.restart()
        await_level(daemon)
    assert database.sql("SELECT run, batch FROM richd.point ORDER BY 1, 2") == before


def test_a_deleted_run_leaves_the_history(new_daemon, database):
    daemon = new_daemon("--history", database.url).start()
    for run in ("stays", "goes"):
        with daemon.trainer(run) as trainer:
            train(trainer, range(3))
            trainer.finish()
    await_level(daemon)
    daemon.rpc("run.delete", run="goes")
    wait_until(lambda: database.sql("SELECT run FROM richd.run") == [["stays"]], "the run to go")
    for table in ("point", "scalar", "layer", "attempt", "spectrum", "run_text"):
        assert database.sql(f"SELECT DISTINCT run FROM richd.{table}") == [["stays"]], table
    with daemon.trainer("goes", resume="never") as trainer:
        train(trainer, range(2))
        trainer.finish()
    wait_until(lambda: database.sql("SELECT DISTINCT layer_name FROM richd.series"
                                    " WHERE run = 'goes' ORDER BY 1") == [["body"], ["head"]],
               "the new run of that id")
    assert database.count("tombstone") == 0


@pytest.mark.parametrize("change, undo, sentence", [
    ("UPDATE richd.version SET version = 99", "UPDATE richd.version SET version = 1",
     "its tables have version 99, of a newer richd"),
    ("ALTER DATABASE {name} SET default_transaction_read_only = on",
     "SET transaction_read_only = off; ALTER DATABASE {name} RESET default_transaction_read_only",
     "read-only"),
])
def test_a_server_that_takes_no_rows_is_named_until_it_does(new_daemon, database, change, undo,
                                                            sentence):
    daemon = new_daemon("--history", database.url).start()
    with daemon.trainer("run-1") as trainer:
        train(trainer, range(2))
        wait_until(lambda: is_level(daemon) and database.count("point") == 4, "the first points")
        database.sql(change.format(name=database.name))
        database.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                     " WHERE application_name = 'richd' AND datname = current_database()")
        train(trainer, range(2, 4))
    wait_until(lambda: any(sentence in text for text in daemon.rpc("server.status")["problems"]),
               lambda: daemon.rpc("server.status"))
    assert sentence in daemon.richctl("status")
    database.sql(undo.format(name=database.name))
    daemon.restart()  # or within 10 s
    wait_until(lambda: is_level(daemon) and database.count("point") == 8, "the others")


@pytest.mark.parametrize("url, sentence", [
    ("postgresql://richd@/nowhere?host={folder}", 'database "nowhere" does not exist'),
    ("postgresql://nobody_there@/postgres?host={folder}", 'role "nobody_there" does not exist'),
    ("postgresql://richd@/postgres?host={folder}/no-socket", "No such file or directory"),
])
def test_one_sentence_says_why(new_daemon, server, url, sentence):
    daemon = new_daemon("--history", url.format(folder=server.folder)).start()
    problems = wait_until(lambda: daemon.rpc("server.status")["problems"], "the sentence")
    assert len(problems) == 1 and sentence in problems[0], problems
    assert daemon.output.count(sentence) == 1
    with daemon.trainer("run-1") as trainer:
        train(trainer, range(2))


def test_a_wrong_password_is_told_and_never_shown(new_daemon, server, database):
    database.sql("DROP ROLE IF EXISTS locked; CREATE ROLE locked LOGIN PASSWORD 'right'")
    daemon = new_daemon("--history", f"postgresql://locked:wrOng-secret@/{database.name}"
                                     f"?host={server.folder}").start()
    problems = wait_until(lambda: daemon.rpc("server.status")["problems"], "the sentence")
    assert "password authentication failed" in problems[0]
    daemon.stop()
    assert "wrOng-secret" not in daemon.output
