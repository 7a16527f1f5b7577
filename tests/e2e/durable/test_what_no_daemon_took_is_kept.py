"""What a training offered while no daemon was there is found in the history (proto/SPOOL.md)."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from harness import PACKAGE, clean_environment, draw, wait_until

import richd

#: A training that is killed and started again goes on with its steps; it says each that was kept.
TRAINING = """
import sys, time, numpy as np, richd
run = richd.init(run_id="killed", mode=sys.argv[2])
first = int(sys.argv[1])
rng = np.random.default_rng(first)
for step in range(first, first + 1000):
    x = rng.normal(size=(40, 8)).astype("f4")
    run.observe(x, x[:, :3].copy(), step=step)
    run.log({"loss": step}, step=step)
    run.checkpoint(step=step)
    spool = run._sender._spool
    while spool.n_kept < 3 * (step - first + 1) and not run._sender.checkpoints:
        time.sleep(0.001)
    print(step, flush=True)
"""


REPLAY = "import sys, richd; richd.replay(sys.argv[1], endpoint=sys.argv[2])"


@pytest.fixture
def spool_dir(tmp_path, monkeypatch):
    path = tmp_path / "spool"
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(path))
    return path


def naive(daemon, run_id, batches):
    """The same rows, sent while a daemon is there."""
    with daemon.trainer(run_id) as trainer:
        for step, (x, y) in batches.items():
            trainer.rows(x, y)
            trainer.checkpoint(step)
        trainer.finish()
    return daemon.series(run_id)


def keep(run_id, batches):
    """A run without a daemon."""
    run = richd.init(mode="offline", run_id=run_id)
    for step, (x, y) in batches.items():
        run.observe(x, y, step=step)
        run.checkpoint(step=step)
    run.finish()


def test_an_offline_run_has_the_points_of_one_that_was_watched(daemon, spool_dir):
    batches = {step: draw(30, 40, 3, seed=step) for step in range(4)}
    keep("offline", batches)
    (path,) = spool_dir.iterdir()
    assert richd.replay(str(path), endpoint=daemon.endpoints["ingest"]) == "offline"
    assert not any(spool_dir.iterdir())
    kept, watched = daemon.series("offline"), naive(daemon, "watched", batches)
    assert kept["step"] == watched["step"] == [0, 1, 2, 3]
    assert kept["d_lr"] == watched["d_lr"]
    assert daemon.state_of("offline") == "finished"


def test_many_rows_come_back_as_moments_of_the_same_point(daemon, spool_dir):
    batches = {step: draw(6000, 16, 3, seed=step) for step in range(2)}
    keep("offline", batches)
    (path,) = spool_dir.iterdir()
    assert path.stat().st_size < 2 * 6000 * 16 * 4 / 10
    richd.replay(str(path), endpoint=daemon.endpoints["ingest"])
    kept, watched = daemon.series("offline"), naive(daemon, "watched", batches)
    assert kept["n"] == watched["n"] == [6000, 6000]
    np.testing.assert_allclose(kept["d_lr"], watched["d_lr"], atol=1e-6)


def test_a_training_outlives_its_daemon_and_loses_no_mark(daemon, spool_dir):
    run = richd.init(endpoint=daemon.endpoints["ingest"], run_id="goes-on")
    steps = []

    def train(n):
        for _ in range(n):
            steps.append(len(steps))
            run.observe(*draw(20, 8, 3, seed=steps[-1]), step=steps[-1])
            run.log({"loss": steps[-1]}, step=steps[-1])
            run.checkpoint(step=steps[-1])

    for _ in range(2):
        train(5)
        wait_until(lambda: run._outbox.is_answered, "the acknowledgements")
        daemon.kill()
        train(5)
        wait_until(lambda: any(spool_dir.glob("*")), "the spool")
        train(5)
        daemon.start()
        wait_until(lambda: not any(spool_dir.glob("*")), "the replay")
    run.finish()
    assert daemon.series("goes-on")["step"] == steps
    (loss,) = daemon.rpc("scalars.query", run="goes-on", names=["loss"])["scalars"]
    assert loss["columns"]["step"] == steps


def test_kill_nine_of_trainer_and_daemon_loses_nothing_kept(daemon, spool_dir):
    said = 0
    environment = clean_environment(
        PYTHONPATH=str(PACKAGE), RICHD_SPOOL_DIR=str(spool_dir), RICHD_AUTOSTART="0"
    )
    for round_ in range(3):
        training = subprocess.Popen(
            [sys.executable, "-c", TRAINING, str(said), "offline"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(10 + round_):
            said = int(training.stdout.readline()) + 1
        training.send_signal(signal.SIGKILL)
        rest = training.communicate()[0].split()
        said = int(rest[-1]) + 1 if rest else said
        (path,) = spool_dir.iterdir()
        replaying = subprocess.Popen(
            [sys.executable, "-c", REPLAY, str(path), daemon.endpoints["ingest"]],
            env=environment,
        )
        time.sleep(0.05 * round_)  # anywhere in it
        daemon.kill()
        replaying.kill()
        replaying.wait()
        daemon.start()
        if path.exists():
            richd.replay(str(path), endpoint=daemon.endpoints["ingest"])
    assert os.listdir(spool_dir) == []
    assert daemon.series("killed")["step"][:said] == list(range(said))
