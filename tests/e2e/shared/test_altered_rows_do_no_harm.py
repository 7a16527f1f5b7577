"""A person may alter the tables of a shared history, and any user of the database may write
nonsense there. Who reads along goes on answering, and ends when it is told to."""

import subprocess

import pytest

from harness import BUILD, RpcError, clean_environment, wait_until
from sharing import await_level, train

#: What nobody can tell from what a richd has written.
TAKEN = {
    "none": "UPDATE richd.run SET tags = NULL, project = NULL, name = repeat('n', 100000)",
    "words": "UPDATE richd.run SET tags = 'nonsense'",
    "lines": "UPDATE richd.run SET project = E'\\t\\u001b[2J\"',"
             " tags = E'[\n{\"jsonrpc\":\"2.0\"}\n]'",
    "an_object": "UPDATE richd.run SET tags = '{\"a\": 1}', created = 'NaN', updated = '-Infinity'",
}
EVERYWHERE = """
    UPDATE richd.run_text SET config = '{"a":', summary = '[1', updates = 'x';
    UPDATE richd.attempt SET state = 99, first_step = -9223372036854775808, closed = 'NaN',
        world = 2147483647;
    UPDATE richd.layer SET p = -1;
    UPDATE richd.point SET d_lr = 'Infinity', flags = -1, n = -5;
    UPDATE richd.spectrum SET data = '\\x00ff', rank = -3, n_values = 2147483647;
    UPDATE richd.scalar SET value = 'NaN'"""
REFUSED = {
    "a type": "ALTER TABLE richd.attempt ALTER state TYPE text USING 'open'",
    "no version": "DELETE FROM richd.version",
}
#: Addresses whose password libpq cannot read, or takes for something else.
PASSWORDS = ["postgresql://me:sec%zzret@h/db", "postgresql://me:sec/ret@h/db",
             "postgresql://me:1234/ret@h/db", "postgresql://me:se@cret@h/db",
             "postgresql://me:secret@[h/db", "mysql://me:secret@h/db", "password=my secret host=h"]


def write_one(new_daemon, database, *runs):
    writer = new_daemon("--history", database.url).start()
    for run in runs:
        with writer.trainer(run, name="n", tags=["x"], config={"a": 1}, watch=["d_lr"]) as trainer:
            train(trainer, range(4))
            trainer.finish()
    await_level(writer)
    writer.stop()


def ask_all(daemon, run):
    """All that a page asks for of a run; an answer may be an error, but it is one."""
    for method, more in (("run.get", {}), ("layer.list", {}), ("scalars.query", {}),
                         ("series.query", {"attempts": "all"}), ("event.query", {}),
                         ("representation.map", {}),
                         ("spectrum.query", {"layer": "head", "step": 3})):
        try:
            daemon.rpc(method, run=run, **more)
        except RpcError as error:
            print(method, error)


def test_nonsense_in_any_column_breaks_no_answer(new_daemon, database):
    write_one(new_daemon, database, *TAKEN)
    for run, statement in TAKEN.items():
        database.sql(f"{statement} WHERE run = '{run}'")
    database.sql(EVERYWHERE)
    reader = new_daemon("--history", database.url, "--read-only", "on").start()
    wait_until(lambda: len(reader.rpc("run.list")["runs"]) == len(TAKEN),
               lambda: reader.rpc("server.status"))
    for run in reader.rpc("run.list")["runs"]:
        assert isinstance(run["tags"], list)
        ask_all(reader, run["run"])
    reader.restart()
    reader.stop()


@pytest.mark.parametrize("what", REFUSED)
def test_tables_that_cannot_be_read_are_told_of(new_daemon, database, what):
    write_one(new_daemon, database, "run")
    database.sql(REFUSED[what])
    reader = new_daemon("--history", database.url, "--read-only", "on").start()
    wait_until(lambda: reader.rpc("server.status")["problems"], "a problem")
    reader.stop()


def test_a_row_that_nobody_can_read_is_named_and_left_out(new_daemon, database):
    write_one(new_daemon, database, "bad", "good")
    for cell in ("layer SET c", "attempt SET state", "point SET n", "scalar SET value",
                 "run SET created", "spectrum SET data"):
        database.sql(f"UPDATE richd.{cell} = NULL WHERE run = 'bad'")
    reader = new_daemon("--history", database.url, "--read-only", "on").start()
    wait_until(lambda: len(reader.rpc("run.list")["runs"]) == 2,
               lambda: reader.rpc("server.status"))
    wait_until(lambda: reader.rpc("run.get", run="good")["n_points"] == 8, "the points")
    problems = reader.rpc("server.status")["problems"]
    assert len(problems) == 1 and 'of run "bad" in ' in problems[0], problems
    assert reader.output.count("are left out") == 1
    ask_all(reader, "bad")
    with new_daemon("--history", database.url).start().trainer("later") as trainer:
        train(trainer, range(2))
        trainer.finish()
    wait_until(lambda: len(reader.rpc("run.list")["runs"]) == 3, "what comes behind it")


def test_a_batch_without_end_is_refused_at_a_limit(new_daemon, database):
    write_one(new_daemon, database, "run")
    database.sql("INSERT INTO richd.spectrum SELECT run, layer, attempt, 1000 + i, rank,"
                 " rank_targets, uncentred, few_rows, n_values, total,"
                 " convert_to(repeat('x', 1000000), 'UTF8'), source, batch"
                 " FROM richd.spectrum, generate_series(1, 300) i WHERE layer = 1 AND step = 0")
    reader = new_daemon("--history", database.url, "--read-only", "on").start()
    problems = wait_until(lambda: reader.rpc("server.status")["problems"], "a problem")
    assert "an answer of more than 256 MiB" in problems[0]


@pytest.mark.parametrize("address", PASSWORDS)
def test_no_part_of_a_password_is_told(tmp_path, address):
    done = subprocess.run([BUILD / "richd", "--history", address, "--state-dir", tmp_path / "state",
                           "--runtime-dir", tmp_path / "run", "--http", "off"], check=False,
                          env=clean_environment(), capture_output=True, text=True, timeout=60)
    assert done.returncode == 78, done.stderr
    for part in ("sec", "ret", "1234"):
        assert part not in done.stderr + done.stdout
