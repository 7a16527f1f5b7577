import os
import pathlib

import numpy as np
import pytest

pytestmark = pytest.mark.not_under("thread", because="a priority is set before any thread starts")

NICE, POLICY = 16, 38  # fields of /proc/PID/stat behind the program's name, from 0
SCHED_OTHER, SCHED_BATCH = 0, 3


def of_threads(pid):
    """(niceness, policy) of each thread of a process."""
    found = []
    for stat in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
        fields = stat.read_text().rpartition(")")[2].split()
        found.append((int(fields[NICE]), int(fields[POLICY])))
    return found


def after_a_checkpoint(daemon):
    """The threads, when each kind of them has had something to do."""
    import richd

    with richd.init(run_id="run", runtime_dir=str(daemon.runtime)) as run:
        rows = np.random.default_rng(0).standard_normal((64, 4))
        run.observe(rows, rows[:, :2])
        assert run.checkpoint(step=1, wait=True, timeout=30)
        return of_threads(daemon.pid)


def test_every_thread_of_the_daemon_stands_behind_a_training(new_daemon):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    threads = after_a_checkpoint(new_daemon(RICHD_NICE="").start())
    assert len(threads) > 2
    assert set(threads) == {(max(10, own), SCHED_BATCH)}


def test_how_far_behind_is_an_option(new_daemon):
    own = os.getpriority(os.PRIO_PROCESS, 0)
    as_it_is = after_a_checkpoint(new_daemon("--nice", "0").start())
    assert set(as_it_is) == {(own, SCHED_OTHER)}
    last = after_a_checkpoint(new_daemon("--nice=19").start())
    assert set(last) == {(19, SCHED_BATCH)}
