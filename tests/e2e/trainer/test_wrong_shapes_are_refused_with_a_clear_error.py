import logging

import numpy as np
import pytest

from harness import assert_measures, draw


def test_wrong_shapes_are_refused_with_a_clear_error(daemon):
    good = draw(50, 8, 3)
    with daemon.trainer("run") as trainer:
        trainer.rows(*good)
        trainer.rows(*draw(20, 9, 3))
        nack = trainer.expect("nack", code="ESHAPE", layer="head", batch=2)
        for part in ("run run", "layer head", "9 features and 3 outputs", "8 and 3"):
            assert part in nack["text"]
        assert nack["fatal"] is False
        trainer.rows(*draw(20, 8, 4))
        assert "8 features and 4 outputs" in trainer.expect("nack", code="ESHAPE", batch=3)["text"]
        point = trainer.checkpoint(1)["head"]
    assert_measures(point, *good)
    assert (point["rows_missing"], point["flags"]) == (40, ["partial"])
    assert daemon.rpc("server.status")["batches_refused"] == 2


def test_the_shape_holds_over_a_restart(daemon):
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(50, 8, 3))
        trainer.checkpoint(1)
        trainer.finish()
    daemon.restart()
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(50, 7, 3))
        assert "7 features" in trainer.expect("nack", code="ESHAPE")["text"]


def test_the_package_warns_once_and_goes_on(daemon, new_run, caplog):
    run = new_run()
    good = draw(50, 8, 3)
    with caplog.at_level(logging.WARNING, "richd"):
        run.observe(*good, step=1)
        for _ in range(3):
            run.observe(*draw(50, 9, 3), step=1)
        point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    assert [r for r in caplog.records if "ESHAPE" in r.getMessage()][1:] == []
    assert "9 features and 3 outputs" in caplog.text
    assert_measures(vars(point), *good)
    assert run.stats.batches_refused == 3


def test_rows_that_do_not_match_raise_when_asked_to(daemon, new_run):
    run = new_run(raise_errors=True)
    with pytest.raises(ValueError, match="50 rows of features beside 49"):
        run.observe(np.zeros((50, 8)), np.zeros((49, 3)))
    with pytest.raises(ValueError, match="labels or targets"):
        run.observe(np.zeros((5, 8)), np.zeros((5, 3)), labels=[0] * 5, targets=np.zeros((5, 1)))
