"""A server whose disk is full, or whose tables are of another version: one sentence says so,
nothing that was acknowledged is lost, and when it is mended all is copied."""

import pytest

from harness import wait_until
from postgres import Postgres
from sharing import await_level, assert_same, train


def await_problem(daemon, sentence):
    problems = wait_until(lambda: daemon.rpc("server.status")["problems"], sentence)
    assert len(problems) == 1 and sentence in problems[0], problems


@pytest.fixture
def small_server():
    server = Postgres()
    if not server.add_small_disk(size_mb=12):
        pytest.skip("a file system for the server's disk cannot be mounted here")
    server.start()
    yield server
    server.close()


def fill(database):
    """Until nothing more fits there."""
    database.sql("CREATE TABLE ballast(text text)")
    with pytest.raises(AssertionError, match="No space left on device"):
        while True:
            database.sql("INSERT INTO ballast SELECT repeat(md5(i::text), 50)"
                         " FROM generate_series(1, 1000) i")


def test_a_full_disk_of_the_server(new_daemon, small_server):
    small_server.sql("postgres", f"CREATE TABLESPACE small LOCATION '{small_server.folder}/small'")
    database = small_server.new_database("TABLESPACE small")
    daemon = new_daemon("--history", database.url).start()
    with daemon.trainer("run") as trainer:
        train(trainer, range(2))
        await_level(daemon)
        fill(database)
        train(trainer, range(2, 30))  # more than fits into pages that are there
        await_problem(daemon, "No space left on device")
        train(trainer, range(30, 32))  # acknowledged all the same
        trainer.finish()
    database.sql("DROP TABLE ballast")
    daemon.restart()  # or within 10 s
    await_level(daemon)
    assert database.count("point") == 2 * 32
    assert daemon.rpc("server.status")["problems"] == []


def test_tables_of_an_older_and_of_a_newer_richd(new_daemon, database):
    writer = new_daemon("--history", database.url).start()
    with writer.trainer("run") as trainer:
        train(trainer, range(2))
        trainer.finish()
    await_level(writer)
    reader = new_daemon("--history", database.url, "--read-only", "on")
    for change, sentence in (
            ("UPDATE richd.version SET version = 99", "of a newer richd; this one reads version 1"),
            ("UPDATE richd.version SET version = 1;"
             "ALTER TABLE richd.point DROP COLUMN d_debiased CASCADE", "of an older richd")):
        database.sql(change)
        reader.restart() if reader.process else reader.start()
        await_problem(reader, sentence)
    writer.restart()  # adds the column; what it had is with the writer
    await_level(writer)
    wait_until(lambda: database.value("SELECT count(*) FROM information_schema.columns WHERE"
                                      " column_name = 'd_debiased' AND table_name = 'point'")
               == "1", "the column")
    database.sql("UPDATE richd.source SET feed_seq = 0")
    writer.restart()
    await_level(writer)
    reader.restart()
    assert_same(reader, writer, "run")
