"""The shared history through pgbouncer in transaction mode, and over a way of 100 ms."""

import time

import pytest

from between import Bouncer, LongWay
from sharing import await_level, assert_same, train


@pytest.fixture
def bouncer(server):
    bouncer = Bouncer(server)
    yield bouncer
    bouncer.close()


@pytest.fixture
def long_way(server):
    way = LongWay(server, round_trip_s=0.1)
    yield way
    way.close()


def train_and_finish(daemon, run, n_steps):
    with daemon.trainer(run, config={"lr": 1}) as trainer:
        train(trainer, range(n_steps))
        trainer.finish()


def test_a_pooler_that_gives_each_transaction_another_connection(new_daemon, database, bouncer):
    url = bouncer.url(database)
    writers = [new_daemon("--history", url).start() for _ in range(3)]
    reader = new_daemon("--history", url, "--read-only", "on").start()
    for turn in range(2):
        for i, writer in enumerate(writers):
            train_and_finish(writer, f"run-{turn}-{i}", 4)
    for turn in range(2):
        for i, writer in enumerate(writers):
            await_level(writer)
            assert_same(reader, writer, f"run-{turn}-{i}")
    assert database.count("point") == 48
    assert reader.rpc("server.status")["problems"] == []


def test_a_server_that_is_100_ms_away_is_kept_up_with(new_daemon, database, long_way):
    url = long_way.url(database)
    writer = new_daemon("--history", url).start()
    reader = new_daemon("--history", url, "--read-only", "on").start()
    began = time.monotonic()
    train_and_finish(writer, "run", 50)
    assert time.monotonic() - began < 20  # 100 checkpoints do not wait for 100 round trips each
    await_level(writer)
    assert_same(reader, writer, "run")
    assert database.count("point") == 100
