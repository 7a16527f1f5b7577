import math

import numpy as np

from harness import draw, measure

GROUPS = 32


def leave_out(features, outputs, rows):
    kept = np.ones(len(features), bool)
    kept[rows] = False
    point = measure(features[kept], outputs[kept])
    return np.array([point["d_lr"], point["d_debiased"]])


def standard_errors(features, outputs):
    """The jackknife of 32 groups of 8 rows and 16 pairs of them (Efron and Stein 1981)."""
    n = len(features)
    groups = np.arange(n).reshape(GROUPS, -1)
    whole = leave_out(features, outputs, [])

    def influence(rows):
        return (leave_out(features, outputs, rows) - whole) * (n - len(rows)) / len(rows)

    single = np.array([influence(rows) for rows in groups])
    double = np.array([influence(rows.ravel()) for rows in groups.reshape(GROUPS // 2, 2, -1)])
    variance = single.var(0, ddof=1) / GROUPS
    together = 2 * double - single[0::2] - single[1::2]
    return np.sqrt(np.maximum(variance - together.var(0, ddof=1) / 2, variance / 2))


def test_error_bars_come_with_a_point(daemon, new_run):
    features, outputs = draw(256, 12, 3, seed=5, dtype=np.float64)
    run = new_run()
    for rows in (slice(0, 100), slice(100, 101), slice(101, 256)):
        run.observe(features[rows], outputs[rows], step=0)
    point = run.checkpoint(step=0, wait=True, timeout=30)["head"]
    run.observe(features[:20], outputs[:20], step=1)
    short = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    run.finish()

    expected = standard_errors(features, outputs)
    assert math.isclose(point.d_lr_se, expected[0], rel_tol=1e-3)
    # What single rows explain of themselves is left out to first order alone (jackknife_without.c).
    assert math.isclose(point.d_debiased_se, expected[1], rel_tol=5e-2)
    assert (short.d_lr_se, short.d_debiased_se) == (None, None)
    columns = daemon.series("run")
    assert columns["d_lr_se"] == [point.d_lr_se, None]
