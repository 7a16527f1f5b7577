"""Between trainer and daemon stands a proxy that delays, cuts, stalls and doubles. What was
acknowledged is stored, once and as it was told; rows in and rows missing are the rows that were
offered."""

import os
import re
import subprocess

import pytest

from harness import BUILD, PATIENCE_S, clean_environment, draw
from proxy import Proxy

import richd

#: `make torture` gives more.
ROUNDS = int(os.environ.get("TORTURE_ROUNDS", "1"))
STEPS = 60
ROWS = 64
FAULTS = ["delay", "bytewise", "cut", "half_open", "duplicate"]

pytestmark = pytest.mark.not_under("thread", because="the daemon does nothing that others do not")


@pytest.fixture
def daemon(new_daemon):
    return new_daemon().start()


@pytest.fixture
def the_training_beside_it_is_unharmed():
    """The tests here look at the one that suffers."""


@pytest.fixture(params=range(ROUNDS))
def proxy(daemon, request, fault):
    with Proxy(daemon.endpoints["ingest"], fault, seed=request.param) as made:
        yield made
        assert made.n_connections > 0


def stored_points(daemon, run):
    """The rows of the series by their step, each once."""
    columns = daemon.series(run)
    steps = columns["step"]
    assert len(set(steps)) == len(steps)
    return {step: {name: values[i] for name, values in columns.items()}
            for i, step in enumerate(steps)}


def assert_rows_are_accounted_for(points, offered):
    total = sum(point["n"] + point["rows_missing"] for point in points.values())
    assert total == offered, points
    for point in points.values():
        assert ("partial" in point["flags"]) == (point["rows_missing"] > 0)


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_python_s_client(daemon, proxy, fault):
    told = {}
    run = richd.init(run_id="run", endpoint=proxy.endpoint)
    run.on_point(lambda point: told.setdefault(point.step, point))
    for step in range(1, STEPS + 1):
        run.observe(*draw(ROWS, 4, 2, seed=step), step=step)
        run.log({"loss": step}, step=step)
        run.checkpoint(step=step, wait=step % 10 == 0, timeout=0.1)
    proxy.heal()
    last = {}
    while "head" not in last:  # until a batch comes through
        step += 1
        run.observe(*draw(ROWS, 4, 2, seed=step), step=step)
        last = run.checkpoint(step=step, wait=True, timeout=PATIENCE_S) or {}
    run.finish(timeout=PATIENCE_S)
    points = stored_points(daemon, "run")
    assert_rows_are_accounted_for(points, step * ROWS)
    assert told and told.keys() <= points.keys()
    for at, point in told.items():
        assert (points[at]["n"], points[at]["d_lr"]) == (point.n, point.d_lr)
    scalars = daemon.rpc("scalars.query", run="run", names=["loss"])["scalars"][0]["columns"]
    assert scalars["step"] == scalars["value"] == list(range(1, STEPS + 1))
    assert daemon.state_of("run") == "finished"


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "half_open"])
def test_c_s_client(daemon, proxy, fault):
    """The example waits for each point, so that a fault meets every place of the talk."""
    done = subprocess.run([BUILD / "example", "--endpoint", proxy.endpoint, "--run", "run",
                           "--steps", "300"], env=clean_environment(), capture_output=True,
                          text=True, timeout=4 * PATIENCE_S, check=False)
    points = stored_points(daemon, "run")
    told = re.findall(r"head +step +(\d+) +loss \S+ +n +(\d+) +d_lr (\S+)", done.stdout)
    assert told, done
    for step, n, d_lr in told:
        assert points[int(step)]["n"] == int(n)
        assert f"{points[int(step)]['d_lr']:.4f}" == d_lr
    total = sum(point["n"] + point["rows_missing"] for point in points.values())
    assert total == max(points) * ROWS
