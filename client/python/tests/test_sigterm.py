"""SIGTERM ends a run as failed, the process as it would have ended, and harms nobody's handler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import richd
from support import Daemon, wait_until

BEGIN = """
import ctypes, os, signal, sys, threading, time
import richd
run = richd.init(endpoint=sys.argv[1])
run.log({"x": 1}, step=0)
"""
READY = """
print("ready", flush=True)
"""
#: Until the signal was sent, and the input closed.
TERMINATED = """
sys.stdin.read()
"""
SLEEP = """
while True:
    time.sleep(.05)  # a signal may come just before a sleep: Python sees it after it
"""


class Trainer:
    """An interpreter that runs `code`, once it printed "ready"."""

    def __init__(self, code, address):
        env = {**os.environ, "PYTHONPATH": str(Path(richd.__file__).resolve().parents[1])}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, address],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline() == "ready\n"

    def terminate(self):
        """(exit status, standard output, standard error, seconds) after SIGTERM."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err, time.monotonic() - began

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


def closes(daemon):
    """The end states, and the reason behind one that failed by a signal."""
    reasons = [m["summary"]["ended_by"].split()[0] for m in daemon.controls("summary")]
    states = [m["status"] for m in daemon.controls("close")]
    return list(zip(states, [None] * (len(states) - len(reasons)) + reasons))


# ---- the default action --------------------------------------------------------------------------

# A mutex that is locked twice: the main thread is in foreign code for good, and no handler runs.
IN_FOREIGN_CODE = """
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex)
libc.pthread_mutex_lock(mutex)
"""
TRAINING = """
for step in range(1, 1 << 30):
    run.log({"x": step}, step=step)
    time.sleep(.001)
"""
OTHERS_WAKE = """
import asyncio
async def train():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: None)
    print("ready", flush=True)
    while True:
        await asyncio.sleep(.01)
asyncio.run(train())
"""


@pytest.mark.parametrize(
    "code",
    [READY + SLEEP, READY + IN_FOREIGN_CODE, READY + TRAINING, OTHERS_WAKE],
    ids=["sleeping", "in foreign code", "training", "in an event loop"],
)
def test_sigterm_ends_a_run_as_failed_and_the_process_by_the_signal(code, daemon):
    with Trainer(BEGIN + code, daemon.address) as trainer:
        status, _, err, seconds = trainer.terminate()
    assert (status, err) == (-signal.SIGTERM, "")
    assert closes(daemon) == [("failed", "SIGTERM")]
    assert seconds < 2.0


def test_a_daemon_that_does_not_answer_holds_the_process_for_at_most_2_s():
    with Daemon(script=lambda _, m: [] if m["type"] in ("log", "close") else None) as daemon:
        with Trainer(BEGIN + READY + SLEEP, daemon.address) as trainer:
            status, _, _, seconds = trainer.terminate()
    assert status == -signal.SIGTERM and 1.0 < seconds < 3.5


def test_without_a_daemon_the_process_dies_as_soon_as_that_is_known():
    code = BEGIN + "while not run._sender.absent: time.sleep(.01)\n" + READY + SLEEP
    with Trainer(code, "tcp://127.0.0.1:9") as trainer:
        status, _, _, seconds = trainer.terminate()
    assert status == -signal.SIGTERM and seconds < 2.0


def test_a_run_that_was_finished_leaves_the_default_action(daemon):
    code = BEGIN + "run.finish()\nrun._life.loop.join(5)\n" + READY + IN_FOREIGN_CODE
    with Trainer(code, daemon.address) as trainer:
        status, _, err, seconds = trainer.terminate()
    assert (status, err) == (-signal.SIGTERM, "") and seconds < 1.0
    assert closes(daemon) == [("finished", None)]


def test_one_run_after_another_is_guarded_as_well(daemon):
    code = BEGIN + "run.finish()\nrun = richd.init(endpoint=sys.argv[1])\n" + READY + SLEEP
    with Trainer(code, daemon.address) as trainer:
        assert wait_until(lambda: len(daemon.controls("open")) == 2)
        status, *_ = trainer.terminate()
    assert status == -signal.SIGTERM
    assert closes(daemon) == [("finished", None), ("failed", "SIGTERM")]


# ---- handlers of the program ---------------------------------------------------------------------

HANDLER = """
def mine(*_):
    os.write(1, b"mine\\n")  # print is not reentrant, and the signal may come in it
    {action}
"""
INSTALL = "signal.signal(signal.SIGTERM, mine)\n"


