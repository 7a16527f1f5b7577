"""As many connections as the daemon may have descriptors, and more: it goes on, for all it has."""

import contextlib
import resource
import time

import pytest
import zmq

import zmtp
from harness import Feed, Trainer, connect_feed, draw, free_port, limiting, richd, wait_until

LIMIT = 256
#: What a daemon that spins takes more than.
IDLE_CPU_SHARE = 0.5


def with_few_files(daemon, limit=LIMIT):
    daemon.preexec = limiting({resource.RLIMIT_NOFILE: limit})
    return daemon.start()


@pytest.fixture(params=["ipc", "tcp"])
def daemon(request, new_daemon, many_files):
    port = free_port()
    flags = [] if request.param == "ipc" else ["--listen", f"tcp://127.0.0.1:{port}"]
    return with_few_files(new_daemon(*flags))


def is_measured(trainer, step):
    trainer.rows(*draw(16, 4, 2))
    return trainer.checkpoint(step)["head"]["n"] == 16


def n_refused(daemon):
    return daemon.rpc("server.status")["trainers_refused"]


def cpu_share(daemon, seconds=1.0):
    """Of a processor, while nobody asks it for anything."""
    before, began_at = daemon.cpu_seconds(), time.monotonic()
    wait_until(lambda: time.monotonic() > began_at + seconds)
    return (daemon.cpu_seconds() - before) / (time.monotonic() - began_at)


def test_connections_that_say_nothing_take_no_descriptor_of_others(daemon):
    with daemon.trainer("before") as before, contextlib.ExitStack() as held:
        for _ in range(2 * LIMIT):
            held.enter_context(zmtp.connect_bare(daemon.endpoints["ingest"]))
        wait_until(lambda: n_refused(daemon) > 0, "connections to be refused")
        assert is_measured(before, 1)
        wait_until(lambda: f"of the {LIMIT} files that may be open" in daemon.output, "the reason")
        held.close()
        with daemon.trainer("after") as after:
            assert is_measured(after, 1)
        assert is_measured(before, 2)


@pytest.mark.long
def test_trainers_beyond_the_limit_wait_for_those_that_have_come(daemon):
    with zmq.Context() as context:
        trainers = [Trainer(daemon.endpoints["ingest"], context, reconnect_ivl=200)
                    for _ in range(LIMIT)]
        for i, trainer in enumerate(trainers):
            trainer.hello()
            trainer.say("open", run=f"run{i}", writer=trainer.writer)
        wait_until(lambda: n_refused(daemon) > 0, "trainers to be refused")
        assert cpu_share(daemon) < IDLE_CPU_SHARE
        had = [t for t in trainers if t.socket.poll(0)]
        others = [t for t in trainers if t not in had]
        assert len(had) > LIMIT / 3, "trainers that were served"
        assert len(others) > LIMIT / 8, "trainers that had to wait"
        for trainer in had:
            trainer.expect("welcome" if trainer.expect("hello") else "")
            assert is_measured(trainer, 1)
        for trainer in had:
            trainer.close()
        for trainer in others:
            trainer.expect("hello")
            trainer.expect("welcome")
            assert is_measured(trainer, 1)
            trainer.close()


def answers_a_new_reader(daemon):
    with contextlib.suppress(ConnectionError), Feed(daemon.endpoints["feed"]) as feed:
        answer = feed.ask('{"jsonrpc":"2.0","id":1,"method":"run.list"}')
        return answer is not None and "result" in answer
    return False


def test_readers_beyond_their_share_are_told_and_trainers_come(new_daemon, many_files):
    daemon = with_few_files(new_daemon("--http", "127.0.0.1:0"))
    readers = [Feed(daemon.endpoints["feed"]) for _ in range(LIMIT)]
    pages = [connect_feed("tcp:" + daemon.endpoints["http"].rpartition("/")[2])
             for _ in range(LIMIT)]
    answers = [reader.receive() for reader in readers[LIMIT // 8:]]
    told = [answer["error"]["message"] for answer in answers if answer]
    assert set(told) == {f"{LIMIT // 8} connections are open already"}
    with daemon.trainer("run") as trainer:
        assert is_measured(trainer, 1)
    assert readers[0].call("run.list")["total"] == 1
    for connection in readers + pages:
        connection.close()
    wait_until(lambda: answers_a_new_reader(daemon), "a new reader to be answered")


def test_a_limit_that_is_too_low_is_said_at_the_start(tmp_path):
    done = richd("--state-dir", tmp_path / "s", "--runtime-dir", tmp_path / "r",
                 limits={resource.RLIMIT_NOFILE: 60})
    assert done.returncode == 71
    assert "richd may open 60 files and needs at least 128" in done.stderr
