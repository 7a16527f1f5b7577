"""Parameter norms by fused operations, on the CPU in a GPU's place; and the mark that waits."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest
import torch

import richd
from richd._torch import (
    parameters as _parameters,
    parameters_device as _device,
    reported as _reported,
)
from support import wait_until

nn = torch.nn
CPU = torch.device("cpu")


def network(dtype=torch.float32):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 7, bias=False))
    model[2].weight.requires_grad_(True)
    model.register_parameter("frozen", nn.Parameter(torch.ones(9), requires_grad=False))
    return model.to(dtype)


def move(model):
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.1).add_(0.01)


@pytest.fixture
def on_gpu(monkeypatch):
    """The CPU is taken for a GPU that has room for a copy."""
    monkeypatch.setattr(_reported, "device_of", lambda model: CPU)
    monkeypatch.setattr(_reported, "has_room", lambda *_: True)


@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 26])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_values_are_those_of_double_precision(dtype, block_bytes, monkeypatch):
    monkeypatch.setattr(_device, "BLOCK_BYTES", block_bytes)
    model = network(dtype)
    exact, fused = _parameters.Parameters(model), _device.DeviceParameters(model, CPU)
    move(model)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        measured = fused.measure()()
    assert measured == pytest.approx(exact.measure(), rel=1e-6)


def test_change_is_from_the_values_that_were_given():
    model = network()
    initial = {name: 0.5 * p.detach() for name, p in model.named_parameters()}
    measured = _device.DeviceParameters(model, CPU, initial).measure()()
    assert measured["param_change"] == pytest.approx(1.0)
    with pytest.raises(ValueError, match="no parameter"):
        _device.DeviceParameters(model, CPU, {})


def test_without_room_for_a_copy_the_norm_comes_alone():
    model = network()
    measured = _device.DeviceParameters(model, CPU, with_copy=False).measure()()
    assert set(measured) == {"param_norm"}


def test_a_model_that_nobody_holds_is_let_go(daemon, on_gpu):
    model = network()
    held = weakref.ref(model[2].weight)
    run = richd.init(endpoint=daemon.address)
    run.watch(model, layer="2").remove()
    del model
    gc.collect()
    assert held() is None and run._reported.start_parameters() is None
    other = network()
    run.watch(other, layer="2")
    assert run._reported.start_parameters()()["param_change"] == 0.0
    run.finish()


def test_the_first_rank_alone_keeps_a_copy(daemon, on_gpu):
    for rank in (0, 1):
        place = {"rank": rank, "world_size": 2, "launch": "once"}
        run = richd.init(endpoint=daemon.address, run_id="r", **place)
        model = network()
        run.watch(model, layer="2")
        assert (run._reported.start_parameters() is not None) == (rank == 0)
        run.finish()


def test_parameters_that_were_replaced_are_those_of_their_names():
    model = network()
    measured = _device.DeviceParameters(model, CPU)
    model[2].weight = nn.Parameter(2 * model[2].weight.detach())
    trained = [p.detach().double() for p in model.parameters() if p.requires_grad]
    exact = sum(float(p.square().sum()) for p in trained)
    assert measured.measure()()["param_norm"] == pytest.approx(exact, rel=1e-6)
    model[2] = nn.Linear(30, 8, bias=False)
    with pytest.raises(ValueError, match="its initial value"):
        measured.measure()
    model[2] = nn.ReLU()
    with pytest.raises(ValueError, match="no parameter '2.weight' any more"):
        measured.measure()


def test_parameters_are_neither_changed_nor_given_a_gradient():
    model = network()
    before = [p.detach().clone() for p in model.parameters()]
    _device.DeviceParameters(model, CPU).measure()()
    assert all(map(torch.equal, before, model.parameters()))
    assert all(p.grad is None for p in model.parameters())


def test_the_copy_is_bounded_by_the_devices_memory(monkeypatch):
    class Properties:
        total_memory = 4 * 4 * (40 * 30 + 30 + 7 * 30)

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert _device.has_room(network(), CPU, is_asked=True)
    assert not _device.has_room(network(), CPU, is_asked=False)
    assert _device.device_of(network()) is None


def test_the_training_thread_does_not_wait_for_the_values(daemon, on_gpu, monkeypatch):
    arrived = threading.Event()
    real = _device._named
    monkeypatch.setattr(_device, "_named", lambda sums, wait: arrived.wait(10) and real(sums, wait))
    with richd.init(endpoint=daemon.address) as run:
        assert wait_until(lambda: run.attempt is not None)
        model = network()
        run.watch(model, layer="2")
        model(torch.randn(5, 40))
        began = time.monotonic()
        run.checkpoint(step=0, metrics={"ntk_distance": 0.25})
        run.log({"loss": 1.0})
        assert time.monotonic() - began < 5 and not daemon.controls("checkpoint")
        arrived.set()
        run.checkpoint(step=1, wait=True, metrics={"param_norm": 7.0})
    first, second = (m["metrics"] for m in daemon.controls("checkpoint"))
    assert set(first) == {"param_norm", "param_change", "ntk_distance"}
    assert first["ntk_distance"] == 0.25 and first["param_change"] == 0
    assert second["param_norm"] == 7.0


def test_values_that_cannot_be_had_cost_themselves(daemon, on_gpu, monkeypatch, caplog):
    def fail(*_):
        raise RuntimeError("device-side assert")

    monkeypatch.setattr(_device, "_named", fail)
    with richd.init(endpoint=daemon.address) as run:
        model = network()
        run.watch(model, layer="2")
        model(torch.randn(5, 40))
        assert "2" in run.checkpoint(step=0, wait=True)
    (mark,) = daemon.controls("checkpoint")
    assert "device-side assert" in caplog.text
    assert "metrics" not in mark and set(mark["layers"]) == {"2"}
