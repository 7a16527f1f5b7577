"""Thousands of trainers that say nothing, and a thousand that come and go in a second: one that
trains beside them is measured as before. And many that train: each checkpoint is acknowledged once.
RICHD_TESTS=all has 10,000 of the first, a minute of the second, 10,000 at once that train.
"""

import contextlib
import json
import os
import subprocess
import time

import pytest

import zmtp
from harness import BUILD, Feed, IS_SANITIZED, MEMORY_SLACK, draw, wait_until

IS_LONG = os.environ.get("RICHD_TESTS") == "all" and not IS_SANITIZED
N_IDLE = 10_000 if IS_LONG else 1_000
#: libzmq has buffers and queues for each: 25 kB were measured.
IDLE_BYTES = 40_000
COME_AND_GO_S = 60 if IS_LONG else 2
#: A second. A busy machine may take longer for as many.
N_A_SECOND = 1_000
#: It may keep some more when its first check is over.
FILES_OF_THE_STORE = 4
N_TRAINING, N_TRAINING_AT_ONCE = (10_000, 1_000) if IS_LONG else (300, 100)
N_TOGETHER = 10_000 if IS_LONG else 200
HELLO = b'{"type":"hello","protocol_min":1,"protocol_max":1}'


def is_measured(trainer, step):
    trainer.rows(*draw(64, 16, 4))
    return trainer.checkpoint(step)["head"]["n"] == 64


def n_files(daemon):
    return len(os.listdir(f"/proc/{daemon.pid}/fd"))


@pytest.mark.long
@pytest.mark.not_under("address", "thread", because="they keep what was freed")
def test_idle_trainers_cost_little_and_give_it_back(daemon, many_files):
    with daemon.trainer("run") as trainer, contextlib.ExitStack() as held:
        assert is_measured(trainer, 1)
        before, files_before = daemon.resident_bytes(), n_files(daemon)
        idle = [held.enter_context(zmtp.connect(daemon.endpoints["ingest"]))
                for _ in range(N_IDLE)]
        for connection in idle:
            connection.sendall(zmtp.frame(HELLO))
        for connection in idle:
            zmtp.read_until(connection, b'"hello"')
        each = (daemon.resident_bytes() - before) / N_IDLE
        print(f"{N_IDLE} idle trainers have {each:.0f} bytes each")
        assert each < MEMORY_SLACK * IDLE_BYTES
        assert is_measured(trainer, 2)
        held.close()
        wait_until(lambda: n_files(daemon) <= files_before + FILES_OF_THE_STORE,
                   "their descriptors")
        wait_until(lambda: daemon.resident_bytes() - before
                   < MEMORY_SLACK * N_IDLE * IDLE_BYTES / 4, "their memory")
        assert is_measured(trainer, 3)


@pytest.mark.long
def test_a_thousand_trainers_a_second_come_and_go(daemon):
    with daemon.trainer("run") as trainer:
        assert is_measured(trainer, 1)
        before, files_before = daemon.resident_bytes(), n_files(daemon)
        began_at, cpu_before = time.monotonic(), daemon.cpu_seconds()
        for i in range(N_A_SECOND * COME_AND_GO_S):
            with zmtp.connect(daemon.endpoints["ingest"]) as connection:
                connection.sendall(zmtp.frame(HELLO))
                if i % 100 == 0:
                    zmtp.read_until(connection, b'"hello"')
                    assert is_measured(trainer, 2 + i)
            pause = began_at + i / N_A_SECOND - time.monotonic()
            time.sleep(max(0.0, pause))  # the rate, where the machine has it
        took = time.monotonic() - began_at
        share = (daemon.cpu_seconds() - cpu_before) / took
        print(f"{N_A_SECOND * COME_AND_GO_S / took:.0f} a second: {share:.2f} of a processor, "
              f"{daemon.resident_bytes() - before} bytes more")
        daemon.assert_grew_less(before, 32 << 20)
        wait_until(lambda: n_files(daemon) <= files_before + FILES_OF_THE_STORE,
                   "their descriptors")


def load(daemon, *flags, **options):
    """tests/load, what it came to; flags and options are those of its --help."""
    words = [*flags, *(f"--{name.replace('_', '-')}={value}" for name, value in options.items())]
    done = subprocess.run([BUILD / "tests" / "load" / "load", daemon.endpoints["ingest"], "--json",
                           *words], text=True, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.not_under("thread", because="its threads are the same with few trainers")
def test_many_that_train_are_each_acknowledged(daemon, many_files):
    told = load(daemon, trainers=N_TRAINING, at_once=N_TRAINING_AT_ONCE, checkpoints=2, layers=2,
                tag="many")
    print(told)
    assert told["opened"] == N_TRAINING and told["checkpoints"] == 2 * N_TRAINING
    assert told["batches_dropped"] == told["batches_refused"] == 0
    with Feed(daemon.endpoints["feed"]) as feed:
        answer = feed.call("run.list", project="load", search="many-", limit=1)
        assert answer["total"] == N_TRAINING
        assert answer["runs"][0]["n_points"] == 4


@pytest.mark.long
@pytest.mark.not_under("thread", because="its threads are the same with few trainers")
def test_all_train_while_all_are_connected(new_daemon, many_files):
    daemon = new_daemon("--nice", "0").start()  # the load takes more of the machine than trainings
    told = load(daemon, "--together", trainers=N_TOGETHER, checkpoints=1, features=8, outputs=4,
                rows=16, tag="together")
    print(told)
    assert told["most_at_once"] == told["checkpoints"] == N_TOGETHER
    assert told["batches_dropped"] == told["batches_refused"] == told["failed"] == 0


def test_the_ranks_of_many_runs_are_each_acknowledged(daemon):
    told = load(daemon, trainers=40, ranks=4, checkpoints=5, tag="ranks")
    assert told["checkpoints"] == 40 * 5
    with Feed(daemon.endpoints["feed"]) as feed:
        answer = feed.call("run.list", project="load", search="ranks-", limit=1)
        assert (answer["total"], answer["runs"][0]["n_points"]) == (10, 5)
