"""A point of many features is there before its spectrum, which takes seconds."""

import numpy as np

from harness import wait_until

P = 2100  # of 2,048 features and fewer the spectrum comes with the point


def test_a_large_spectrum_follows_its_point(daemon, new_run):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(P + 50, P)).astype("f4")
    subscription = daemon.subscribe()
    run = new_run()
    run.observe(x, x[:, :4], step=7)
    point = run.checkpoint(step=7, wait=True, timeout=60, spectrum=True)["head"]
    assert "no_spectrum" in point.flags
    assert point.effective_rank is None
    spectrum = wait_until(lambda: point.spectrum, "the spectrum")
    assert len(spectrum.rho) == P
    np.testing.assert_allclose(spectrum.rho.sum(), x.astype("f8").var(axis=0).sum(), rtol=1e-5)

    subscription.read_until(lambda s: len(s.points) == 2)
    first, second = subscription.points
    subscription.close()
    assert (first["step"], second["step"]) == (7, 7)
    assert "no_spectrum" in first["flags"] and "no_spectrum" not in second["flags"]
    assert first["effective_rank"] is None and second["effective_rank"] > 1000
    assert {k for k in first if first[k] is not None and first[k] != second[k]} <= {"flags"}
    columns = daemon.series("run", metrics=["effective_rank"])
    assert columns["step"] == [7], "it is one point"
    assert columns["effective_rank"] == [second["effective_rank"]]
