"""Three readers behind a proxy: whichever is asked, the answer is the same, also of a run that has
moved between daemons and of one that was deleted."""

from harness import wait_until
from sharing import answers, await_level, train

RUNS = ("moves", "own-0", "own-1")


def test_three_readers_give_one_answer(new_daemon, database):
    writers = [new_daemon("--history", database.url).start() for _ in range(2)]
    readers = [new_daemon("--history", database.url, "--read-only", "on") for _ in range(3)]
    readers[0].start()  # one sees all come, two read it at once
    for i, writer in enumerate(writers):
        for run in ("moves", f"own-{i}", f"goes-{i}"):
            with writer.trainer(run, name=f"n-{i}", tags=["x"]) as trainer:
                train(trainer, range(3 * i, 3 * i + 4))
                trainer.finish()
        writer.rpc("run.delete", run=f"goes-{i}")
        await_level(writer)
    for reader in readers[1:]:
        reader.start()
    for reader in readers:
        wait_until(lambda reader=reader: sorted(
            (each["run"], each["n_points"]) for each in reader.rpc("run.list")["runs"]) == [
                ("moves", 16), ("own-0", 8), ("own-1", 8)], "all points")
    for run in RUNS:
        for reader in readers[1:]:
            wait_until(lambda reader=reader, run=run: answers(reader, run) == answers(
                readers[0], run), f"one answer about {run}")
    assert readers[2].series("moves")["attempt"] == [1] * 3 + [2] * 4
