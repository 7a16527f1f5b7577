"""torch.distributed on the CPU with the Python package: the ranks find each other's run, and a point
is that of one process with all rows."""

import contextlib
import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

from harness import PACKAGE, clean_environment, draw, free_port, wait_until

pytestmark = pytest.mark.not_under("address", "thread", because="the ranks are torch's")

PROGRAM = pathlib.Path(__file__).parents[1] / "rank.py"
TORCHRUN = PROGRAM.with_name("torchrun.py")
WORLD, SPAWNED, STEPS = 4, 2, 4  # each process imports torch, which is most of the time
EXACT = 1e-9
MEASURES = ("d_lr", "d_debiased", "u", "pr", "rank", "n")


def torchrun_environment(rank, port):
    """What torchrun of one host gives its workers."""
    return {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": WORLD, "LOCAL_WORLD_SIZE": WORLD,
            "GROUP_RANK": 0, "GROUP_WORLD_SIZE": 1, "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": "none", "TORCHELASTIC_RESTART_COUNT": 0}


def launch(daemon, folder, how, **environment):
    """Trains with WORLD processes, or SPAWNED; returns what each of them left."""
    folder.mkdir()
    world = SPAWNED if how == "spawn" else WORLD
    port = free_port()
    program = [str(PROGRAM), str(folder), str(STEPS)]
    env = clean_environment(RICHD_RUNTIME_DIR=str(daemon.runtime), PYTHONPATH=str(PACKAGE),
                            OMP_NUM_THREADS="1", **environment)
    if how == "spawn":
        command = [*program, str(port), str(world)]
    else:
        command = [str(TORCHRUN), str(world), str(port), str(folder / "log"), *program]
    subprocess.run([sys.executable, *command], env=env, check=True, timeout=300)
    return [(np.load(folder / f"rank-{rank}.npz"),
             json.loads((folder / f"rank-{rank}.json").read_text())) for rank in range(world)]


@pytest.mark.long
def test_ranks_of_torch_make_one_run(daemon, new_run, tmp_path):
    left = launch(daemon, tmp_path / "torchrun", "torchrun")
    (run_id,) = {facts["id"] for _, facts in left}
    assert [facts["world"] for _, facts in left] == [WORLD] * WORLD
    assert all(facts["points"] == left[0][1]["points"] for _, facts in left), "all hear of it"
    facts = daemon.rpc("run.get", run=run_id)
    assert (facts["state"], facts["attempt"], facts["n_points"]) == ("finished", 1, STEPS)
    columns = daemon.series(run_id, layer="module.2")
    assert columns["step"] == list(range(STEPS)) and columns["d_lr"] == left[0][1]["points"]
    assert columns["ranks_missing"] == columns["rows_missing"] == [0] * STEPS
    assert columns["n"] == [WORLD * 64] * STEPS
    (loss,) = daemon.rpc("scalars.query", run=run_id)["scalars"]
    assert loss["columns"]["value"] == list(left[0][0]["losses"]), "those of rank 0"

    alone = new_run()
    for step in range(STEPS):
        rows = [np.concatenate([files[name][step] for files, _ in left])
                for name in ("features", "outputs")]
        alone.observe(*rows, step=step)
        point = alone.checkpoint(step=step, wait=True, timeout=30)["head"]
        for name in MEASURES:
            assert abs(columns[name][step] - getattr(point, name)) <= EXACT, name


@pytest.mark.long
def test_spawned_ranks_are_found_and_train_as_without_richd(daemon, tmp_path):
    watched = launch(daemon, tmp_path / "watched", "spawn")
    (run_id,) = {facts["id"] for _, facts in watched}
    assert daemon.series(run_id, layer="module.2")["n"] == [SPAWNED * 64] * STEPS
    bare = launch(daemon, tmp_path / "bare", "spawn", RICHD_MODE="disabled")
    for (with_richd, _), (without, _) in zip(watched, bare):
        assert sorted(with_richd.files) == sorted(without.files)
        for name in with_richd.files:
            assert np.array_equal(with_richd[name], without[name]), name


LONELY = """
import sys
import numpy as np
import richd
run = richd.init("lonely", "job", raise_errors=True)
drawn = np.random.default_rng(run.rank)
for step in range(int(sys.argv[1]), 10**6):
    run.observe(drawn.standard_normal((64, 8)), drawn.standard_normal((64, 2)), step=step)
    print(len(run.checkpoint(step=step, wait=True, timeout=60)), flush=True)
    if sys.stdin.readline() != "on\\n":
        break
run.finish(timeout=30)
"""


def step_together(ranks):
    for process in ranks:
        process.stdin.write("on\n")
        process.stdin.flush()
    return [process.stdout.readline() for process in ranks]


def test_a_rank_that_is_killed_and_comes_again_costs_the_others_nothing(new_daemon):
    """They do not train together, or its end would be theirs without richd, too."""
    daemon = new_daemon("--ranks-wait", "2").start()
    port = free_port()
    env = clean_environment(RICHD_RUNTIME_DIR=str(daemon.runtime), PYTHONPATH=str(PACKAGE))

    def start(rank, step):
        own = {name: str(value) for name, value in torchrun_environment(rank, port).items()}
        return subprocess.Popen([sys.executable, "-c", LONELY, str(step)], env={**env, **own},
                                text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    ranks = [start(rank, 0) for rank in range(WORLD)]
    assert [process.stdout.readline() for process in ranks] == ["1\n"] * WORLD
    assert step_together(ranks) == ["1\n"] * WORLD
    ranks[3].send_signal(signal.SIGKILL)  # its rows of the next window are not offered yet
    ranks[3].wait()
    for _ in range(3):
        assert step_together(ranks[:3]) == ["1\n"] * 3
    ranks[3] = start(3, 5)  # once more, alone; it marks the step at once
    wait_until(lambda: daemon.output.count("rank=3") == 2, "the rank to join again")
    assert step_together(ranks[:3]) == ["1\n"] * 3
    assert ranks[3].stdout.readline() == "1\n"
    for process in ranks:
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    (run,) = daemon.rpc("run.list")["runs"]
    columns = daemon.series(run["run"])
    assert columns["step"] == list(range(6)) and columns["rows_missing"] == [0] * 6
    assert columns["ranks_missing"] == [0, 0, 1, 1, 1, 0]
    assert columns["n"] == [256, 256, 192, 192, 192, 256]
    assert (run["state"], run["attempt"]) == ("finished", 1)


def test_a_key_that_is_used_once_more_begins_an_attempt(daemon):
    """Ranks on several hosts that were given no id have the same at each start."""
    for attempt in (1, 2):
        with contextlib.ExitStack() as stack:
            members = [stack.enter_context(daemon.trainer()) for _ in range(2)]
            for rank, member in enumerate(members):
                member.open("job", member={"launch": "host:29500", "rank": rank, "world": 2})
                assert member.attempt == attempt
            for member in members:
                member.rows(*draw(30, 6, 2, seed=attempt), step=0)
            marks = [member.mark(0) for member in members]
            for member, mark in zip(members, marks):
                assert member.wait(mark)["head"]["n"] == 60
            for member in members:
                member.finish()
    assert daemon.series("job")["attempt"] == [2]
