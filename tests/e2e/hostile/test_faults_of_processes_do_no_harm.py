"""What happens to whole processes: the daemon meets limits and closed pipes and stands still,
trainers come and go."""

import os
import resource
import signal
import subprocess

import pytest

from harness import (BUILD, PATIENCE_S, assert_measures, clean_environment, draw, wait_until)

ROWS = draw(50, 4, 2)


@pytest.fixture
def daemon(new_daemon):
    """One for each test: it is meant to suffer."""
    return new_daemon()


@pytest.fixture
def the_training_beside_it_is_unharmed():
    """The tests here look themselves."""


def measure_once(daemon, run, step=1):
    with daemon.trainer(run) as trainer:
        trainer.rows(*ROWS)
        assert_measures(trainer.checkpoint(step)["head"], *ROWS)


def test_1000_connections_that_come_and_go(daemon):
    daemon.start()
    descriptors = len(os.listdir(f"/proc/{daemon.pid}/fd"))
    with daemon.trainer("beside") as beside:
        for i in range(1000):
            with daemon.trainer() as passer:
                if i % 2:
                    passer.hello()
                if i % 100 == 0:
                    beside.wait(beside.log(i, a=i))
    wait_until(lambda: len(os.listdir(f"/proc/{daemon.pid}/fd")) <= descriptors + 2,
               "their descriptors to be closed")
    measure_once(daemon, "after")


def test_a_daemon_that_stood_still_goes_on_where_it_was(daemon):
    daemon.start()
    with daemon.trainer("run") as trainer:
        trainer.rows(*(part[:20] for part in ROWS))
        daemon.signal(signal.SIGSTOP)
        trainer.rows(*(part[20:] for part in ROWS))
        mark = trainer.mark(1)
        assert trainer.receive(0.5) is None or trainer.acks == {}
        daemon.signal(signal.SIGCONT)
        assert_measures(trainer.wait(mark)["head"], *ROWS)


def test_a_limit_of_file_sizes_is_a_full_disk(daemon):
    """SIGXFSZ would end it. It waits, and goes on when the limit is raised."""
    at_most, no_limit = 1 << 20, resource.RLIM_INFINITY
    daemon.preexec = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (at_most, no_limit))
    daemon.start()
    with daemon.trainer("run") as trainer:
        for step in range(1, 41):
            trainer.log(step, **{f"s{i}": step for i in range(900)})
        wait_until(lambda: "the store waits" in daemon.output, "the limit")
        assert len(trainer.acks) < 40 and trainer.nacks == []
        assert daemon.rpc("run.list")["total"] == 1, "it goes on reading"
        resource.prlimit(daemon.pid, resource.RLIMIT_FSIZE, (no_limit, no_limit))
        for seq in range(1, 41):
            trainer.wait(seq)


def test_a_log_that_nobody_reads_is_no_end(daemon):
    """The pipe's reader has gone: SIGPIPE would end it at the next line."""
    read, write = os.pipe()
    daemon.process = subprocess.Popen(
        [BUILD / "richd", "--state-dir", daemon.state, "--runtime-dir", daemon.runtime,
         "--log-level", "debug"], env=clean_environment(**daemon.environment), stderr=write)
    os.close(write)
    wait_until((daemon.runtime / "endpoints.json").exists, "it to be ready")
    os.close(read)
    measure_once(daemon, "run")
    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(PATIENCE_S) == 0
    daemon.process = None


def test_a_million_keys_are_refused_before_they_are_read(daemon):
    daemon.start()
    before = daemon.resident_bytes()
    with daemon.trainer("run") as trainer:
        trainer.send(b"{" + b",".join(b'"%d":0' % i for i in range(110000)) + b"}")
        trainer.send(b"{" + b",".join(b'"%d":0' % i for i in range(1000000)) + b"}")
        assert [trainer.expect("nack")["code"] for _ in range(2)] == ["EPROTO"] * 2
    daemon.assert_grew_less(before, 64 << 20)
