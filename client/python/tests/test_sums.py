"""Sums on a device, here the CPU: moments of their rows, beside the same in long double."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from richd._link import wire as _wire
from richd._torch import sums as _sums
from test_moments import reference
from test_products import Coarse, d_lr, rows


def reduced(x, y, sizes, double=True, block_bytes=None):
    """The frames of INGEST.md, of rows that came in calls of so many."""
    shape = _sums.Shape(x.shape[1], y.shape[1])
    sums = _sums.Sums(shape, x.device, double)
    for a, b in zip(x.split(sizes), y.split(sizes)):
        sums.add(a, b)
    return frames_of(shape, *sums.take())


def frames_of(shape, packed, rest):
    p, c = shape.n_features, shape.n_outputs
    n, m, k, xy, yy, last = map(torch.from_numpy, shape.split(rest.numpy()))
    return [int(n), m, k, packed, xy.reshape(p, c), yy.reshape(c, c), last]


def assert_close(frames, x, y, tolerance):
    for value, want in zip(frames[1:], reference(x.double().numpy(), y.double().numpy())):
        if value.ndim < want.ndim:
            want = want[np.triu_indices(len(want))]
        assert np.abs(value.numpy() - want).max() <= tolerance * np.abs(want).max()


@pytest.mark.parametrize("double", [True, False])
@pytest.mark.parametrize("ratio", [0.0, 3.0, 1000.0])
def test_moments_are_those_of_the_rows(double, ratio, monkeypatch):
    monkeypatch.setattr(_sums, "BLOCK_BYTES", 8 * 54 * 70)  # several blocks a call
    x, y = rows(n=500, ratio=ratio)
    frames = reduced(x, y, 160, double)
    assert frames[0] == 500
    assert_close(frames, x, y, 1e-12 * max(1.0, ratio) if double else 5e-7)


@pytest.mark.parametrize("double", [True, False])
def test_a_mean_that_moves_within_a_window_costs_no_digits(double):
    x, y = rows(n=600, ratio=10.0)
    x = x + torch.linspace(0, 20, 600)[:, None]
    assert_close(reduced(x, y, 100, double), x, y, 1e-11 if double else 5e-7)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("ratio", [1.0, 1000.0])
def test_d_lr_is_right_to_1e_6_with_autocast_and_tf32_around(dtype, ratio):
    x, y = (v.to(dtype) for v in rows(ratio=ratio))
    exact = d_lr(reduced(x, y, 300, double=True)[1:])
    with Coarse(11), torch.autocast("cpu", dtype=torch.bfloat16):
        single = d_lr(reduced(x, y, 300, double=False)[1:])
        double = d_lr(reduced(x, y, 300, double=True)[1:])
    assert abs(single - exact) <= 1e-6 and double == exact


@pytest.mark.parametrize("first", [0, 30])
@pytest.mark.parametrize("double", [True, False])
def test_rows_that_are_not_finite_are_left_out(double, first):
    x, y = rows(n=300)
    x = x.half().clone()
    y = y.clone()
    good = torch.ones(300, dtype=torch.bool)
    x[first : first + 20, 3], y[250, 0] = float("inf"), float("nan")
    good[first : first + 20] = good[250] = False
    frames = reduced(x, y, 20, double)
    assert frames[0] == 279
    assert_close(frames, x[good], y[good], 1e-9 if double else 5e-7)


def test_sums_begin_again_when_they_were_taken():
    sums = _sums.Sums(_sums.Shape(48, 6), torch.device("cpu"), True)
    sums.add(*rows(n=50, seed=1))
    sums.take()
    x, y = rows(n=80, seed=2)
    sums.add(x, y)
    assert_close(frames_of(sums.shape, *sums.take()), x, y, 1e-9)


def test_window_without_a_row_that_is_finite_is_zeros():
    x, y = rows(n=5)
    frames = reduced(x * float("nan"), y, 5)
    assert frames[0] == 0 and all(torch.isfinite(f).all() for f in frames[1:])


@pytest.mark.parametrize("p", [1, 2, 255, 256, 257, 600])
def test_packed_triangle_is_the_rows_from_the_diagonal_on(p):
    matrix = torch.arange(p * p, dtype=torch.float64).reshape(p, p)
    packed = _sums.packed_triangle(matrix, torch.float64)
    assert np.array_equal(packed.numpy(), matrix.numpy()[np.triu_indices(p)])


@pytest.mark.parametrize("double", [True, False])
def test_features_alone_have_the_moments_that_they_have_beside_outputs(double):
    x, y = rows(n=500)
    sums = _sums.Sums(_sums.Shape(48, 0), x.device, double)
    sums.add(x, None)
    alone, beside = frames_of(sums.shape, *sums.take()), reduced(x, y, 500, double)
    for k in (0, 1, 3, 6):
        assert np.allclose(alone[k], beside[k], rtol=1e-9)
    assert sums.shape.travel_bytes == 4 * 48 * 49 + 8 * (48 + 49)


def test_shape_says_what_travels_and_what_fits():
    small, large = _sums.Shape(768, 768), _sums.Shape(4096, 1000)
    assert small.xx_dtype == _wire.DTYPE_F64 and large.xx_dtype == _wire.DTYPE_F32
    assert large.triangle == 4096 * 4097 // 2 and large.fits
    assert _sums.Shape(5792, 10).fits and not _sums.Shape(5793, 10).fits
    assert not _sums.Shape(10, 3000).fits
    packed, rest = _sums.Sums(_sums.Shape(9, 4), torch.device("cpu"), True).take()
    assert 8 * (len(packed) + len(rest) - 1) == _sums.Shape(9, 4).travel_bytes
