"""richd.transformers.RichdCallback in the real Trainer, with the real daemon."""

import functools
import json
import pathlib
import signal

import pytest
import torch
import transformers

from harness import wait_until
from ranks import WORLD, run_ranks
from richd.transformers import RichdCallback
from trainer_program import BATCH, LENGTH, Losses, new_model, train

N_EVALUATION = 24
PROGRAM = pathlib.Path(__file__).parent / "trainer_program.py"


@pytest.fixture
def callback(new_callback):
    return functools.partial(new_callback, RichdCallback)


def scalars_of(daemon, run):
    return {s["name"]: dict(zip(s["columns"]["step"], s["columns"]["value"]))
            for s in daemon.rpc("scalars.query", run=run)["scalars"]}


def test_a_run_has_the_steps_of_the_optimizer_and_the_evaluations(daemon, callback, tmp_path):
    one = callback(project="words", config={"seed": 0})
    train(tmp_path, one, n_evaluation=N_EVALUATION, gradient_accumulation_steps=2,
          eval_strategy="steps", eval_steps=4)
    one.finish()
    run = daemon.rpc("run.get", run="run")
    assert (run["state"], run["project"]) == ("finished", "words")
    config = run["config"]
    assert (config["seed"], config["n_embd"], config["max_steps"]) == (0, 16, 8)
    points = daemon.series("run", layer="score")
    assert points["step"] == [2, 4, 6, 8]
    assert points["n"] == [4 * BATCH * 6] * 4  # of each sequence all six tokens
    evaluations = daemon.series("run", layer="score@eval")
    assert evaluations["step"] == [4, 8]
    assert evaluations["n"] == [N_EVALUATION * 6] * 2


def test_what_the_trainer_logs_is_stored_under_its_names(daemon, callback, tmp_path):
    one, losses = callback(), Losses()
    trainer = train(tmp_path, one, losses, n_evaluation=N_EVALUATION)
    trainer.log({"note": "text", "nothing": None, "accuracy": torch.tensor(0.5)})
    value = trainer.evaluate()["eval_loss"]
    one.finish()
    stored = scalars_of(daemon, "run")
    assert stored["loss"] == pytest.approx(losses.by_step)
    assert list(stored["loss"]) == [2, 4, 6, 8]
    assert stored["eval_loss"] == {8: pytest.approx(value)}
    assert stored["accuracy"] == {8: 0.5}
    assert stored.keys() >= {"learning_rate", "train_loss"}
    assert not stored.keys() & {"note", "nothing"}


def test_a_language_models_head_is_watched_by_its_weights(daemon, callback, tmp_path):
    one = callback()
    train(tmp_path, one, model=new_model("LMHead"))
    one.finish()
    points = daemon.series("run", layer="lm_head")
    assert points["step"] == [2, 4, 6, 8]
    assert None not in points["d_lr"]


def test_it_is_found_by_the_name_richd(daemon, tmp_path, monkeypatch):
    monkeypatch.setenv("RICHD_RUNTIME_DIR", str(daemon.runtime))
    monkeypatch.setenv("RICHD_RUN_ID", "by-name")
    trainer = train(tmp_path, report_to="richd", run_name="seven")
    trainer.pop_callback(RichdCallback).finish()
    run = daemon.rpc("run.get", run="by-name")
    assert (run["state"], run["name"]) == ("finished", "seven")


@pytest.mark.parametrize("restores", [False, True])
def test_a_resumed_training_is_the_next_attempt_of_its_run(daemon, tmp_path, restores):
    where = {"runtime_dir": str(daemon.runtime), "project": "resumed"}
    first = RichdCallback(**where)
    train(tmp_path, first, save_strategy="steps", save_steps=4)
    run_id, name = first.run.id, first.run.name
    first.finish()
    trainer = train(tmp_path, RichdCallback(**where), max_steps=12, begin=False,
                    restore_callback_states_from_checkpoint=restores)
    trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    second = trainer.pop_callback(RichdCallback)
    assert (second.run.id, second.run.name, second.run.project) == (run_id, name, "resumed")
    second.finish()
    series = daemon.series(run_id, layer="score")
    assert series["step"] == [2, 4, 6, 8, 10, 12]
    assert series["attempt"] == [1, 1, 2, 2, 2, 2]


def test_a_checkpoint_is_saved_whatever_the_callback_was_given(callback, tmp_path):
    one = callback(config={"of": object()}, watch={"initial": None, "rows": 8})
    train(tmp_path, one, save_strategy="steps", save_steps=4)
    state = json.loads((tmp_path / "checkpoint-8" / "trainer_state.json").read_text())
    assert state["stateful_callbacks"]["RichdCallback"]["attributes"]["stored"]["run_id"] == "run"


def test_a_second_training_is_a_run_of_its_own(daemon, callback, tmp_path):
    one = callback(run_id=None)
    trainer = train(tmp_path, one)
    first = one.run.id
    trainer.train()
    second = one.run.id
    one.finish()
    assert first != second
    assert [daemon.state_of(run) for run in (first, second)] == ["finished"] * 2


def test_a_training_that_breaks_has_failed(daemon, callback, tmp_path):
    class Trouble(transformers.TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == 5:
                raise RuntimeError("no")

    one = callback()
    with pytest.raises(RuntimeError, match="no"):
        train(tmp_path, one, Trouble())
    one.finish()
    assert daemon.state_of("run") == "failed"
    assert daemon.series("run", layer="score")["step"] == [2, 4]


@pytest.mark.parametrize("state", ["there", "absent", "stopped"])
def test_losses_and_weights_are_those_without_richd(daemon, callback, tmp_path, state):
    plain = Losses()
    expected = train(tmp_path, plain).model
    if state == "absent":
        one = RichdCallback(runtime_dir=str(tmp_path / "nowhere"))
    else:
        one = callback(every=1)
    if state == "stopped":
        daemon.signal(signal.SIGSTOP)
    watched = Losses()
    model = train(tmp_path, one, watched).model
    daemon.signal(signal.SIGCONT)
    assert watched.by_step == plain.by_step
    for ours, theirs in zip(model.parameters(), expected.parameters()):
        assert torch.equal(ours, theirs)
    if state != "absent":
        wait_until(lambda: one.run.attempt, "the run to be opened")
        wait_until(lambda: daemon.rpc("run.get", run="run")["layers"], "points")


@pytest.mark.long
def test_an_interrupt_ends_the_run_as_failed(daemon):
    program = daemon.train(PROGRAM)
    while program.stdout.readline() != "trains\n":
        assert program.poll() is None, program.stderr.read()
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=30)
    wait_until(lambda: daemon.state_of("run") == "failed")


@pytest.mark.long
def test_two_processes_make_one_run(daemon):
    run_ranks(daemon, PROGRAM, "ranks")
    points = daemon.series("run", layer="score")
    assert points["step"] == [2, 4, 6, 8] and points["ranks_missing"] == [0] * 4
    assert points["n"] == [WORLD * 2 * BATCH * LENGTH] * 4, "two batches of each"
    assert daemon.state_of("run") == "finished"
