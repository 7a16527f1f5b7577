"""Language models' heads in small: p = 64 features and C = 785 outputs, as 4096 beside 50,257."""

import numpy as np
import pytest

P, C = 64, 785
#: Products in double of matrices of condition 1e4, divided by their norms.
TOLERANCE = 1e-9
PROJECTORS = [
    "span",
    "top",
    {"kind": "top", "k": 7},
    {"kind": "auto", "energy": 0.5},
    {"kind": "ridge", "lambda": 0.05},
]


def rows_of(seed, n=300, p=P, c=C):
    """Features (n, p) of falling variance about a mean, and a head (c, p)."""
    rng = np.random.default_rng(seed)
    features = 2 + rng.normal(size=(n, p)) / np.sqrt(1 + np.arange(p))
    return features, rng.normal(size=(c, p)) / np.sqrt(p)


def weights_of(projector, values):
    """s of FEED.md for the eigenvalues, which descend."""
    kind = projector if isinstance(projector, str) else projector["kind"]
    options = {} if isinstance(projector, str) else projector
    varies = values > 1e-10 * values[0]
    if kind == "ridge":
        return varies * values / (values + options["lambda"] * values[0])
    if kind == "span":
        return varies * 1.0
    energy = np.cumsum(values) / values.sum()
    k = options.get("k") or int(np.sum(energy < options.get("energy", 0.99))) + 1
    return varies * (np.arange(len(values)) < k) * 1.0


def expected(features, outputs, projector):
    """d_lr, u, rank and cka_linear, by the n x n kernels of the rows."""
    x, y = features - features.mean(0), outputs - outputs.mean(0)
    kernel, other = x @ x.T, y @ y.T
    values, vectors = np.linalg.eigh(other)
    values, vectors = values[::-1], vectors[:, ::-1]
    s = weights_of(projector, values)
    inside = np.sum(s * np.einsum("ik,ij,jk->k", vectors, kernel, vectors, optimize=True))
    norm = np.linalg.norm
    return {
        "d_lr": 1 - inside / (norm(kernel) * norm(s)),
        "u": inside / np.trace(kernel),
        "rank": round(np.sum(s)),
        "cka_linear": np.sum(kernel * other) / (norm(kernel) * norm(other)),
    }


def assert_is(point, want):
    assert point.rank == want["rank"]
    for name in ("d_lr", "u", "cka_linear"):
        assert getattr(point, name) == pytest.approx(want[name], abs=TOLERANCE), name


@pytest.mark.not_under("thread", because="threads cross as in the tests below")
@pytest.mark.parametrize("projector", PROJECTORS, ids=str)
def test_a_head_measures_what_its_logits_do(daemon, new_run, projector):
    features, weight = rows_of(1)
    run = new_run(projector=projector)
    for part in np.array_split(features, 3):
        run.observe(part, part @ weight.T + 5.0, layer="logits")
        run.observe(part, head=weight, layer="weights")
    points = run.checkpoint(step=1, wait=True, timeout=30)
    want = expected(features, features @ weight.T, projector)
    for layer in ("logits", "weights"):
        assert_is(points[layer], want)
        assert points[layer].c == C
    only = set(points["weights"].flags) ^ set(points["logits"].flags)
    assert only == {"from_head"}


def test_the_default_is_the_top_of_wide_outputs_and_says_so(daemon, new_run):
    run = new_run()
    for layer, c in (("wide", P), ("narrow", P - 1)):
        features, weight = rows_of(2, c=c)
        run.observe(features, features @ weight.T, layer=layer)
    points = run.checkpoint(step=1, wait=True, timeout=30)
    assert "top_outputs" in points["wide"].flags and points["wide"].rank < P
    assert points["narrow"].flags == () or "top_outputs" not in points["narrow"].flags
    assert points["narrow"].rank == P - 1


