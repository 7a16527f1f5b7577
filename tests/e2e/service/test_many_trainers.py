"""Thousands of trainers that say nothing, and a thousand that come and go in a second: one that
trains beside them is measured as before. RICHD_TESTS=all has 10,000 of the former, and a minute of
the latter."""

import contextlib
import os
import time

import pytest

import zmtp
from harness import IS_SANITIZED, MEMORY_SLACK, draw, wait_until

IS_LONG = os.environ.get("RICHD_TESTS") == "all" and not IS_SANITIZED
N_IDLE = 10_000 if IS_LONG else 1_000
#: libzmq has buffers and queues for each: 25 kB were measured.
IDLE_BYTES = 40_000
COME_AND_GO_S = 60 if IS_LONG else 2
#: A second. A busy machine may take longer for as many.
N_A_SECOND = 1_000
#: It may keep some more when its first check is over.
FILES_OF_THE_STORE = 4
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