@pytest.mark.parametrize("is_first", [True, False], ids=["before", "after"])
def test_a_handler_that_goes_on_keeps_the_run_going(is_first, daemon):
    handler = "import signal\n" + HANDLER.format(action="pass") + INSTALL
    code = handler + BEGIN if is_first else BEGIN + handler
    code += READY + TERMINATED + "run.log({'y': 1}, step=1)\nrun.finish()\n"
    with Trainer(code, daemon.address) as trainer:
        status, out, err, _ = trainer.terminate()
    assert (status, out, err) == (0, "mine\n", "")
    assert closes(daemon) == [("finished", None)] and len(daemon.controls("log")) == 2


def test_a_handler_that_calls_the_one_before_it_decides_alone(daemon):
    code = BEGIN + (
        "before = signal.getsignal(signal.SIGTERM)\n"
        + HANDLER.format(action="before(*_) if callable(before) else None")
        + INSTALL
        + READY
        + TERMINATED
        + "run.finish()\n"
    )
    with Trainer(code, daemon.address) as trainer:
        status, out, err, _ = trainer.terminate()
    assert (status, out, err) == (0, "mine\n", "")
    assert closes(daemon) == [("finished", None)]


def test_a_handler_that_exits_ends_the_run_by_its_exit_code(daemon):
    code = BEGIN + HANDLER.format(action="sys.exit(143)") + INSTALL + READY + SLEEP
    with Trainer(code, daemon.address) as trainer:
        status, out, _, _ = trainer.terminate()
    assert (status, out) == (143, "mine\n")
    assert closes(daemon) == [("failed", None)]


def test_an_ignored_sigterm_stays_ignored(daemon):
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + BEGIN + READY
    code += TERMINATED + "assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN\n"
    code += "run.finish()\n"
    with Trainer(code, daemon.address) as trainer:
        status, _, err, _ = trainer.terminate()
    assert (status, err) == (0, "")
    assert closes(daemon) == [("finished", None)]


def test_a_program_that_wakes_by_signals_keeps_its_descriptor(daemon):
    code = """
import os, signal
r, w = os.pipe2(os.O_NONBLOCK)
signal.set_wakeup_fd(w)
"""
    code += BEGIN + "assert signal.set_wakeup_fd(w) == w\n" + READY + SLEEP
    with Trainer(code, daemon.address) as trainer:
        status, _, err, _ = trainer.terminate()
    assert (status, err) == (-signal.SIGTERM, "")
    assert closes(daemon) == [("failed", "SIGTERM")]


def test_after_the_last_run_the_default_stands_in_pythons_eyes_as_well(daemon):
    code = BEGIN + """
assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
other = richd.init(endpoint=sys.argv[1])
run.finish()
assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
other.finish(timeout=20)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
run = richd.init(endpoint=sys.argv[1])
run.log({"x": 1}, step=0)
"""
    with Trainer(code + READY + SLEEP, daemon.address) as trainer:
        status, _, err, _ = trainer.terminate()
    assert (status, err) == (-signal.SIGTERM, "")
    assert [state for state, _ in closes(daemon)] == ["finished", "finished", "failed"]


# ---- other threads and processes -----------------------------------------------------------------


def test_a_run_begun_in_another_thread_changes_no_signal(daemon):
    code = """
import signal, sys, threading, time, richd
thread = threading.Thread(target=lambda: richd.init(endpoint=sys.argv[1]))
thread.start()
thread.join()
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    with Trainer(code + READY + SLEEP, daemon.address) as trainer:
        status, _, err, _ = trainer.terminate()
    assert (status, err) == (-signal.SIGTERM, "")


FORKED = """
pid = os.fork()
if not pid:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.set_wakeup_fd(-1) == -1
    libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
    libc.pthread_mutex_lock(mutex)
    libc.pthread_mutex_lock(mutex)
os.kill(pid, signal.SIGTERM)
assert os.waitpid(pid, 0)[1] == signal.SIGTERM
run.log({"y": 1}, step=1)
run.finish()
"""


def test_a_forked_child_that_is_terminated_dies_at_once_and_its_parent_trains_on(daemon):
    with Trainer(BEGIN + READY + FORKED, daemon.address) as trainer:
        out, err = trainer.process.communicate(timeout=20)
    assert (trainer.process.returncode, err) == (0, "")
    assert closes(daemon) == [("finished", None)] and len(daemon.controls("log")) == 2


def test_worker_processes_can_be_terminated(daemon):
    code = BEGIN + """
import multiprocessing
context = multiprocessing.get_context("fork")
worker = context.Process(target=time.sleep, args=(60,))
worker.start()
worker.terminate()
worker.join(5)
assert worker.exitcode == -signal.SIGTERM, worker.exitcode
run.finish()
""" + READY
    with Trainer(code, daemon.address) as trainer:
        out, err = trainer.process.communicate(timeout=20)
    assert (trainer.process.returncode, err) == (0, "")
    assert closes(daemon) == [("finished", None)]
