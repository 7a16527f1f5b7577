import numpy as np

from harness import assert_measures, draw


def test_fewer_rows_than_features_are_measured_by_rows(daemon, new_run):
    run = new_run()
    short, long = draw(60, 200, 4, seed=1, dtype=np.float64), draw(450, 200, 4, seed=2)
    points = []
    for step, rows in enumerate((short, long, long, short, short)):
        for at in range(0, len(rows[0]), 50):
            run.observe(rows[0][at:at + 50], rows[1][at:at + 50], step=step)
        points.append(run.checkpoint(step=step, wait=True, timeout=30)["head"])
        assert_measures(vars(points[-1]), *rows, tolerance=1e-9 if rows is short else 1e-6)
    run.finish()
    # A window after a long one begins by features: it is likely to be long as well.
    assert ["row_form" in p.flags for p in points] == [True, False, False, False, True]
    assert daemon.series("run")["flags"] == [list(p.flags) for p in points]
