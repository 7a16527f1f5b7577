"""FSDP, of which each process holds shards of the parameters: under torchrun, two processes."""

import json
import pathlib
import subprocess
import sys

import pytest

from harness import PACKAGE, clean_environment, free_port
from sharded_program import ROWS, STEPS

HERE = pathlib.Path(__file__).parent
TORCHRUN = HERE.parent / "e2e" / "torchrun.py"
WORLD = 2


def launch(daemon, folder, kind, **environment):
    """What the processes left."""
    env = clean_environment(RICHD_RUNTIME_DIR=str(daemon.runtime), PYTHONPATH=str(PACKAGE),
                            OMP_NUM_THREADS="1", USE_LIBUV="0", **environment)
    command = [sys.executable, TORCHRUN, str(WORLD), str(free_port()), folder / "log",
               HERE / "sharded_program.py", kind, folder]
    subprocess.run([str(part) for part in command], env=env, check=True, timeout=300)
    mode = environment.get("RICHD_MODE", "online")
    return [json.loads((folder / f"{kind}-{mode}-{rank}.json").read_text())
            for rank in range(WORLD)]


@pytest.mark.parametrize("kind", ["fully_shard", "FullyShardedDataParallel"])
def test_a_sharded_model_is_watched_and_trains_as_alone(daemon, tmp_path, kind):
    watched = launch(daemon, tmp_path, kind)
    bare = launch(daemon, tmp_path, kind, RICHD_MODE="disabled")
    assert [one["losses"] for one in watched] == [one["losses"] for one in bare]
    assert [one["calls"] for one in watched] == [STEPS] * WORLD
    first, second = (one["said"] for one in watched)
    assert len(first) == 1 and "FSDP holds shards" in first[0] and "ntk=" in first[0]
    assert second == [], "the first rank alone measures the network"
    (run_id,) = {one["id"] for one in watched}
    columns = daemon.series(run_id, layer="head")
    assert columns["n"] == [WORLD * ROWS] * STEPS and columns["ranks_missing"] == [0] * STEPS
    assert columns["param_norm"] == [None] * STEPS
