"""The triangle of a head's weights, its slices, and the arguments that lead to them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import richd
from richd._link import wire as _wire
from richd._torch import head_device as _head_device
from richd._torch.lane import HostLane
from richd._values import head as _head


def weights(c, p, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).normal(size=(c, p)).astype(dtype)


def same(values):
    return values


def kernel_of(packed, p):
    """R'R of a packed R."""
    r = np.zeros((p, p))
    r[np.triu_indices(p)] = packed
    return r.T @ r


@pytest.mark.parametrize("convert", [same, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize(("c", "p"), [(785, 64), (64, 64), (5, 64), (1, 1), (257, 64), (700, 600)])
def test_the_triangle_has_the_kernel_of_the_weights(convert, c, p):
    w = weights(c, p)
    r = _head.triangle(convert(w))
    assert r.shape == (p, p) and r.dtype == np.float64
    assert np.array_equal(r, np.triu(r))
    assert np.abs(r.T @ r - w.T @ w).max() <= 1e-13 * np.linalg.norm(w) ** 2
    assert not r[c:].any(), "C < p: the rest is 0"


def test_weights_with_fewer_directions_than_columns_have_a_triangle():
    w = weights(90, 20)
    w[:, 7] = w[:, 3]
    w[:, 11] = 0
    assert not _head.triangle(np.zeros((9, 4))).any()
    for weight in (w, w.astype(np.float32)):
        r = _head.triangle(weight).astype(float)
        exact = weight.astype(float).T @ weight
        assert np.abs(r.T @ r - exact).max() <= 1e-6 * np.linalg.norm(exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_lower_precision_is_decomposed_in_single(dtype):
    w = torch.from_numpy(weights(785, 64)).to(dtype)
    r = _head.triangle(w)
    exact = w.double().numpy()
    assert r.dtype == np.float32
    error = np.abs(r.astype(float).T @ r - exact.T @ exact).max()
    assert error <= 1e-6 * np.linalg.norm(exact, 2) ** 2


def test_the_format_of_half_precision_weights_is_known():
    w = weights(3, 2)
    assert _head.weights_dtype_of(torch.from_numpy(w).bfloat16()) == _wire.DTYPE_BF16
    assert _head.weights_dtype_of(torch.from_numpy(w).half()) == _wire.DTYPE_F16
    assert _head.weights_dtype_of(w.astype(np.float16)) == _wire.DTYPE_F16
    assert _head.weights_dtype_of(torch.from_numpy(w)) == _wire.DTYPE_NONE
    assert _head.weights_dtype_of(w.tolist()) == _wire.DTYPE_NONE


def test_weights_that_are_not_finite_are_refused():
    w = weights(20, 5)
    w[3, 2] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        _head.triangle(w)


@pytest.mark.parametrize(("c", "p"), [(785, 64), (5, 64), (1, 1)])
def test_a_triangle_that_leaves_its_device_has_the_same_kernel(c, p):
    w = weights(c, p, np.float32)
    packed, wait = _head_device.start(torch.from_numpy(w), HostLane())
    wait()
    exact = w.astype(float).T @ w
    assert np.abs(kernel_of(packed, p) - exact).max() <= 1e-6 * np.linalg.norm(exact)


def test_weights_on_a_device_are_found_not_finite_when_they_arrive():
    w = torch.from_numpy(weights(20, 5))
    w[3, 2] = float("nan")
    _, wait = _head_device.start(w, HostLane())
    with pytest.raises(ValueError, match="not finite"):
        wait()


def test_a_head_on_a_gpu_is_sent_when_its_triangle_has_arrived(daemon, monkeypatch):
    monkeypatch.setattr("richd._values.intake.Intake._lane_of", lambda self, weight: HostLane())
    w = torch.from_numpy(weights(90, 40, np.float32))
    with richd.init(endpoint=daemon.address) as run:
        run.observe(torch.randn(8, 40), head=w, step=1)
        run.checkpoint(step=1, wait=True)
    (_, header, _, (frame,)) = daemon.batches()[-1]
    assert (header.kind, header.n_rows, header.features_dtype) == (3, 40, _wire.DTYPE_F32)
    own, _ = _head_device.start(w, HostLane())
    assert np.array_equal(np.frombuffer(frame, np.float32), own)


@pytest.mark.parametrize("bytes_max", [1, 40, 100, 1 << 20])
def test_slices_hold_the_triangle_in_order(bytes_max):
    r = np.triu(weights(9, 9))
    parts = list(_head.slices(_head.packed(r), 9, bytes_max))
    assert [first for first, _, _ in parts] == list(np.cumsum([0] + [n for _, n, _ in parts])[:-1])
    assert sum(n for _, n, _ in parts) == 9
    assert np.array_equal(np.concatenate([v for _, _, v in parts]), r[np.triu_indices(9)])
    assert all(v.nbytes <= bytes_max or n == 1 for _, n, v in parts)


def test_only_wide_linear_modules_are_heads_by_themselves():
    run = richd.init(mode="disabled")
    wide, narrow = torch.nn.Linear(4, 4), torch.nn.Linear(4, 3)
    cases = [(wide, "auto", True), (narrow, "auto", False), (narrow, "head", True)]
    cases += [(wide, "outputs", False), (torch.nn.Sequential(wide), "auto", False)]
    from richd._torch.choice import Choice
    from richd._torch.watch import Tap

    for module, choice, is_head in cases:
        tap = Tap(run, "head", Choice())
        tap.attach(module, choice)
        assert (tap.head is not None) == is_head
        tap.remove()
    with pytest.raises(ValueError, match="Sequential"):
        Tap(run, "head", Choice()).attach(torch.nn.Sequential(wide), "head")


def test_a_weight_that_is_made_of_others_is_not_looked_at(run):
    """Each look at one with spectral_norm makes it anew, by one more step of an iteration."""
    from torch.nn.utils import parametrizations

    def trained(watch):
        torch.manual_seed(0)
        model = parametrizations.spectral_norm(torch.nn.Linear(4, 6))
        watch(model)
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        for _ in range(5):
            model(torch.ones(8, 4)).square().sum().backward()
            optimizer.step()
        return model.weight.detach()

    taps = []
    watched = trained(lambda model: taps.append(run.watch(model, "head", module=model)))
    assert taps[0].batches == 5 and taps[0].head is None
    assert torch.equal(watched, trained(lambda model: None))


def test_a_head_that_cannot_be_sent_does_not_hold_up_the_others(daemon, run, caplog):
    broken = np.full((6, 4), np.nan)
    for layer, weight in (("a", broken), ("b", weights(6, 4))):
        run.observe(weights(10, 4), head=weight, layer=layer, step=1)
    run.checkpoint(step=1, wait=True)
    assert [name for _, header, name, _ in daemon.batches() if header.kind == 3] == ["b"]
    assert "the head of a is left out" in caplog.text and "not finite" in caplog.text


@pytest.mark.parametrize(
    "projector",
    ["pls", {"k": 3}, {"kind": "top", "energy": 0}, {"kind": "top", "energy": 1.5},
     {"kind": "ridge", "lambda": 0}, {"kind": "top", "k": -1}, {"kind": "top", "share": 0.9},
     {"kind": "ridge", "lambda": float("nan")}],
)
def test_a_malformed_projector_is_found_at_once(projector):
    with pytest.raises(ValueError, match="projector"):
        richd.init(mode="disabled", projector=projector)


def test_outputs_and_head_exclude_each_other(daemon):
    run = richd.init(endpoint=daemon.address, raise_errors=True)
    features, weight = weights(10, 4), weights(6, 4)
    for outputs, head in ((None, None), (features @ weight.T, weight)):
        with pytest.raises(ValueError, match="outputs"):
            run.observe(features, outputs, head=head)
    with pytest.raises(ValueError, match="the head takes 3"):
        run.observe(features, head=weights(6, 3))
    with pytest.raises(_wire.WireError, match="n_outputs"):
        run.observe(features, np.zeros((10, 16385), dtype=np.float32))
    run.finish()
