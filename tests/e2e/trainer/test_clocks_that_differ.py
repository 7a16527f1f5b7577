"""Hosts whose clocks are an hour apart, in one run: points keep their order, no duration is
negative, and the daemon's own clock says who is late."""

import subprocess
import sys

import pytest

from harness import PATIENCE_S, clean_environment

HOUR_S = 3600.0
#: A rank whose clock is off; its points come when all ranks have marked a step.
RANK = """
import sys, time
real = time.time
time.time = lambda: real() + float(sys.argv[2])
import numpy as np, richd
rank = int(sys.argv[1])
with richd.init(run_id="job", rank=rank, world_size=2, launch="job-1", spool_bytes=0) as run:
    for step in range(3):
        x = np.random.default_rng(2 * step + rank).standard_normal((100, 4)).astype("float32")
        run.observe(x, x[:, :2] * 2, step=step)
        assert len(run.checkpoint(step, wait=True, timeout=30)) == 1
        run.log({"loss": 1.0}, step=step)
"""


@pytest.mark.parametrize("offsets", [(HOUR_S, 0.0), (-HOUR_S, HOUR_S)])
def test_ranks_on_hosts_whose_clocks_differ_make_points_in_order(daemon, offsets):
    programs = [subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(offset)], text=True,
                                 env=clean_environment(RICHD_ENDPOINT=daemon.endpoints["ingest"]),
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE)
                for rank, offset in enumerate(offsets)]
    ends = [program.communicate(timeout=2 * PATIENCE_S) for program in programs]
    assert [program.returncode for program in programs] == [0, 0], ends
    columns = daemon.series("job")
    assert columns["step"] == [0, 1, 2]
    assert columns["n"] == [200, 200, 200]
    assert set(columns["rows_missing"]) == set(columns["ranks_missing"]) == {0}
    assert columns["time"] == sorted(columns["time"])
    run = daemon.rpc("run.get", run="job")
    (attempt,) = run["attempts"]
    assert run["state"] == attempt["state"] == "finished"
    now = daemon.rpc("server.status")["time"]
    times = [run["created"], attempt["opened"], attempt["closed"], run["updated"], now]
    assert times == sorted(times), "the daemon's clock, whatever the ranks have"
    assert now - run["created"] < 2 * PATIENCE_S