def test_each_checkpoint_measures_the_weights_of_its_own(daemon, new_run):
    run = new_run()
    features, weight = rows_of(3)
    for step in (1, 2):
        run.observe(features, head=weight)
        point = run.checkpoint(step=step, wait=True, timeout=30)["head"]
        assert_is(point, expected(features, features @ weight.T, "top"))
        weight[:] = rows_of(40)[1] * np.arange(P)  # in place, as an optimiser does


def test_labels_go_with_a_head(daemon, new_run):
    features, weight = rows_of(4)
    labels = np.arange(len(features)) % 5
    run = new_run()
    run.observe(features, features @ weight.T, layer="logits", labels=labels, n_classes=5)
    run.observe(features, head=weight, layer="weights", labels=labels, n_classes=5)
    points = run.checkpoint(step=1, wait=True, timeout=30, spectrum=True)
    a, b = points["logits"], points["weights"]
    assert a.nc1 == pytest.approx(b.nc1, rel=1e-8) and a.nc1 is not None
    assert np.allclose(a.spectrum.u, b.spectrum.u, atol=1e-8)
    assert np.allclose(a.spectrum.q, b.spectrum.q, atol=1e-8)


def test_a_window_that_goes_on_gets_its_head_at_each_checkpoint(daemon, new_run):
    features, weight = rows_of(5)
    run = new_run(window="cumulative")
    for step, part in enumerate(np.array_split(features, 3)):
        run.observe(part, head=weight)
        point = run.checkpoint(step=step, wait=True, timeout=30)["head"]
        assert "no_head" not in point.flags
    assert point.n == len(features)
    assert_is(point, expected(features, features @ weight.T, "top"))


@pytest.mark.not_under("address", "thread", because="a tap is the package's, and torch's")
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_a_tap_on_a_wide_linear_module_sends_no_logits(daemon, new_run, dtype):
    import torch
    features, weight = rows_of(6)
    head = torch.nn.Linear(P, C).to(getattr(torch, dtype))
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
    run = new_run()
    tap = run.watch(torch.nn.Sequential(head), module="0", layer="lm_head")
    head(torch.from_numpy(features).to(head.weight.dtype))
    point = run.checkpoint(step=1, wait=True, timeout=30)["lm_head"]
    assert tap.head is head.weight and point.c == C
    assert {"from_head", "top_outputs"} <= set(point.flags)
    x = torch.from_numpy(features).to(head.weight.dtype).double().numpy()
    want = expected(x, x @ head.weight.detach().double().numpy().T, "top")
    tolerance = TOLERANCE if dtype == "float64" else 1e-6  # R in single
    assert point.rank == want["rank"]
    assert point.d_lr == pytest.approx(want["d_lr"], abs=tolerance)


def test_a_layer_does_not_change_from_a_head_to_logits(daemon, new_run):
    features, weight = rows_of(7)
    run = new_run(raise_errors=False)
    run.observe(features, head=weight)
    run.observe(features, features @ weight.T)
    point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    assert point.n == len(features) and point.rows_missing == len(features)
    assert "partial" in point.flags


def test_a_head_that_finds_no_room_is_missed_and_said(daemon, new_run):
    features, weight = rows_of(8, n=10)
    run = new_run(queue_bytes=10_000)  # the rows take 5 kB, the triangle 17
    run.observe(features, head=weight)
    point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    assert {"from_head", "no_head"} <= set(point.flags)
    assert point.d_lr is None and point.cka_linear is None and point.rank == 0
    assert point.pr > 1 and point.rows_missing == 0 and point.n == 10
    assert run.stats.batches_dropped == 1 and run.stats.rows_dropped == 0


def test_the_first_window_decides_and_the_layer_keeps_its_rule(daemon, new_run):
    features, weight = rows_of(5, p=12, c=16)
    linear = features @ weight.T
    run = new_run()
    for step, (first, second) in enumerate([(linear, np.tanh(linear)), (np.tanh(linear), linear)]):
        run.observe(features, first, layer="a", step=step)
        run.observe(features, second, layer="b", step=step)
        points = run.checkpoint(step=step, wait=True, timeout=30)
        assert "top_outputs" in points["a"].flags
        assert "top_outputs" not in points["b"].flags
