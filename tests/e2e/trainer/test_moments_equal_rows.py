import numpy as np
import pytest

from harness import assert_measures, draw, wait_until


def as_numpy(values):
    return values


def as_torch(values):
    import torch

    return torch.from_numpy(values.copy())


@pytest.mark.parametrize("convert", [as_numpy, pytest.param(as_torch, marks=pytest.mark.not_under(
    "address", "thread", because="the daemon is sent the same"))])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_equal_rows(daemon, new_run, convert, dtype):
    import richd

    features, outputs = draw(500, 24, 5, dtype=dtype)
    features += dtype(30)
    run = new_run()
    wait_until(lambda: run.attempt, "the run to be open")
    run.observe(features, outputs, layer="rows")
    ranks = [richd.Moments() for _ in range(3)]
    for i, rows in enumerate(np.array_split(np.arange(500), 7)):
        ranks[i % 3].update(convert(features[rows]), convert(outputs[rows]))
    run.observe_moments(ranks[0] + ranks[1] + ranks[2], layer="added")
    for rank in ranks:
        run.observe_moments(rank, layer="sent apart")
    points = run.checkpoint(step=1, wait=True, timeout=30)
    for layer in ("rows", "added", "sent apart"):
        assert_measures(vars(points[layer]), features, outputs, kept=layer == "rows")
        assert points[layer].flags == ()


def test_moments_and_rows_mix_in_one_window(daemon, new_run):
    import richd

    features, outputs = draw(300, 10, 3)
    run = new_run()
    run.observe(features[:100], outputs[:100])
    run.observe_moments(richd.Moments().update(features[100:200], outputs[100:200]))
    run.observe(features[200:], outputs[200:])
    point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    assert_measures(vars(point), features, outputs, kept=False)
