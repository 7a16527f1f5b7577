import signal

import pytest

from harness import PATIENCE_S

TRAIN = """
import numpy, time, richd

run = richd.init(run_id="run")
rows = numpy.random.rand(256, 8)
run.observe(rows, rows[:, :3], step=0)
assert run.checkpoint(step=0, wait=True)
print("training", flush=True)
while True:
    time.sleep(0.01)
"""


@pytest.mark.not_under("address", "thread", because="what is tested is in Python")
def test_sigterm_ends_a_run_as_failed_and_its_summary_says_why(daemon):
    process = daemon.train("-c", TRAIN)
    assert process.stdout.readline() == "training\n"
    process.terminate()
    assert process.wait(PATIENCE_S) == -signal.SIGTERM
    run = daemon.rpc("run.get", run="run")
    assert run["state"] == "failed"
    assert run["summary"] == {"ended_by": "SIGTERM in attempt 1"}
