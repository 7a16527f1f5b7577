"""Next-token labels: a vocabulary of 50,257 of which a window meets a few hundred words."""

import numpy as np
import pytest

K = 50257


def rows_of(seed, n=3000, p=16, words=400):
    """Features (n, p) about a mean of their word's, outputs (n, 3), labels from all over K."""
    rng = np.random.default_rng(seed)
    word = np.concatenate([np.arange(words), rng.integers(0, words, n - words)])
    features = 3 + rng.normal(size=(words, p))[word] + 0.5 * rng.normal(size=(n, p))
    return features, features[:, :3] + 0.1 * rng.normal(size=(n, 3)), word * 125


def expected(features, labels):
    """nc1_quotient, nc1, d_target, probe_r2 and the fewest rows of a class, from the rows."""
    names, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
    means = np.array([features[place == c].mean(0) for c in range(len(names))])
    x, between = features - features.mean(0), means - means.mean(0)
    within = (features - means[place]) / np.sqrt(len(x))
    s_w, s_b = within.T @ within, between.T @ between / len(names)
    inside = counts @ np.sum((means - features.mean(0)) ** 2, axis=1)
    one_hot = np.eye(len(names))[place] - counts / len(x)
    left = one_hot - x @ np.linalg.lstsq(x, one_hot, rcond=None)[0]
    return {
        "nc1_quotient": np.trace(s_w) / np.trace(s_b),
        "nc1": np.trace(s_w @ np.linalg.inv(s_b)) / len(names),
        "d_target": 1 - inside / (np.sqrt(len(names) - 1) * np.linalg.norm(x.T @ x)),
        "probe_r2": 1 - np.sum(left**2) / np.sum(one_hot**2),
        "class_rows_min": counts.min(),
    }


def test_a_window_is_measured_by_the_classes_that_it_meets(daemon, new_run):
    run = new_run()
    for step in range(2):  # the second window has other classes than the first
        features, outputs, labels = rows_of(step)
        labels = labels + step
        for at in range(0, len(features), 700):
            part = slice(at, at + 700)
            run.observe(features[part], outputs[part], labels=labels[part], n_classes=K)
        point = run.checkpoint(step=step, wait=True)["head"]
        want = expected(features, labels)
        assert point.classes_seen == 400
        assert "classes_missing" in point.flags and "classes_lost" not in point.flags
        for name, value in want.items():
            assert getattr(point, name) == pytest.approx(value, rel=1e-9), name
    run.finish()
