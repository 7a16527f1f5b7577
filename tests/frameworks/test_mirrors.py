"""D_LR stands where people look already: the real trackers, offline, read back from their files."""

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import richd
from harness import PACKAGE, clean_environment, wait_until
from richd._mirrors.wandb import Wandb
from trackers import tensorboard_scalars, wandb_axes, wandb_history

TRACKIO = pathlib.Path(sys.prefix) / "trackio"  # as `make frameworks` installs it
HEAD = np.random.default_rng(1).normal(size=(6, 3)).astype(np.float32)


def train(run, steps, log=None, wait=True):
    """Measures at each step, then logs the loss as the program of a user does."""
    rng = np.random.default_rng(0)
    points = []
    for step in steps:
        features = rng.normal(size=(64, 6)).astype(np.float32)
        run.observe(features, features @ HEAD, step=step)
        points.append(run.checkpoint(step=step, wait=wait))
        if log is not None:
            log(1.0 / (step + 1), step)
    return [point["head"] for point in points if point]


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """W&B writes below tmp_path, and speaks to nobody."""
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    yield lambda **options: wandb.init(project="p", dir=str(tmp_path), **options)
    wandb.finish()


def file_of(wandb_run):
    return pathlib.Path(wandb_run.settings.sync_file)


def rows_of(wandb_run):
    """All of its rows; W&B's own process writes the last of them after `finish`."""
    wandb_run.finish()
    return wait_until(lambda: wandb_history(file_of(wandb_run)))


# ---- W&B -----------------------------------------------------------------------------------------


def test_wandb_has_the_values_in_the_programs_own_rows(offline, new_run, monkeypatch):
    tracker = offline()
    handled, write = [], Wandb.write

    def note(mirror, values, step, at):
        write(mirror, values, step, at)
        handled.append(step)

    def log(loss, step):
        wait_until(lambda: step in handled)
        tracker.log({"loss": loss}, step=step)

    monkeypatch.setattr(Wandb, "write", note)
    run = new_run(mirror="wandb")
    points = train(run, range(0, 50, 10), log)
    run.finish()
    rows = rows_of(tracker)
    assert [int(row["_step"]) for row in rows] == [0, 10, 20, 30, 40]
    assert all("loss" in row for row in rows)
    assert [json.loads(row["richd/step"]) for row in rows] == [0, 10, 20, 30, 40]
    values = [json.loads(row["richd/head/d_debiased"]) for row in rows]
    assert values == pytest.approx([point.d_debiased for point in points])
    assert wandb_axes(file_of(tracker))["richd/*"] == "richd/step"


def test_wandb_rows_of_the_program_are_never_refused(offline, new_run):
    """An epoch is a step there, and a training step here: many points fall into one row."""
    tracker = offline()
    run = new_run(mirror=[tracker])
    told = []
    run.on_point(told.append)
    for epoch in range(4):
        train(run, range(epoch * 100, epoch * 100 + 100, 10))
        tracker.log({"loss": 1.0}, step=epoch)
        tracker.log({"accuracy": 0.5}, step=epoch)
    run.finish()
    rows = rows_of(tracker)
    assert [int(row["_step"]) for row in rows] == [0, 1, 2, 3]
    assert all({"loss", "accuracy"} <= row.keys() for row in rows)
    assert json.loads(rows[-1]["richd/step"]) == 390
    assert len(told) == 40


def test_wandb_opens_no_run_and_says_so_once(offline, new_run, caplog):
    import wandb

    run = new_run(mirror="wandb")
    train(run, range(3))
    run.finish()
    assert wandb.run is None
    assert [r.getMessage() for r in caplog.records if "wandb.init()" in r.getMessage()] != []
    assert sum("mirror wandb" in r.getMessage() for r in caplog.records) == 1


# ---- TensorBoard ---------------------------------------------------------------------------------


