import numpy as np
import pytest

from harness import assert_measures, draw


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("what", ["features", "outputs"])
def test_a_nan_refuses_the_batch_whole(daemon, what, bad):
    first, second, third = (draw(60, 8, 3, seed=seed) for seed in range(3))
    second[what == "outputs"][41, 2] = bad
    with daemon.trainer("run") as trainer:
        for batch in (first, second, third):
            trainer.rows(*batch)
        seq = trainer.mark(1)
        nack = trainer.expect("nack", code="ENUMERIC", layer="head", batch=2)
        assert f"{what} are not finite at row 41, column 2" in nack["text"]
        point = trainer.wait(seq)["head"]
    assert_measures(point, *(np.concatenate(parts) for parts in zip(first, third)))
    assert point["rows_missing"] == 60 and "partial" in point["flags"]


def test_moments_with_a_nan_are_refused_too(daemon, new_run):
    import richd

    good = draw(60, 8, 3)
    spoilt = richd.Moments().update(*draw(60, 8, 3, seed=1))
    spoilt._xy[3, 1] = np.nan
    run = new_run()
    run.observe(*good)
    run.observe_moments(spoilt)
    point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    assert_measures(vars(point), *good)
    assert (point.rows_missing, point.flags) == (60, ("partial",))
    assert "X'Y" in run.stats.last_error


def test_a_window_of_bad_batches_alone_yields_no_point(daemon):
    features, outputs = draw(60, 8, 3)
    features[0, 0] = np.nan
    with daemon.trainer("run") as trainer:
        trainer.rows(features, outputs)
        seq = trainer.mark(1)
        trainer.expect("nack", code="ENUMERIC")
        assert trainer.wait(seq) == {}
    assert daemon.rpc("layer.list", run="run")["layers"] == []


def test_values_that_do_not_vary_give_null_and_not_nan(daemon):
    with daemon.trainer("run") as trainer:
        trainer.rows(np.ones((50, 8), "f4"), draw(50, 8, 3)[1])
        point = trainer.checkpoint(1)["head"]
        assert (point["d_lr"], point["u"]) == (None, None)
        assert "constant" in point["flags"]
        trainer.rows(*draw(50, 8, 3))
        assert trainer.checkpoint(2)["head"]["d_lr"] is not None
