"""richd --read-only on: the runs of every daemon of a shared history, as each of them shows its
own, and live."""

import time

import pytest

from harness import wait_until
from sharing import answers, assert_same, await_level, has_points, train


@pytest.fixture
def reader(new_daemon, database):
    return new_daemon("--history", database.url, "--read-only", "on")


@pytest.fixture
def new_writer(new_daemon, database):
    return lambda *flags: new_daemon("--history", database.url, *flags).start()


@pytest.mark.parametrize("n_partitions", [0, 4])
def test_it_answers_as_the_daemons_that_write(reader, new_writer, n_partitions):
    reader.start()
    writers = [new_writer("--history-partitions", str(n_partitions)) for _ in range(2)]
    for i, writer in enumerate(writers):
        with writer.trainer(f"run-{i}", name=f"n{i}", tags=["x"], config={"lr": i},
                            watch=["d_lr"]) as trainer:
            train(trainer, range(5))
            for text in ("first", "second"):  # the second stands in the place of the first
                trainer.say("summary", seq=trainer._next_seq(),
                            summary={"best": i, "alert: loss": {"step": len(text), "text": text}})
            trainer.finish()
        writer.rpc("run.edit", run=f"run-{i}", note="a note")
        await_level(writer)
    for i, writer in enumerate(writers):
        assert len(answers(writer, f"run-{i}")["events"]) == 1
        assert_same(reader, writer, f"run-{i}")
        spectrum = dict(run=f"run-{i}", layer="head", step=3)
        assert reader.rpc("spectrum.query", **spectrum) == writer.rpc("spectrum.query", **spectrum)


def test_a_subscriber_sees_points_within_a_second_or_two(reader, new_writer):
    writer = new_writer()
    reader.start()
    with writer.trainer("run") as trainer:
        train(trainer, range(1))
        wait_until(lambda: has_points(reader, "run", 2), "the first points")
        subscriber = reader.subscribe(run="run")
        began = time.monotonic()
        train(trainer, range(1, 4))
        subscriber.read_until(lambda s: max(point["step"] for point in s.points) == 3)
        assert time.monotonic() - began < 10  # half a second on a machine that is idle
        assert reader.state_of("run") == "open"
        reader.restart()  # and no run is lost by it
        wait_until(lambda: reader.state_of("run") == "open", "the run to be open")
        trainer.finish()
    wait_until(lambda: reader.state_of("run") == "finished", "the run to be finished")
    assert_same(reader, writer, "run")


def test_a_run_that_goes_on_elsewhere_is_one_run(reader, new_writer):
    for i in range(2):
        writer = new_writer()
        with writer.trainer("moves") as trainer:
            train(trainer, range(3 * i, 3 * i + 5), layers=("head",))
            trainer.finish()
        await_level(writer)
    reader.start()
    wait_until(lambda: has_points(reader, "moves", 10), "the points")
    run = reader.rpc("run.get", run="moves")
    assert run["attempt"] == 2 and run["state"] == "finished"
    assert [each["first_step"] for each in run["attempts"]] == [0, 3]
    columns = reader.series("moves")
    assert columns["step"] == list(range(8))  # from step 3 on, those of the second
    assert columns["attempt"] == [1] * 3 + [2] * 5


def test_it_takes_no_trainer_and_no_edit(reader, new_writer):
    new_writer()
    reader.start()
    with reader.trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run="run", writer="w")
        assert "only reads" in trainer.expect("nack")["text"]
    with pytest.raises(Exception, match="-32003"):
        reader.rpc("run.edit", run="run", note="x")


def test_a_deleted_run_goes_there_too(reader, new_writer):
    writer = new_writer()
    reader.start()
    for run in ("stays", "goes"):
        with writer.trainer(run) as trainer:
            train(trainer, range(2))
            trainer.finish()
    wait_until(lambda: has_points(reader, "goes", 4), "the points")
    writer.rpc("run.delete", run="goes")
    wait_until(lambda: [each["run"] for each in reader.rpc("run.list")["runs"]] == ["stays"],
               "the run to go")
    with writer.trainer("goes", resume="never") as trainer:
        train(trainer, range(3))
        trainer.finish()
    wait_until(lambda: has_points(reader, "goes", 6), "the new run")
    assert_same(reader, writer, "goes")


def test_a_reader_killed_before_it_reads_a_source_starts_again(reader, new_writer, database):
    writer = new_writer()
    with writer.trainer("run") as trainer:
        train(trainer, range(1))
        await_level(writer)
        database.sql("CREATE TABLE aside AS TABLE richd.source; DELETE FROM richd.source")
        reader.start()  # the attempt is open there, and no source says how far it is
        wait_until(lambda: "the shared history is on" in reader.output, "the history")
        assert reader.rpc("run.list")["runs"] == []
        reader.kill()
        reader.start()
        database.sql("INSERT INTO richd.source TABLE aside")
        wait_until(lambda: has_points(reader, "run", 2), "the points")


def test_a_store_with_runs_of_its_own_is_refused(new_daemon, database):
    daemon = new_daemon().start()
    with daemon.trainer("run") as trainer:
        train(trainer, range(2))
        trainer.finish()
    daemon.stop()
    daemon.flags = ["--history", database.url, "--read-only", "on"]
    daemon.launch()
    assert daemon.process.wait(30) != 0
    daemon.process = None
    assert "has runs of its own" in daemon.output
