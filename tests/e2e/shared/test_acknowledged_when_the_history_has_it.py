"""richd --ack history: a message is acknowledged when PostgreSQL has committed it; a server that
is away delays that, and stops no trainer."""

import pytest

from harness import draw, wait_until
from sharing import train


@pytest.fixture
def database(own_server):
    return own_server.new_database()


@pytest.fixture
def daemon(new_daemon, database):
    return new_daemon("--history", database.url, "--ack", "history").start()


def send(trainer, steps):
    """Checkpoints and values that nobody waits for; their numbers."""
    features, outputs = draw(64, 16, 3)
    seqs = []
    for step in steps:
        trainer.rows(features, outputs + step * 1e-3, layer="head", step=step)
        seqs += [trainer.mark(step), trainer.log(step, loss=step)]
    return seqs


def await_stored(daemon, n):
    wait_until(lambda: daemon.rpc("run.get", run="run")["n_points"] == n, "the points to be stored")


def has_problem(daemon, text):
    return any(text in each for each in daemon.rpc("server.status")["problems"])


def test_what_is_acknowledged_is_there(daemon, database):
    with daemon.trainer("run") as trainer:
        for step in range(5):
            train(trainer, [step], layers=("head",))  # waits for the acknowledgement of the values
            assert database.value("SELECT max(step) FROM richd.logged WHERE name = 'loss'") == str(
                step)
            assert database.value("SELECT max(step) FROM richd.point") == str(step)
        seq = trainer.seq
        del trainer.acks[seq]
        trainer.say("log", seq=seq, step=4, scalars={"loss": 4})  # once more, and nothing waits
        trainer.wait(seq)
        trainer.finish()


def test_a_server_that_is_away_delays_it(daemon, own_server):
    with daemon.trainer("run") as trainer:
        train(trainer, range(2), layers=("head",))
        own_server.stop()
        subscriber = daemon.subscribe(run="run")
        seqs = send(trainer, range(2, 6))
        await_stored(daemon, 6)  # on disk, and shown at once
        subscriber.read_until(lambda s: max(point["step"] for point in s.points) == 5)
        wait_until(lambda: has_problem(daemon, "8 messages of trainers are stored here"),
                   lambda: daemon.rpc("server.status")["problems"])
        assert not set(seqs) & set(trainer.acks), "an acknowledgement came too early"
        own_server.start()
        for seq in seqs:
            trainer.wait(seq)
        assert [len(trainer.acks[seq] or ()) for seq in seqs] == [1, 0] * 4
        assert daemon.rpc("server.status")["problems"] == []


def test_after_kill_nine_what_is_sent_again_waits_as_well(daemon, own_server, database):
    with daemon.trainer("run", writer="w") as trainer:
        train(trainer, range(2), layers=("head",))
        attempt = trainer.attempt
        own_server.kill()
        seqs = send(trainer, range(2, 4))
        await_stored(daemon, 4)
        daemon.kill()
    daemon.start()
    with daemon.trainer("run", writer="w", attempt=attempt) as trainer:
        trainer.say("log", seq=seqs[-1], step=3, scalars={"loss": 3})  # it is on disk
        trainer.receive(0.5)
        assert seqs[-1] not in trainer.acks
        own_server.start()
        trainer.wait(seqs[-1])
        assert database.value("SELECT max(step) FROM richd.scalar") == "3"


def test_it_needs_a_history(new_daemon):
    daemon = new_daemon("--ack", "history")
    daemon.launch()
    assert daemon.process.wait(30) != 0
    daemon.process = None
    assert "it needs a --history" in daemon.output
