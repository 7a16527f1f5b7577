"""Products of rows beside the same in double, with TF32 and autocast around them."""

from __future__ import annotations

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from richd._torch import products as _products


class Coarse(TorchDispatchMode):
    """Rounds the factors of float32 products to `bits`, as tensor cores do: 11 is TF32, 8 bf16."""

    def __init__(self, bits):
        super().__init__()
        self.drop = 24 - bits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm):
            args = [self._round(a) for a in args]
        return func(*args, **(kwargs or {}))

    def _round(self, value):
        if not isinstance(value, torch.Tensor) or value.dtype != torch.float32:
            return value
        bits = value.clone().view(torch.int32) + (1 << (self.drop - 1))
        return (bits & -(1 << self.drop)).view(torch.float32)


def rows(n=2000, p=48, c=6, ratio=1000.0, seed=0):
    """Features with a mean of `ratio` standard deviations, and a linear head's outputs."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, p, generator=generator) @ torch.randn(p, p, generator=generator)
    x = x / x.std() + ratio
    return x, (x - ratio) @ torch.randn(p, c, generator=generator)


def d_lr(frames):
    """1 - tr(xy yy^-1 xy') / (sqrt r |xx|), the measure of FEED.md against the span."""
    xx, xy, yy = (torch.as_tensor(frames[k], dtype=torch.float64) for k in (2, 3, 4))
    whole = xx if xx.ndim == 2 else unpacked(xx, xy.shape[0])
    return float(1 - torch.trace(torch.linalg.solve(yy, xy.T @ xy)) / len(yy) ** 0.5 / whole.norm())


def unpacked(values, p):
    whole = torch.zeros(p, p, dtype=torch.float64)
    whole[tuple(torch.triu_indices(p, p))] = values
    return whole + whole.triu(1).T


@pytest.mark.parametrize("bits", [24, 11])
@pytest.mark.parametrize("ratio", [0.0, 1.0, 1000.0])
def test_float32_products_are_those_of_float32_with_tf32_around_them(bits, ratio):
    x, _ = rows(ratio=ratio)
    z = x.double() - x.double().mean(0)
    with Coarse(bits) if bits < 24 else torch.no_grad():
        gram = _products.gram_single(z)
    exact = z.T @ z
    # A float32 sum of 512 rows, one after the other, is off by 2e-7 on average (2e-7 to 6e-7 seen).
    assert (gram - exact).abs().max() <= 1e-6 * exact.abs().max()


def test_tf32_would_be_seen_in_plain_products():
    x, _ = rows()
    z = (x.double() - x.double().mean(0)).float()
    with Coarse(11):
        plain = z.T @ z
    exact = z.double().T @ z.double()
    assert (plain - exact).abs().max() > 1e-5 * exact.abs().max()


def test_autocast_is_off_inside_and_on_again_outside():
    x = torch.ones(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with _products.as_written(x.device):
            assert (x @ x).dtype == torch.float32
        assert (x @ x).dtype == torch.bfloat16


def test_no_switch_of_the_trainer_is_set(monkeypatch):
    monkeypatch.setattr(torch, "set_float32_matmul_precision", None)
    before = torch.get_float32_matmul_precision()
    with _products.as_written(torch.device("cpu")):
        _products.gram_single(rows(n=600)[0].double())
    assert torch.get_float32_matmul_precision() == before
