import math

import numpy as np
import pytest

from harness import Daemon, draw

N_POINTS = 3000
SPIKE_AT = 1234
METRICS = ("d_lr", "d_debiased", "u", "pr")

#: All of them read one series, in one process.
pytestmark = [
    pytest.mark.xdist_group("long series"),
    pytest.mark.not_under("thread", because="readers of the history have unit tests for it"),
]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    started = Daemon(tmp_path_factory.mktemp("daemon")).start()
    yield started
    started.close()


@pytest.fixture(scope="module")
def columns(daemon):
    """A run of N_POINTS real checkpoints, one of them a spike; its series, as it was stored."""
    flat = draw(12, 4, 2, seed=0)
    rich = draw(12, 4, 2, seed=0)[0].copy()
    rich[:, 2:] = 0  # all variance inside the outputs' space: the lowest value by far
    with daemon.trainer("run") as trainer:
        for step in range(N_POINTS):
            if step == SPIKE_AT:
                trainer.rows(rich, np.ascontiguousarray(rich[:, :2]), step=step)
            else:
                trainer.rows(flat[0], flat[1] + np.float32(1e-3 * step) * flat[0][:, :2])
            trainer.mark(step)
            trainer.log(step, loss=9.0 if step == SPIKE_AT else 1.0 / (1 + step))
            while trainer.seq - len(trainer.acks) > 500:
                trainer.receive()
        trainer.wait(trainer.seq)
    return daemon.series("run", points=N_POINTS)


def test_long_series_come_in_bins(daemon, columns):
    assert columns["step"] == list(range(N_POINTS))
    assert min(range(N_POINTS), key=columns["d_lr"].__getitem__) == SPIKE_AT
    for spacing in ("log", "linear"):
        (layer,) = daemon.rpc("series.query", run="run", points=200, spacing=spacing)["layers"]
        assert layer["binned"] is True
        check_bins(layer["columns"], columns, 100)
    (scalar,) = daemon.rpc("scalars.query", run="run", points=200)["scalars"]
    assert scalar["binned"] is True
    assert sum(scalar["columns"]["count"]) == N_POINTS
    assert max(scalar["columns"]["value"]["max"]) == 9.0, "the spike survives"


def check_bins(bins, columns, n_max):
    """Each bin is the extremes of the points it covers, and all points are covered once."""
    assert 4 <= len(bins["step"]) <= n_max
    assert sum(bins["count"]) == N_POINTS
    for i, (first, last) in enumerate(zip(bins["step"], bins["step_end"])):
        assert last - first + 1 == bins["count"][i]
        assert set(bins["flags"][i]) == set().union(*columns["flags"][first:last + 1])
        for metric in METRICS:
            values = columns[metric][first:last + 1]
            assert bins[metric]["min"][i] == min(values)
            assert bins[metric]["max"][i] == max(values)
            assert bins[metric]["last"][i] == values[-1]


def test_bins_say_when_their_last_row_was_made_if_asked(daemon, columns):
    (layer,) = daemon.rpc("series.query", run="run", points=200, times=True)["layers"]
    assert layer["columns"]["time"] == [columns["time"][s] for s in layer["columns"]["step_end"]]
    assert set(layer["columns"]["attempt"]) == {1}
    (scalar,) = daemon.rpc("scalars.query", run="run", points=200, times=True)["scalars"]
    assert sorted(scalar["columns"]["time"]) == scalar["columns"]["time"]
    assert None not in scalar["columns"]["time"]
    (layer,) = daemon.rpc("series.query", run="run", points=200)["layers"]
    assert not {"time", "attempt"} & layer["columns"].keys()


def test_bins_on_a_log_axis_keep_the_early_steps_apart(daemon, columns):
    (layer,) = daemon.rpc("series.query", run="run", points=200)["layers"]
    steps = layer["columns"]["step"]
    assert steps[:3] == [0, 1, 2]
    early = sum(step < math.sqrt(N_POINTS) for step in steps)
    assert early > 20, "half of the axis has more than a few bins"
    (layer,) = daemon.rpc("series.query", run="run", points=200, spacing="linear")["layers"]
    assert max(layer["columns"]["count"]) <= 2 * N_POINTS / 100


def test_a_part_of_the_steps_comes_raw(daemon, columns):
    part = daemon.series("run", points=200, **{"from": SPIKE_AT - 50, "to": SPIKE_AT + 50})
    assert part["step"] == list(range(SPIKE_AT - 50, SPIKE_AT + 51))
    assert part["d_lr"] == columns["d_lr"][SPIKE_AT - 50:SPIKE_AT + 51]


def test_a_subscriber_reads_it_in_pages(daemon, columns):
    with daemon.subscribe(since_seq="0") as subscription:
        assert len(subscription.points) + len(subscription.scalars) <= 1000
        subscription.read_until(lambda s: len(s.points) + len(s.scalars) == 2 * N_POINTS)
        assert [p["d_lr"] for p in subscription.points] == columns["d_lr"]
        assert len(subscription.scalars) == N_POINTS


def test_richctl_prints_all_of_them(daemon, columns):
    lines = daemon.richctl_json("series", "run")
    assert [line["step"] for line in lines] == columns["step"]
    assert [line["d_lr"] for line in lines] == columns["d_lr"]
    assert len(daemon.richctl_json("series", "run", "--points", "200")) <= 100


def test_pages_give_every_row_with_its_scalars(daemon, columns):
    asked = {"run": "run", "layer": "head", "limit": 700, "metrics": ["d_lr"], "scalars": True}
    steps, d_lr, loss, sizes = [], [], [], []
    while True:
        (layer,) = daemon.rpc("series.query", **asked)["layers"]
        steps += layer["columns"]["step"]
        d_lr += layer["columns"]["d_lr"]
        loss += layer["columns"]["scalars"]["loss"]
        sizes.append(len(layer["columns"]["step"]))
        if layer["next"] is None:
            break
        asked["next"] = layer["next"]
    assert (steps, d_lr) == (columns["step"], columns["d_lr"])
    assert loss == [9.0 if step == SPIKE_AT else 1.0 / (1 + step) for step in steps]
    assert sizes == [700, 700, 700, 700, 200]
