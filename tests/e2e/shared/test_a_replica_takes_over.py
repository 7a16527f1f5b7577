"""A server dies, and its streaming replica takes over. Replication is asynchronous, so the replica
lacks what came last: the daemons have it, and bring it again."""

import pytest

from harness import wait_until
from postgres import Database
from sharing import await_level, assert_same, train

LAYERS = ("head", "body")


@pytest.fixture
def replica(own_server):
    replica = own_server.replica().start()
    yield replica
    replica.close()


def step_by_step(daemon, trainer, steps):
    """Each step is a batch of its own."""
    for step in steps:
        train(trainer, [step], LAYERS)
        await_level(daemon)


def test_what_the_replica_lacks_comes_again(new_daemon, own_server, replica):
    first = own_server.new_database()
    second = Database(replica, first.name)
    url = first.on(own_server, replica)
    writer = new_daemon("--history", url).start()
    readers = [new_daemon("--history", url, "--read-only", "on").start() for _ in range(2)]
    with writer.trainer("run", config={"lr": 1}) as trainer:
        step_by_step(writer, trainer, range(2))
        wait_until(lambda: second.count("point") == 4, "the replica to have the first points")
        wrong = new_daemon("--history", second.url).start()
        wait_until(lambda: any("it is a read-only replica" in problem
                               for problem in wrong.rpc("server.status")["problems"]),
                   lambda: wrong.rpc("server.status"))
        wrong.stop()
        beside = new_daemon("--history", second.url, "--read-only", "on").start()
        assert_same(beside, writer, "run")  # which reads from the replica
        replica.cut_off()
        step_by_step(writer, trainer, range(2, 5))
        with writer.trainer("later") as other:  # a run of which the replica has never heard
            step_by_step(writer, other, range(1))
            other.finish()
        await_level(writer)
        for reader in readers:
            assert_same(reader, writer, "later")  # which is lost soon
        readers[1].stop()  # and sees nothing of what follows before it is over
        own_server.kill()
        train(trainer, range(5, 7), LAYERS)  # acknowledged all the same
        replica.promote()
        await_level(writer)
        step_by_step(writer, trainer, range(7, 13))
        trainer.finish()
    await_level(writer)
    readers[1].start()
    assert second.sql("SELECT run, count(*), count(DISTINCT (layer, attempt, step))"
                      " FROM richd.point GROUP BY 1 ORDER BY 1") == [
        ["later", "2", "2"], ["run", "26", "26"]]
    assert second.value("SELECT count(*) FROM richd.source") == "1"  # not taken for a copy
    for reader in (*readers, beside):
        for run in ("later", "run"):
            assert_same(reader, writer, run)
