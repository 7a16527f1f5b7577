"""Many runs in one process: what they cost, how they end, and that one never disturbs another."""

from __future__ import annotations

import gc
import json
import logging
import os
import threading
import time

import numpy as np
import pytest

import richd
from richd._link import session as _session
from support import Daemon, connected, python, wait_until


def rows(n=8, p=4, c=3):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, p)), rng.normal(size=(n, c))


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def n_descriptors():
    return len(os.listdir("/proc/self/fd"))


def n_threads():
    return len(os.listdir("/proc/self/task"))


# ---- what they cost ------------------------------------------------------------------------------


def test_forty_runs_cost_at_most_100_descriptors_and_3_threads(daemon):
    connected(daemon).finish()
    assert wait_until(lambda: "richd-sender" not in {t.name for t in threading.enumerate()})
    # The daemon of the test lives here as well: its end of each connection is a descriptor.
    descriptors, threads = n_descriptors(), n_threads()
    runs = [richd.init(endpoint=daemon.address, name=str(k)) for k in range(40)]
    assert wait_until(lambda: all(run.attempt for run in runs))
    assert n_descriptors() - descriptors - 40 <= 100
    assert n_threads() - threads <= 3
    for run in runs:
        run.observe(*rows(), step=0)
    assert all(run.checkpoint(step=0, wait=True, timeout=60) for run in runs)
    for run in runs:
        run.finish()
    assert wait_until(lambda: n_threads() <= threads)
    assert wait_until(lambda: n_descriptors() <= descriptors)


RUNS_WITHOUT_DESCRIPTORS = """
import logging, os, resource, sys, numpy as np, richd

class Count(logging.Handler):
    lines = []
    def emit(self, record):
        self.lines.append(record.getMessage())

logging.getLogger("richd").addHandler(Count())
resource.setrlimit(resource.RLIMIT_NOFILE, (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
x = np.ones((8, 4))
runs = []
for k in range(200):
    run = richd.init(endpoint=sys.argv[1], name=f"run {k}")
    run.observe(x, x, step=0)
    run.log({"x": k}, step=0)
    runs.append(run)
for run in runs[:40]:
    assert run.checkpoint(step=0, wait=True, timeout=20), run
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(50)]  # the training's
import time
end = time.monotonic() + 30
while sum(run.attempt is not None for run in runs) < 60 and time.monotonic() < end:
    time.sleep(.05)
print(sum(run.attempt is not None for run in runs), len(os.listdir("/proc/self/fd")))
print([line for line in Count.lines if "descriptors" not in line])
print(len([line for line in Count.lines if "descriptors" in line]))
for fd in held:
    os.close(fd)
for run in runs[:60]:
    run.finish()
late = [run for run in runs if not run.attempt and run._sender is not None]
end = time.monotonic() + 30
while not any(run.attempt for run in late) and time.monotonic() < end:
    time.sleep(.05)
print(any(run.attempt for run in late))
"""


def test_200_runs_with_256_descriptors_leave_the_training_alone_and_say_so_once(daemon):
    done = python(RUNS_WITHOUT_DESCRIPTORS, daemon.address, timeout=120)
    assert done.returncode == 0, done.stderr
    counts, others, n_said, later = done.stdout.splitlines()
    n_connected, n_taken = map(int, counts.split())
    assert 60 <= n_connected < 200 and n_taken <= 256
    assert (others, n_said, later) == ("[]", "1", "True")


def test_no_descriptor_at_all_is_one_warning():
    code = """
import resource, sys, numpy as np, richd, richd._link.sender, os
held = [os.open("/dev/null", os.O_RDONLY) for _ in range(20)]
resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))
try:
    while True: held.append(os.open("/dev/null", os.O_RDONLY))
except OSError: pass
runs = [richd.init(endpoint="tcp://127.0.0.1:9", name=str(k)) for k in range(3)]
for run in runs:
    run.observe(np.ones((8, 4)), np.ones((8, 4)), step=0)
    assert run.checkpoint(step=0, wait=True) == {}
    assert "descriptors are taken" in run.stats.last_error, run.stats
"""
    done = python(code)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1 and "descriptors" in done.stderr


