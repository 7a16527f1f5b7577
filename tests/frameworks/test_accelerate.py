"""richd.accelerate.RichdTracker in the real Accelerator, with the real daemon."""

import pathlib

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, GradientState, PartialState

from accelerate_program import BATCH, STEPS, new_model, train
from ranks import run_ranks
from richd.accelerate import RichdTracker

PROGRAM = pathlib.Path(__file__).parent / "accelerate_program.py"


@pytest.fixture
def tracker(daemon):
    """Makes trackers whose runs are on the daemon; they are finished with the test."""
    made = []

    def make(name=None, **options):
        made.append(RichdTracker(name, runtime_dir=str(daemon.runtime), **options))
        return made[-1]

    yield make
    for one in made:
        one.finish()
    for state in (AcceleratorState, PartialState, GradientState):
        state._reset_state()


def test_a_run_has_the_configuration_the_numbers_and_the_points(daemon, tracker):
    one = tracker("seven", run_id="run", project="loops")
    accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2, log_with=one)
    accelerator.init_trackers("loops", config={"lr": 0.1})
    losses = train(accelerator, new_model(), one)
    accelerator.end_training()
    run = daemon.rpc("run.get", run="run")
    assert (run["state"], run["name"], run["project"]) == ("finished", "seven", "loops")
    assert run["config"] == {"lr": 0.1}
    points = daemon.series("run", layer="3")
    assert (points["step"], points["n"]) == ([2, 4, 6], [4 * BATCH] * 3)
    (scalars,) = daemon.rpc("scalars.query", run="run")["scalars"]
    assert scalars["name"] == "loss"
    assert scalars["columns"]["value"] == pytest.approx(losses[1::2])


def test_a_state_that_was_saved_goes_on_with_its_run(daemon, tracker, tmp_path):
    first = tracker(project="saved")
    accelerator = Accelerator(cpu=True, log_with=first)
    accelerator.init_trackers("saved", config={})
    accelerator.register_for_checkpointing(first)
    train(accelerator, new_model(), first)
    accelerator.save_state(str(tmp_path / "state"))
    accelerator.end_training()

    second = tracker(project="saved")
    accelerator = Accelerator(cpu=True, log_with=second)
    accelerator.init_trackers("saved", config={})
    accelerator.register_for_checkpointing(second)
    model = accelerator.prepare(new_model())
    accelerator.load_state(str(tmp_path / "state"))
    train(accelerator, model, second, first=STEPS + 1, last=STEPS + 2)
    accelerator.end_training()
    assert second.tracker.id == first.tracker.id
    assert daemon.series(first.tracker.id, layer="3")["attempt"] == [1, 1, 1, 2]


def test_a_state_that_is_loaded_too_late_says_so(tracker, caplog):
    late = tracker()
    assert late.tracker.id != "another"
    late.load_state_dict({"run_id": "another", "name": "x"})
    assert "load_state before the first log" in caplog.text


@pytest.mark.parametrize("state", ["there", "absent"])
def test_losses_and_weights_are_those_without_richd(tracker, tmp_path, state):
    plain = new_model()
    expected = train(Accelerator(cpu=True), plain)
    where = {"runtime_dir": str(tmp_path / "nowhere")} if state == "absent" else {}
    one = RichdTracker("run", **where) if where else tracker("run")
    accelerator = Accelerator(cpu=True, log_with=one)
    accelerator.init_trackers("run", config={})
    watched = new_model()
    assert train(accelerator, watched, one) == expected
    one.finish()
    for ours, theirs in zip(watched.parameters(), plain.parameters()):
        assert torch.equal(ours, theirs)


def test_malformed_arguments_are_found_where_they_are_given():
    with pytest.raises(ValueError, match="mode is one of"):
        RichdTracker("run", mode="nowhere")


@pytest.mark.long
@pytest.mark.parametrize(("who", "n_processes"), [("main", 1), ("every", 2)])
def test_of_two_processes_the_main_one_speaks_or_both(daemon, who, n_processes):
    run_ranks(daemon, PROGRAM, who)
    points = daemon.series("run", layer="3")
    assert points["step"] == [2, 4, 6]
    assert points["n"] == [4 * BATCH * n_processes] * 3
    assert daemon.state_of("run") == "finished"
