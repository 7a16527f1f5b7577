"""The statistics against their definition in long double, and any split of the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from richd import Moments
from richd._link import wire as _wire


def data(n=300, p=7, c=4, mean=3.0, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) @ rng.normal(size=(p, p)) + mean
    return x, x[:, :c] + 0.1 * rng.normal(size=(n, c))


def reference(x, y):
    """The six frames by the definition of INGEST.md, in long double."""
    x, y = x.astype(np.longdouble), y.astype(np.longdouble)
    m, k = x.mean(0), y.mean(0)
    x, y = x - m, y - k
    s = (x * x).sum(1)
    return [m, k, x.T @ x, x.T @ y, y.T @ y, np.concatenate(([(s * s).sum()], s @ x))]


def assert_close(moments, expected, tolerance):
    frames, _ = moments.frames()
    for frame, want in zip(frames, expected):
        if frame.ndim < want.ndim:  # X'X: its upper triangle travels
            want = want[np.triu_indices(len(want))]
        scale = np.abs(want).max()
        assert np.abs(frame - want).max() <= tolerance * scale


def test_frames_are_what_the_protocol_defines():
    x, y = data()
    moments = Moments().update(x, y)
    assert moments.rows == 300
    frames, code = moments.frames()
    assert code == _wire.DTYPE_F64 and [f.shape for f in frames] == [
        (7,),
        (4,),
        (28,),
        (7, 4),
        (4, 4),
        (8,),
    ]
    assert_close(moments, reference(x, y), 1e-12)


@pytest.mark.parametrize("cuts", [[1, 2, 3], [150], [299], list(range(1, 300))])
def test_any_split_gives_the_moments_of_the_whole(cuts):
    x, y = data()
    merged = Moments()
    for a, b in zip(np.split(x, cuts), np.split(y, cuts)):
        merged = merged + Moments().update(a, b)
    assert merged.rows == 300
    assert_close(merged, reference(x, y), 1e-11)


def test_order_of_merging_does_not_matter():
    parts = [Moments().update(*data(n, mean=seed, seed=seed)) for seed, n in enumerate((5, 80, 2))]
    forth, back = parts[0] + parts[1] + parts[2], parts[2] + (parts[1] + parts[0])
    assert_close(forth, back.frames()[0], 1e-12)


def test_merging_leaves_its_terms_unchanged():
    a, b = Moments().update(*data(20, seed=1)), Moments().update(*data(30, seed=2))
    before = [frame.copy() for frame in a.frames()[0]]
    _ = a + b
    a_again = a + Moments()
    assert a.rows == 20 and a_again.rows == 20
    assert_close(a, before, 0.0)


def test_blocks_of_a_large_update_merge(monkeypatch):
    monkeypatch.setattr("richd._values.moments._BLOCK_ROWS", 37)
    x, y = data()
    assert_close(Moments().update(x, y), reference(x, y), 1e-11)


@pytest.mark.parametrize("mean", [0.0, 1e3, 1e6])
def test_a_large_mean_costs_no_digits(mean):
    x, y = data(mean=mean)
    assert_close(Moments().update(x, y), reference(x, y), 1e-15 * max(1e3, mean))


def test_single_precision_is_good_to_1e_6():
    x, y = data()
    assert_close(Moments("single").update(x, y), reference(x, y), 1e-6)


def test_torch_and_numpy_agree():
    x, y = data()
    moments = Moments().update(torch.tensor(x), torch.tensor(y, requires_grad=True))
    assert_close(moments, reference(x, y), 1e-12)


@pytest.mark.parametrize(
    ("dtype", "code"), [(torch.float16, _wire.DTYPE_F16), (torch.bfloat16, _wire.DTYPE_BF16)]
)
def test_half_precision_rows_are_reduced_in_double_and_remembered(dtype, code):
    x, y = (torch.tensor(v).to(dtype) for v in data())
    moments = Moments().update(x, y)
    assert moments.outputs_dtype == code
    assert_close(moments, reference(x.double().numpy(), y.double().numpy()), 1e-12)


def test_coarsest_outputs_decide_the_dtype():
    x, y = data(10)
    both = Moments().update(x, y) + Moments().update(x, y.astype(np.float32))
    assert both.outputs_dtype == _wire.DTYPE_F32


def test_rows_that_do_not_match_are_refused():
    x, y = data(10)
    with pytest.raises(ValueError, match="10 rows of features beside 9"):
        Moments().update(x, y[:9])
    with pytest.raises(ValueError, match="do not merge"):
        Moments().update(x, y).update(x[:, :3], y)
    with pytest.raises(ValueError, match="precision"):
        Moments("half")


def test_clear_forgets_everything():
    moments = Moments().update(*data(10))
    moments.clear()
    x, y = data(20, p=3, c=2, seed=5)
    assert_close(moments.update(x, y), reference(x, y), 1e-12)
