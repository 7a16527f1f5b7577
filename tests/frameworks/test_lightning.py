"""richd.lightning.RichdCallback in the real Lightning, with the real daemon."""

import functools
import pathlib
import signal

import debian_torch  # noqa: F401
import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from harness import wait_until
from lightning_program import BATCH, Classifier, loader, new_trainer
from richd.lightning import RichdCallback

N_ROWS, N_VALIDATION = 128, 48
PROGRAM = pathlib.Path(__file__).parent / "lightning_program.py"


def fit(folder, *callbacks, trouble=None, ckpt_path=None, **options):
    lightning.seed_everything(0)
    model = Classifier(trouble)
    trainer = new_trainer(folder, *callbacks, **options)
    trainer.fit(model, loader(N_ROWS, 1), loader(N_VALIDATION, 2), ckpt_path=ckpt_path)
    return model, trainer


@pytest.fixture
def callback(new_callback):
    return functools.partial(new_callback, RichdCallback)


def scalars_of(daemon, run, name):
    (series,) = [s for s in daemon.rpc("scalars.query", run=run)["scalars"] if s["name"] == name]
    return dict(zip(series["columns"]["step"], series["columns"]["value"]))


def test_a_run_has_the_steps_of_the_optimizer_and_the_evaluations(daemon, callback, tmp_path):
    richd = callback(project="mnist", config={"seed": 0})
    fit(tmp_path, richd, accumulate_grad_batches=2)
    richd.finish()
    run = daemon.rpc("run.get", run="run")
    assert (run["state"], run["project"]) == ("finished", "mnist")
    assert run["config"] == {"lr": 0.1, "seed": 0}
    train = daemon.series("run")  # 8 batches an epoch are 4 steps
    assert train["step"] == [2, 4, 6, 8]
    assert train["n"] == [4 * BATCH] * 4
    evaluation = daemon.series("run", layer="head@eval")
    assert evaluation["step"] == [4, 8]
    assert evaluation["n"] == [N_VALIDATION] * 2, "rows of the sanity check were counted"


def test_what_the_module_logs_is_stored_under_its_names(daemon, callback, tmp_path):
    richd = callback()
    model, trainer = fit(tmp_path, richd)
    trainer.test(model, loader(BATCH, 3), verbose=False)
    richd.finish()
    at_steps = scalars_of(daemon, "run", "train_loss_step")
    assert at_steps == pytest.approx({s: model.losses[s - 1] for s in range(2, 17, 2)})
    of_epochs = {8: sum(model.losses[:8]) / 8, 16: sum(model.losses[8:]) / 8}
    assert scalars_of(daemon, "run", "train_loss_epoch") == pytest.approx(of_epochs)
    assert list(scalars_of(daemon, "run", "val_loss")) == [8, 16]
    assert list(scalars_of(daemon, "run", "late")) == [8, 16]
    assert list(scalars_of(daemon, "run", "test_loss")) == [16]


@pytest.mark.parametrize("trouble", [RuntimeError("no"), KeyboardInterrupt()], ids=["error", "^C"])
def test_a_training_that_breaks_has_failed(daemon, callback, tmp_path, trouble):
    try:
        fit(tmp_path, callback(), trouble=trouble)
    except (RuntimeError, KeyboardInterrupt, SystemExit):
        pass
    wait_until(lambda: daemon.state_of("run") == "failed")
    assert daemon.series("run")["step"] == [2]


def test_a_resumed_training_is_the_next_attempt_of_its_run(daemon, callback, tmp_path):
    first = callback(run_id=None, project="resumed")
    _, trainer = fit(tmp_path, first, ModelCheckpoint(dirpath=tmp_path, save_last=True))
    run_id, name = first.run.id, first.run.name
    first.finish()
    second = callback(run_id=None, project="resumed")
    fit(tmp_path, second, max_epochs=3, ckpt_path=str(tmp_path / "last.ckpt"))
    assert (second.run.id, second.run.name) == (run_id, name)
    second.finish()
    series = daemon.series(run_id)
    assert series["step"] == list(range(2, 25, 2))
    assert series["attempt"] == [1] * 8 + [2] * 4


def test_a_fit_that_goes_on_is_the_same_run_and_a_new_one_is_not(callback, tmp_path):
    richd = callback(run_id=None)
    model, trainer = fit(tmp_path, richd)
    first = richd.run.id
    trainer.fit_loop.max_epochs = 3
    trainer.fit(model, loader(N_ROWS, 1))
    assert richd.run.id == first
    fit(tmp_path, richd)
    assert richd.run.id != first


def test_a_fast_development_run_is_no_run(callback, tmp_path):
    richd = callback()
    fit(tmp_path, richd, fast_dev_run=True)
    assert richd.run is None


@pytest.mark.parametrize("state", ["there", "absent", "stopped"])
def test_losses_and_weights_are_those_without_richd(daemon, callback, tmp_path, state):
    plain, _ = fit(tmp_path)
    if state == "absent":
        richd = RichdCallback(runtime_dir=str(tmp_path / "nowhere"))
    else:
        richd = callback(every=1)
    if state == "stopped":
        daemon.signal(signal.SIGSTOP)
    watched, _ = fit(tmp_path, richd)
    daemon.signal(signal.SIGCONT)
    assert watched.losses == plain.losses
    for ours, theirs in zip(watched.parameters(), plain.parameters()):
        assert torch.equal(ours, theirs)
    assert not watched.head._forward_hooks
    if state != "absent":
        wait_until(lambda: richd.run.attempt, "the run to be opened")
        wait_until(lambda: daemon.rpc("run.get", run="run")["layers"], "points")


def test_malformed_arguments_are_found_where_they_are_given():
    with pytest.raises(ValueError, match="mode is one of"):
        RichdCallback(mode="nowhere")
    with pytest.raises(ValueError, match="every"):
        RichdCallback(every=0)


def test_what_goes_wrong_in_the_callback_is_a_warning(callback, tmp_path, caplog):
    fit(tmp_path, callback(watch={"no_such_option": 1}))
    assert "no_such_option" in caplog.text


@pytest.mark.long
def test_sigterm_ends_the_run_as_failed(daemon):
    program = daemon.train(PROGRAM, "endless")
    assert program.stdout.readline() == "trains\n"
    program.send_signal(signal.SIGTERM)
    program.wait(30)
    wait_until(lambda: daemon.state_of("run") == "failed")


@pytest.mark.long
def test_processes_of_one_training_are_one_run(daemon):
    program = daemon.train(PROGRAM, "two")
    _, errors = program.communicate(timeout=120)
    assert program.returncode == 0, errors
    assert [run["run"] for run in daemon.rpc("run.list")["runs"]] == ["run"]
    assert daemon.state_of("run") == "finished"
    assert daemon.series("run")["step"] == [2, 4]
    assert daemon.series("run")["ranks_missing"] == [0, 0]
    assert daemon.series("run")["n"] == [2 * 2 * BATCH] * 2, "two batches of each of two"