def test_tensorboard_shows_them_in_the_writers_run(new_run, tmp_path):
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(tmp_path / "tb"))
    run = new_run(mirror=writer)
    points = train(run, range(0, 30, 10), lambda loss, step: writer.add_scalar("loss", loss, step))
    run.finish()
    writer.add_scalar("loss", 0.0, 30)  # it is the program's, and open
    writer.close()
    scalars = tensorboard_scalars(tmp_path / "tb")
    assert [step for step, _ in scalars["loss"]] == [0, 10, 20, 30]
    assert scalars["richd/head/d_debiased"] == [
        (point.step, pytest.approx(point.d_debiased)) for point in points
    ]
    assert [value for _, value in scalars["richd/head/rank"]] == [3, 3, 3]


def test_tensorboard_by_name_has_a_folder_of_the_run(new_run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = new_run("my-run", mirror="tensorboard")
    train(run, [5])
    run.finish()
    assert tensorboard_scalars(tmp_path / "runs" / "my-run")["richd/head/pr_debiased"][0][0] == 5


# ---- MLflow --------------------------------------------------------------------------------------


@pytest.fixture
def mlflow(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    import mlflow

    mlflow.set_tracking_uri((tmp_path / "mlruns").as_uri())
    yield mlflow
    mlflow.end_run()


def test_mlflow_has_them_at_the_same_steps_as_the_loss(new_run, mlflow):
    run = new_run(mirror="mlflow")
    with mlflow.start_run() as active:
        points = train(run, range(0, 30, 10), lambda loss, s: mlflow.log_metric("loss", loss, s))
        run.observe(np.eye(6), np.eye(6)[:, :3], split="eval")
        run.checkpoint(step=40)
        run.finish()
    history = mlflow.MlflowClient().get_metric_history
    stored = history(active.info.run_id, "richd/head/d_debiased")
    assert [(m.step, m.value) for m in stored] == [
        (point.step, pytest.approx(point.d_debiased)) for point in points
    ]
    assert [m.step for m in history(active.info.run_id, "loss")] == [0, 10, 20]
    assert [m.value for m in history(active.info.run_id, "richd/head.eval/n")] == [6]


# ---- Trackio -------------------------------------------------------------------------------------


def test_trackio_has_them_and_numbers_the_programs_own_values_as_ever(daemon, tmp_path):
    where = {"PYTHONPATH": f"{TRACKIO}:{PACKAGE}", "TRACKIO_DIR": str(tmp_path)}
    program = pathlib.Path(__file__).with_name("trackio_program.py")
    ended = subprocess.run([sys.executable, program, daemon.runtime], timeout=60,
                           env=clean_environment(**where), capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    points = json.loads(ended.stdout.splitlines()[-1])
    with contextlib.closing(sqlite3.connect(tmp_path / "p.db")) as store:
        rows = [(step, json.loads(text))
                for step, text in store.execute("SELECT step, metrics FROM metrics")]
    mirrored = [(step, row["richd/head/d_debiased"]) for step, row in rows if "loss" not in row]
    assert sorted(mirrored) == [(s, pytest.approx(p)) for s, p in zip((0, 100, 200), points)]
    assert sorted(step for step, row in rows if "loss" in row) == [0, 1, 2]


# ---- all of them ---------------------------------------------------------------------------------


class Blocked:
    """A writer whose disk is gone: each call blocks until the test ends."""

    def __init__(self):
        self.go_on = threading.Event()

    def add_scalar(self, *_args):
        self.go_on.wait(30)

    def flush(self):
        self.go_on.wait(30)


def test_a_mirror_that_blocks_holds_up_neither_the_training_nor_the_others(new_run, tmp_path):
    from tensorboard.summary import Writer

    blocked, writer = Blocked(), Writer(str(tmp_path / "tb"))
    run = new_run(mirror=[blocked, writer])
    train(run, range(3))  # imports, the connection
    started = time.monotonic()
    train(run, range(3, 40), wait=False)
    assert time.monotonic() - started < 1.0
    run.finish()
    assert time.monotonic() - started < 3.5
    blocked.go_on.set()
    writer.close()
    assert len(tensorboard_scalars(tmp_path / "tb")["richd/head/u_debiased"]) == 40


def test_an_unknown_name_is_refused_at_once(new_run):
    with pytest.raises(ValueError, match="wandb, tensorboard, trackio, mlflow"):
        richd.init(mirror="wandd")
    with pytest.raises(ValueError, match="a run or a writer"):
        richd.init(mirror=[3])