def test_forty_runs_without_a_daemon_look_for_it_together(tmp_path, monkeypatch):
    from richd._link import endpoint as _endpoint

    looks = []
    search = _endpoint._search
    monkeypatch.setattr(_endpoint, "_search", lambda *a: looks.append(1) or search(*a))
    monkeypatch.setattr(_session, "ABSENT_S", 0.2)
    runs = [richd.init(runtime_dir=str(tmp_path), name=str(k)) for k in range(40)]
    assert wait_until(lambda: all(run._sender.absent for run in runs))
    looks.clear()
    used, began = time.process_time(), time.monotonic()
    assert wait_until(lambda: len(looks) >= 3)
    assert time.process_time() - used < 0.25 * (time.monotonic() - began)
    assert len(looks) <= 4
    with Daemon(f"ipc://{tmp_path}/ingest") as daemon:
        (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": daemon.address, "feed": ""}))
        assert wait_until(lambda: all(run.attempt for run in runs))
        for run in runs:
            run.finish()


# ---- none disturbs another -----------------------------------------------------------------------


def test_a_silent_daemon_and_a_fenced_run_disturb_no_other(daemon, caplog):
    with Daemon() as silent:
        slow = connected(silent, name="slow")
        silent.silence()
        fenced = connected(daemon, name="fenced")
        daemon.say("nack", code="EFENCED", text="attempt 2 has the run", fatal=True)
        assert wait_until(lambda: fenced._sender.stopped)
        nowhere = richd.init(endpoint="tcp://127.0.0.1:9", name="nowhere")
        malformed = richd.init(endpoint="nonsense://x", name="malformed")
        good = connected(daemon, name="good")
        for step in range(50):
            for run in (slow, fenced, nowhere, malformed, good):
                run.observe(*rows(), step=step)
        assert good.checkpoint(step=50, wait=True)
        silent.speak()
        assert slow.checkpoint(step=50, wait=True)
        for run in (slow, fenced, nowhere, malformed, good):
            run.finish(timeout=1.0)


def test_an_error_in_one_runs_turn_leaves_the_others_their_turns(daemon, monkeypatch, caplog):
    bad, good = connected(daemon, name="bad"), connected(daemon, name="good")

    def fail(now):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(bad._sender, "_turn", lambda: fail(0))
    bad.log({"x": 1}, step=0)
    good.observe(*rows(), step=0)
    assert good.checkpoint(step=0, wait=True)
    assert [w for w in warnings(caplog) if "a fault of ours" in w]
    for run in (bad, good):
        run.finish(timeout=0.5)


def test_an_error_of_the_thread_ends_its_runs_with_a_warning_and_the_next_run_begins(
    daemon, monkeypatch, caplog
):
    run = connected(daemon)

    def fail(timeout):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(run._sender.loop.connections, "poll", fail)
    assert wait_until(lambda: run._sender.stopped)
    assert any("a fault of ours" in text for text in warnings(caplog))
    run.observe(*rows(), step=0)
    run.finish()
    later = connected(daemon)
    later.observe(*rows(), step=0)
    assert later.checkpoint(step=0, wait=True)
    later.finish()


def test_runs_of_a_daemon_that_is_gone_all_learn_it_at_once(tmp_path):
    def publish(daemon):
        (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": daemon.address}))

    with Daemon() as first:
        publish(first)
        runs = [richd.init(runtime_dir=str(tmp_path), name=str(k)) for k in range(5)]
        assert wait_until(lambda: all(run.attempt for run in runs))
    began = time.monotonic()
    with Daemon() as second:
        publish(second)
        assert wait_until(lambda: len(second.controls("open")) == 5)
        assert time.monotonic() - began < 3.0  # and not the 5 s of silence
        for run in runs:
            run.observe(*rows(), step=0)
        assert all(run.checkpoint(step=0, wait=True) for run in runs)
        for run in runs:
            run.finish()


def test_a_run_with_much_to_send_leaves_the_others_their_turns(daemon):
    busy, calm = connected(daemon, name="busy"), connected(daemon, name="calm")
    x = np.ones((1000, 64), np.float32)
    for step in range(200):
        busy.observe(x, x[:, :10], step=step)
    calm.observe(*rows(), step=0)
    assert calm.checkpoint(step=0, wait=True)
    busy.finish()
    calm.finish()


def test_exit_of_many_runs_that_are_not_answered_takes_2_s_in_all():
    code = """
import atexit, sys, time
began = []
atexit.register(lambda: print(time.monotonic() - began[0]))  # first in, so last to run
import richd
runs = [richd.init(endpoint=sys.argv[1], name=str(k)) for k in range(30)]
while not all(run.attempt for run in runs):
    time.sleep(.01)
for run in runs:
    run.log({"x": 1}, step=0)
began.append(time.monotonic())
"""
    with Daemon(script=lambda _, m: [] if m["type"] in ("log", "close") else None) as daemon:
        done = python(code, daemon.address)
    assert done.returncode == 0 and float(done.stdout) < 2.5


# ---- runs that nobody holds ----------------------------------------------------------------------


def test_a_run_of_the_same_name_that_is_begun_again_ends_the_one_that_nobody_holds(daemon, caplog):
    cell = "run = richd.init(endpoint=address, project='p', name='cell'); run.log({'x': 1}, step=0)"
    names = {"richd": richd, "address": daemon.address}
    exec(cell, names)
    assert wait_until(lambda: names["run"].attempt)
    first = names["run"]._sender
    exec(cell, names)
    assert wait_until(lambda: first.stopped, timeout=8.0)
    assert len(daemon.controls("log")) >= 1
    assert any("stored as lost" in text for text in warnings(caplog))
    names["run"].finish()
    assert [m["status"] for m in daemon.controls("close")] == ["finished"]


def test_a_run_that_is_held_goes_on_beside_another_of_its_name(daemon):
    first = connected(daemon, project="p", name="same")
    second = connected(daemon, project="p", name="same")
    assert not wait_until(lambda: first._sender.stopped, timeout=1.5)
    for run in (first, second):
        run.finish()
    assert len(daemon.controls("close")) == 2


def test_runs_that_nobody_holds_end_when_the_next_one_begins(daemon):
    def trial(k):
        run = connected(daemon, name=f"trial {k}")
        run.log({"x": k}, step=0)
        return run._sender

    senders = [trial(k) for k in range(5)]
    assert wait_until(lambda: all(sender.stopped for sender in senders[:4]), timeout=8.0)
    assert not senders[4].stopped
    assert wait_until(lambda: len(daemon.controls("log")) == 5)


def test_a_watched_model_that_is_gone_takes_its_run_along(daemon):
    torch = pytest.importorskip("torch")

    def trial():
        model = torch.nn.Sequential(torch.nn.Linear(4, 3))
        run = connected(daemon, project="p", name="cell")
        run.watch(model, layer="0")
        model(torch.ones(8, 4))
        return run._sender

    first = trial()
    gc.collect()
    newer = connected(daemon, project="p", name="cell")
    assert wait_until(lambda: first.stopped, timeout=8.0)
    newer.finish()


def test_a_model_that_lives_goes_on_feeding_its_run(daemon):
    torch = pytest.importorskip("torch")

    def watched():
        model = torch.nn.Sequential(torch.nn.Linear(4, 3))
        run = connected(daemon, name="held by its model")
        run.watch(model, layer="0", rows="all")
        return model, run._sender

    model, sender = watched()
    gc.collect()
    connected(daemon, name="another").finish()
    for _ in range(2):  # the first pass waits for its labels until the next begins
        model(torch.ones(8, 4))
    assert wait_until(lambda: len(daemon.batches()) >= 1) and not sender.stopped
    del model
    gc.collect()


def test_function_that_returns_without_finish_is_closed_with_the_program(daemon):
    code = """
import sys, richd
def main():
    teacher = richd.init(endpoint=sys.argv[1], name="teacher")
    student = richd.init(endpoint=sys.argv[1], name="student")
    for run in (teacher, student):
        run.log({"x": 1}, step=0)
main()
"""
    done = python(code, daemon.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert [m["status"] for m in daemon.controls("close")] == ["finished", "finished"]


# ---- threads and processes -----------------------------------------------------------------------


def test_runs_are_finished_from_any_thread(daemon):
    runs = [connected(daemon, name=str(k)) for k in range(8)]
    threads = [threading.Thread(target=run.finish) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10.0)
    assert len(daemon.controls("close")) == 8
    later = connected(daemon)
    later.finish()
    assert len(daemon.controls("close")) == 9


FORK_AND_TRAIN = """
import os, sys, numpy as np, richd
x = np.ones((8, 4))
parent = richd.init(endpoint=sys.argv[1], run_id="parent")
parent.observe(x, x, step=0)
assert parent.checkpoint(step=0, wait=True)
pid = os.fork()
if not pid:
    parent.observe(x, x, step=1)
    assert parent.checkpoint(step=1, wait=True) == {}
    child = richd.init(endpoint=sys.argv[1], run_id="child")
    child.observe(x, x, step=0)
    assert child.checkpoint(step=0, wait=True)
    assert child._sender.loop is not parent._sender.loop
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
parent.observe(x, x, step=2)
assert parent.checkpoint(step=2, wait=True)
"""


def test_a_forked_child_may_have_a_run_of_its_own(daemon):
    done = python(FORK_AND_TRAIN, daemon.address)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(daemon.batches()) == 3
    assert {m["run"] for m in daemon.controls("open")} == {"parent", "child"}
    assert [m["status"] for m in daemon.controls("close")] == ["finished"] * 2


def test_forks_at_any_moment_leave_parent_and_child_working(daemon):
    run = connected(daemon)
    for step in range(30):
        run.observe(*rows(), step=step)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                run.observe(*rows(), step=step)
                run.finish()
                own = richd.init(endpoint="tcp://127.0.0.1:9")
                own.log({"x": 1}, step=0)
                own.finish(timeout=0.05)
                code = 0
            finally:
                os._exit(code)
        assert os.waitpid(pid, 0)[1] == 0
    assert run.checkpoint(step=30, wait=True)
    assert len(daemon.batches()) == 30
    run.finish()


# ---- behind the training -------------------------------------------------------------------------


PRIORITIES = """
import os, sys, time, richd

def priorities():  # by thread: niceness and policy, of proc(5), stat
    found = {}
    for thread in os.listdir("/proc/self/task"):
        fields = open(f"/proc/self/task/{thread}/stat").read().rpartition(")")[2].split()
        found[thread] = int(fields[16]), int(fields[38])
    return found

of_training = priorities()
run = richd.init(endpoint=sys.argv[1])
while run.attempt is None:
    time.sleep(.01)
now = priorities()
assert of_training.items() <= now.items()
ours = [now[thread] for thread in now if thread not in of_training]
nicer = min(19, os.getpriority(os.PRIO_PROCESS, 0) + 10)
assert ours == [(nicer, os.SCHED_BATCH)] * 3, ours
"""


def test_threads_of_ours_stand_behind_the_training(daemon):
    done = python(PRIORITIES, daemon.address)
    assert (done.returncode, done.stderr) == (0, "")


def test_small_rows_wait_a_moment_for_more_and_a_checkpoint_waits_for_nothing(daemon, monkeypatch):
    from richd._link import loop as _loop

    monkeypatch.setattr(_loop, "DOZE_S", 3.0)
    run = connected(daemon)
    began = time.monotonic()
    for step in range(50):
        run.observe(*rows(), step=step)
    assert run.checkpoint(step=50, wait=True)
    run.observe(np.ones((4096, 64)), np.ones((4096, 4)), step=51)  # 2 MiB are not small
    assert wait_until(lambda: len(daemon.batches()) == 51, timeout=2.0)
    run.finish()
    assert time.monotonic() - began < 2.5
