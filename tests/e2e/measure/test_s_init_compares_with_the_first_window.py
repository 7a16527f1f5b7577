import numpy as np

from harness import draw


def cka(first, now):
    """Linear CKA of two sets of features of the same rows, by their n x n kernels."""
    a, b = first @ first.T, now @ now.T
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def cka_debiased(first, now):
    """The same by HSIC_1 (Song et al. 2012): kernels without their diagonals."""
    def hsic(k, l):
        n = len(k)
        return ((k * l).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2))
                - 2 / (n - 2) * k.sum(0) @ l.sum(0)) / (n * (n - 3))
    a, b = (x @ x.T * (1 - np.eye(len(x))) for x in (first, now))
    return float(hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b)))


def drift(step, n=120, p=24):
    """Features that leave their beginning by and by, about a mean that is no zero."""
    start, end = draw(n, p, 3, seed=1)[0], draw(n, p, 3, seed=2)[0]
    return (start + 0.4 * step * end + 2.0).astype(np.float64)


def assert_like(point, first, now):
    centred = [x - x.mean(axis=0) for x in (first, now)]
    assert abs(point.s_init - cka(*centred)) < 1e-9
    assert abs(point.s_init_uncentred - cka(first, now)) < 1e-9
    assert abs(point.s_init_debiased - cka_debiased(first, now)) < 1e-9
    assert "probe_differs" not in point.flags


def send(run, step, features):
    outputs = draw(len(features), 4, 3, seed=9)[1]
    half = len(features) // 3
    run.observe(features[:half], outputs[:half], step=step)
    run.observe(features[half:], outputs[half:], step=step)
    return run.checkpoint(step=step, wait=True, timeout=30)["head"]


def test_s_init_is_the_cka_with_the_first_window(daemon, new_run):
    run = new_run(probe=True)
    first = send(run, 0, drift(0))
    assert max(abs(first.s_init - 1), abs(first.s_init_uncentred - 1)) < 1e-12
    for step in (1, 2, 3):
        assert_like(send(run, step, drift(step)), drift(0), drift(step))
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(24, 24)))[0]
    rotated = send(run, 4, 7.0 * drift(0) @ rotation)
    assert abs(rotated.s_init - 1) < 1e-12, "rotation and scale change nothing"
    assert abs(rotated.s_init_debiased - 1) < 1e-12
    assert daemon.series(run.id)["s_init"][1] < 0.99


def test_unrelated_features_are_unlike_the_first_ones(new_run):
    run, rng = new_run(probe=True), np.random.default_rng(11)
    send(run, 0, rng.normal(size=(256, 1024)))
    point = send(run, 1, rng.normal(size=(256, 1024)))
    assert point.s_init > 0.75 and abs(point.s_init_debiased) < 4 * 2 ** .5 / 256


def test_the_first_window_outlives_the_daemon_and_the_attempt(daemon, new_run):
    run = new_run(probe=True)
    send(run, 0, drift(0))
    daemon.kill()
    daemon.start()
    assert_like(send(run, 1, drift(1)), drift(0), drift(1))
    run.finish()
    again = new_run(probe=True, resume="must")
    assert_like(send(again, 2, drift(2)), drift(0), drift(2))


def test_rows_that_cannot_be_the_first_ones_are_flagged(daemon, new_run):
    run = new_run(probe=True)
    send(run, 0, drift(0))
    fewer = send(run, 1, drift(1)[:100])
    assert (fewer.s_init, fewer.s_init_uncentred) == (None, None)
    assert "probe_differs" in fewer.flags and fewer.d_lr is not None
    (layer,) = daemon.rpc("layer.list", run=run.id)["layers"]
    assert (layer["probe_rows"], layer["last"]["n"]) == (120, 100)
    assert "probe differs" in daemon.output
    assert_like(send(run, 2, drift(2)), drift(0), drift(2))


def test_without_the_promise_there_is_no_s_init(daemon, new_run):
    point = send(new_run(), 0, drift(0))
    assert point.s_init is None and "probe_differs" not in point.flags
