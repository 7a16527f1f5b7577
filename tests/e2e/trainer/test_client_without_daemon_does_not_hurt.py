import signal
import subprocess
import sys
import time

import pytest

from harness import PATIENCE_S, clean_environment, draw, wait_until

#: Far beyond what a call takes (50 us), far below what a blocked one would. What the process waited
#: for a processor is not counted: this machine is shared.
CALL_S = 0.5

LOOP = """
import os, sys, time
import numpy, richd

waited_ns = {}

def unhindered():
    for thread in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{thread}/schedstat") as file:
                waited_ns[thread] = int(file.read().split()[1])
        except OSError:
            pass  # It has ended.
    return time.monotonic() - sum(waited_ns.values()) / 1e9

run = richd.init(run_id="run")
features, outputs = numpy.random.rand(256, 64), numpy.random.rand(256, 10)
slowest = 0.0
print("training", flush=True)
for step in range(int(sys.argv[1])):
    began = unhindered()
    run.observe(features, outputs, step=step)
    run.log({"loss": 1.0}, step=step)
    run.checkpoint(step=step)
    slowest = max(slowest, unhindered() - began)
if len(sys.argv) > 2:
    sys.stdin.readline()
began = unhindered()
run.finish()
print(slowest, unhindered() - began, flush=True)
"""

IN_PYTHON = pytest.mark.not_under("address", "thread", because="what is tested is in Python")


def figures(process):
    """The slowest step and the time that finish took; the process has ended well."""
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    assert "Traceback" not in err
    slowest, finish = out.split()[-2:]
    return float(slowest), float(finish)


@IN_PYTHON
def test_client_without_daemon_does_not_hurt(tmp_path):
    process = subprocess.run([sys.executable, "-c", LOOP, "3000"], text=True, capture_output=True,
                             env=clean_environment(RICHD_RUNTIME_DIR=str(tmp_path)),
                             timeout=PATIENCE_S, check=True)
    slowest, finish = map(float, process.stdout.split()[-2:])
    assert slowest < CALL_S
    assert finish < 2.5
    assert process.stderr.count("no richd at") == 1, process.stderr


@IN_PYTHON
def test_a_stopped_daemon_does_not_hurt(daemon):
    process = daemon.train("-c", LOOP, 3000)
    wait_until(lambda: daemon.rpc("run.list")["total"] == 1, "the run to open")
    daemon.signal(signal.SIGSTOP)
    slowest, finish = figures(process)
    assert slowest < CALL_S
    assert finish < 2.5
    daemon.signal(signal.SIGCONT)


@IN_PYTHON
def test_a_daemon_killed_in_the_middle_does_not_hurt(daemon):
    process = daemon.train("-c", LOOP, 3000)
    wait_until(lambda: daemon.rpc("run.list")["total"] == 1, "the run to open")
    daemon.kill()
    slowest, finish = figures(process)
    assert slowest < CALL_S
    assert finish < 2.5


@IN_PYTHON
def test_a_daemon_that_comes_late_gets_what_fits(new_daemon):
    daemon = new_daemon()
    process = daemon.train("-c", LOOP, 100, "wait")
    assert process.stdout.readline() == "training\n"
    daemon.start()
    wait_until(lambda: daemon.rpc("run.list")["total"] == 1, "the run to open")
    wait_until(lambda: daemon.rpc("run.get", run="run")["n_points"] == 100, "its points")
    process.stdin.write("\n")
    process.stdin.flush()
    slowest, finish = figures(process)
    assert slowest < CALL_S
    assert finish < 2.5
    assert daemon.series("run")["rows_missing"] == [0] * 100
    assert daemon.state_of("run") == "finished"


@IN_PYTHON
@pytest.mark.parametrize("lines", ["", "raise SystemExit(3)", "1 / 0"])
def test_a_program_that_ends_without_finish_ends_in_time(daemon, lines):
    program = f"import richd\nrun = richd.init(run_id='run')\nrun.log({{'x': 1}}, step=1)\n{lines}\n"
    began = time.monotonic()
    process = daemon.train("-c", program)
    process.communicate(timeout=PATIENCE_S)
    assert time.monotonic() - began < 10
    assert process.returncode == {"": 0, "1 / 0": 1}.get(lines, 3)
    assert daemon.state_of("run") == ("failed" if lines == "1 / 0" else "finished")
    assert daemon.rpc("scalars.query", run="run")["scalars"][0]["columns"]["value"] == [1]


@IN_PYTHON
def test_a_forked_child_is_silent(daemon):
    program = """
import os, numpy, richd
run = richd.init(run_id="run")
run.log({"parent": 1}, step=1)
child = os.fork()
if child == 0:
    run.log({"child": 1}, step=1)
    run.observe(numpy.ones((4, 2)), numpy.ones((4, 2)))
    run.checkpoint(step=1, wait=True)
    run.finish()
    os._exit(7)
assert os.waitpid(child, 0)[1] == 7 << 8
run.log({"parent": 2}, step=2)
run.finish()
"""
    process = daemon.train("-c", program)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    (scalar,) = daemon.rpc("scalars.query", run="run")["scalars"]
    assert (scalar["name"], scalar["columns"]["value"]) == ("parent", [1, 2])


def test_a_run_whose_trainer_is_killed_is_lost(daemon):
    features, outputs = draw(30, 4, 2)
    with daemon.trainer("run") as trainer:
        trainer.rows(features, outputs)
        trainer.checkpoint(1)
    assert daemon.state_of("run") == "open"
    daemon.restart()
    assert daemon.state_of("run") == "lost"
