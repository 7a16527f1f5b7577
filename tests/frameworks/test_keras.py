"""richd.keras on the real Keras, compiled, with JAX and with torch."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from harness import PACKAGE, assert_measures, clean_environment

PROGRAM = pathlib.Path(__file__).with_name("keras_program.py")
#: 8 batches an epoch, 3 epochs: before the first, at each fifth batch, after each epoch.
STEPS = [0, 5, 8, 10, 15, 16, 20, 24]


def run_program(backend, *arguments):
    apart = [str(pathlib.Path(sys.prefix) / "keras-torch")] if backend == "torch" else []
    environment = clean_environment(PYTHONPATH=":".join([*apart, str(PACKAGE)]),
                                    RICHD_RUNTIME_DIR="/nowhere")
    ended = subprocess.run([sys.executable, PROGRAM, backend, *map(str, arguments)], timeout=120,
                           env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-3000:]
    return json.loads(ended.stdout.splitlines()[-1]), ended.stderr


def series_of(daemon, run, layer="head"):
    """Its points, one by one."""
    columns = daemon.series(run, layer)
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_fit_is_the_same_with_richd_and_measured(daemon, backend):
    seen, _ = run_program(backend, "compare", daemon.runtime)
    for name in ("daemon", "none"):
        assert seen[name] == {"losses": True, "weights": True, "is_clean": True,
                              "logs": [["loss", "val_loss"]] * 3}
    points = series_of(daemon, "run-daemon")
    assert [(p["step"], p["n"], p["rank"], p["rows_missing"]) for p in points] == [
        (step, 128, 3, 0) for step in STEPS
    ]
    assert all(p["nc1"] > 0 and "nonlinear_head" not in p["flags"] for p in points)
    weight, bias = (np.array(value) for value in seen["head"])
    features = np.array(seen["features"])
    assert_measures(points[-1], features, features @ weight + bias, tolerance=1e-5)
    assert [p["step"] for p in series_of(daemon, "run-daemon", "head@eval")] == STEPS


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_training_that_was_interrupted_has_failed_and_goes_on_as_the_same_run(
        daemon, tmp_path, backend):
    first, _ = run_program(backend, "resume", daemon.runtime, tmp_path / "backup")
    assert daemon.state_of(first["run"]) == "failed"
    assert [p["step"] for p in series_of(daemon, first["run"])] == [0, 8, 16]
    second, _ = run_program(backend, "resume", daemon.runtime, tmp_path / "backup")
    assert first == second
    assert daemon.state_of(first["run"]) == "finished"
    points = series_of(daemon, first["run"])
    assert [p["step"] for p in points] == [0, 8, 16, 24, 32]
    assert [p["attempt"] for p in points] == [1, 1, 2, 2, 2]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_subclassed_models_and_steps_made_at_once_are_measured(daemon, backend):
    """A second fit goes on in the same run; a layer that is not there costs one warning."""
    _, said = run_program(backend, "odd", daemon.runtime)
    points = series_of(daemon, "twice", "twice")
    assert [(p["step"], p["n"], p["attempt"]) for p in points] == [
        (0, 512, 1), (4, 512, 1), (8, 512, 2), (12, 512, 2), (16, 512, 2)
    ]
    assert all(p["head_error"] is not None for p in points)  # the targets came
    assert said.count("the model has no layer absent; give layer=") == 1
    assert daemon.state_of("absent") == "finished"
