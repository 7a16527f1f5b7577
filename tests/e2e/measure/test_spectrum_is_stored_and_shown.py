"""The feature decomposition, from a trainer's rows to the disk, the terminal and back to Python,
against numpy on the same rows."""

import math

import numpy as np
import pytest

from harness import COMPANIONS, RpcError, wait_until

N, P, C = 600, 24, 5


def draw_classes(n=N, p=P, c=C, seed=0):
    """Features that lean towards their class, linear outputs of them with noise, labels."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    features = rng.normal(size=(n, p)) * np.linspace(1, 0.3, p) + 1
    features[np.arange(n), labels] += 2
    outputs = features @ rng.normal(size=(p, c)) + rng.normal(size=(n, c))
    return features, outputs, labels


def projector(columns):
    """An orthonormal basis of what the columns span, and its rank."""
    left, values, _ = np.linalg.svd(columns, full_matrices=False)
    rank = int((values > 1e-5 * values[0]).sum())
    return left[:, :rank], rank


def decompose(features, outputs, targets, centred=True):
    """rho, u, q, PI_hat, PI_star by singular values of the rows themselves."""
    means = (lambda a: a.mean(0)) if centred else (lambda a: 0)
    x, y, t = (a - means(a) for a in (features, outputs, targets))
    left, values, _ = np.linalg.svd(x, full_matrices=False)
    (f, rank), (w, rank_targets) = projector(y), projector(t)
    u, q = ((f.T @ left) ** 2).sum(0), ((w.T @ left) ** 2).sum(0)
    return {"rho": values**2 / len(x), "u": u, "q": q, "pi_hat": np.cumsum(u) / rank,
            "pi_star": np.cumsum(q) / rank_targets, "rank": rank, "rank_targets": rank_targets}


def companions(features, outputs, labels):
    """Every measure of COMPANIONS, from its definition."""
    x, y = features - features.mean(0), outputs - outputs.mean(0)
    classes = np.unique(labels)
    means = np.array([features[labels == c].mean(0) for c in classes])
    inside = features - means[np.searchsorted(classes, labels)]
    centred = means - means.mean(0)
    s_w, s_b = inside.T @ inside / len(x), centred.T @ centred / len(classes)
    norms = np.linalg.norm(centred, axis=1)
    cos = (centred / norms[:, None]) @ (centred / norms[:, None]).T
    pairs = cos[~np.eye(len(classes), dtype=bool)]
    rho = np.linalg.svd(x, compute_uv=False) ** 2 / len(x)
    share, root = rho / rho.sum(), np.sqrt(rho) / np.sqrt(rho).sum() + 1e-7
    k = np.arange(3, min(100, len(rho), len(x) // 5) + 1)
    correlation = np.abs(np.corrcoef(x.T)) - np.eye(x.shape[1])
    return {
        "cka_linear": np.linalg.norm(x.T @ y) ** 2
        / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)),
        "nc1": np.trace(s_w @ np.linalg.pinv(s_b, rcond=1e-10)) / len(classes),
        "nc1_quotient": np.trace(s_w) / np.trace(s_b),
        "nc2_norm_cv": norms.std() / norms.mean(),
        "nc2_angle": np.abs(pairs + 1 / (len(classes) - 1)).mean(),
        "stable_rank": rho.sum() / rho[0],
        "effective_rank": np.exp(-(share * np.log(share)).sum()),
        "rankme": np.exp(-(root * np.log(root)).sum()),
        "srank": (np.cumsum(root - 1e-7) < 0.99).sum() + 1,
        "dims_99": (np.cumsum(share) < 0.99).sum() + 1,
        "alpha_req": -np.polyfit(np.log(k), np.log(rho[k - 1]), 1, w=k**-0.5)[0],
        "dead_features": (x.std(0) == 0).sum(),
        "cloned_features": (correlation.max(0) > 0.999).sum(),
        "feature_norm": np.sqrt((features**2).sum(1).mean()),
    }


def assert_spectrum(spectrum, expected, tolerance=1e-9):
    assert (spectrum["rank"], spectrum["rank_targets"]) == (expected["rank"],
                                                            expected["rank_targets"])
    for name in ("rho", "u", "q", "pi_hat", "pi_star"):
        difference = np.abs(np.array(spectrum[name], float) - expected[name])
        assert difference.max() <= tolerance * max(expected[name].max(), 1), name


def identity(spectrum):
    """1 - D_LR, as the spectrum says."""
    rho, u = np.array(spectrum["rho"]), np.array(spectrum["u"])
    return (rho * u).sum() / (math.sqrt(spectrum["rank"]) * np.linalg.norm(rho))


def test_a_spectrum_that_was_asked_for_is_stored_and_shown(daemon, new_run):
    features, outputs, labels = draw_classes()
    run = new_run(name="first", project="demo")
    run.observe(features, outputs, step=3, labels=labels)
    point = run.checkpoint(step=3, wait=True, timeout=30, spectrum=True)["head"]
    run.observe(features, outputs, step=4, labels=labels)
    plain = run.checkpoint(step=4, wait=True, timeout=30)["head"]

    expected = decompose(features, outputs, np.eye(C)[labels])
    got = point.spectrum
    assert_spectrum(vars(got), expected)
    assert (got.layer, got.step, got.n, got.p, got.centred) == ("head", 3, N, P, True)
    assert point.spectrum is got and plain.spectrum is None
    assert abs(identity(vars(got)) - (1 - point.d_lr)) <= 1e-8

    (shown,) = daemon.richctl_json("show", "demo/first", "--spectrum", "--step", "3")
    assert_spectrum(shown, expected)
    assert (shown["run"], shown["layer"], shown["step"]) == ("run", "head", 3)
    assert abs(identity(shown) - (1 - point.d_lr)) <= 1e-8
    assert daemon.richctl_json("show", "first", "--spectrum", "--layer", "head") == [shown]
    assert daemon.rpc("spectrum.query", run="first") == shown
    with pytest.raises(RpcError, match="no spectrum at step 4"):
        daemon.rpc("spectrum.query", run="first", step=4)


def test_the_figure_fits_a_terminal(daemon, new_run):
    features, outputs, labels = draw_classes(p=90)
    run = new_run(name="first")
    run.observe(features, outputs, step=3, labels=labels)
    run.checkpoint(step=3, wait=True, timeout=30, spectrum=True)
    lines = daemon.richctl("show", "first", "--spectrum").splitlines()
    assert "90 of 90 eigenvalues, rank 5, of the targets 4" in lines[0]
    assert lines[1].split() == ["k", "1e-2", "1", "rho/rho1", "u", "q", "PI_hat", "PI_star"]
    assert lines[2].split()[0] == "1" and lines[-1].split()[0] == "90"
    assert max(map(len, lines)) <= 80 and len(lines) <= 24


def test_companions_are_the_reference_and_null_where_absent(daemon, new_run):
    features, outputs, labels = draw_classes(seed=1)
    run = new_run(name="first")
    for step, (wanted, given) in enumerate([(True, labels), (False, labels), (False, None)]):
        run.observe(features, outputs, step=step, labels=given, layer="ab"[given is None])
        point = run.checkpoint(step=step, wait=True, timeout=30, spectrum=wanted)["ab"[step > 1]]
        expected = companions(features, outputs, labels)
        assert tuple(point.companions) == COMPANIONS
        for name, value in point.companions.items():
            ranks = ("effective_rank", "rankme", "srank", "dims_99", "alpha_req")
            absent = (name in ranks and not wanted) or (name.startswith("nc") and given is None)
            if name not in expected:
                continue  # it has tests of its own
            assert (value is None) == absent, (step, name)
            assert absent or value == pytest.approx(expected[name], rel=1e-9), (step, name)
    first, second = daemon.richctl_json("series", "first", "--layer", "a")
    assert first["nc1"] == second["nc1"] is not None
    assert first["rankme"] is not None and second["rankme"] is None


def test_the_policy_of_a_run_makes_every_nth(daemon, new_run):
    features, outputs, labels = draw_classes(seed=2)
    run = new_run(name="first", spectrum_every=3, spectrum_leading=4, spectrum_centred=False)
    has = []
    for step in range(7):
        run.observe(features, outputs, step=step, labels=labels)
        point = run.checkpoint(step=step, wait=True, timeout=30, spectrum=step == 5)["head"]
        has.append(point.spectrum is not None)
    assert has == [True, False, False, True, False, True, True]
    expected = decompose(features, outputs, np.eye(C)[labels], centred=False)
    assert expected["rank_targets"] == C
    for name in ("rho", "u", "q", "pi_hat", "pi_star"):
        expected[name] = expected[name][:4]
    assert_spectrum(vars(point.spectrum), expected)
    assert point.spectrum.centred is False and point.effective_rank is None
    steps, values = run.series("d_lr")
    assert list(steps) == list(range(7)) and values.dtype == float
    assert (run.series("stable_rank")[1] > 0).all()


def test_fewer_rows_than_features_say_so(daemon, new_run):
    features, outputs, labels = draw_classes(n=20, p=30)
    run = new_run(name="first")
    run.observe(features, outputs, step=0, labels=labels)
    got = run.checkpoint(step=0, wait=True, timeout=30, spectrum=True)["head"].spectrum
    assert got.few_rows and got.u is None and got.q is None and len(got.rho) == 19
    assert abs(got.rho.sum() / got.total - 1) <= 1e-12
    assert "u and q need n > p" in daemon.richctl("show", "first", "--spectrum")


def test_a_spectrum_survives_kill_nine(daemon, new_run):
    features, outputs, labels = draw_classes(seed=3)
    run = new_run(name="first")
    run.observe(features, outputs, step=3, labels=labels)
    run.checkpoint(step=3, wait=True, timeout=30, spectrum=True)
    before = daemon.rpc("spectrum.query", run="first")
    daemon.kill()
    daemon.start()
    assert daemon.rpc("spectrum.query", run="first") == before
    wait_until(lambda: daemon.state_of("first") == "open", "the run to be open again")


def test_targets_are_regressed_on(daemon, new_run):
    features, outputs, _ = draw_classes(seed=4)
    targets = features[:, :2] ** 2 + features[:, 2:4]
    run = new_run(name="first")
    run.observe(features, outputs, step=3, targets=targets)
    point = run.checkpoint(step=3, wait=True, timeout=30, spectrum=True)["head"]
    assert_spectrum(vars(point.spectrum), decompose(features, outputs, targets))
    assert point.nc1 is None
