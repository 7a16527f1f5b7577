"""Taps on torch modules."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

import richd
from richd._link import wire as _wire


nn = torch.nn


class Net(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.body = nn.Linear(5, 4)
        self.head = nn.Linear(4, 3, bias=bias)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


class Functional(Net):
    def forward(self, x):
        return nn.functional.linear(torch.relu(self.body(x)), self.head.weight, self.head.bias)


def taken(daemon, run):
    """Each batch as (header, features, outputs)."""
    run.checkpoint(step=9, wait=True)
    return [
        (
            h,
            np.frombuffer(frames[0], np.float32).reshape(h.n_rows, -1),
            np.frombuffer(frames[1], np.float32).reshape(h.n_rows, -1),
        )
        for _, h, _, frames in daemon.batches()
    ]


@pytest.mark.parametrize("bias", [True, False])
def test_hook_takes_the_input_and_the_output_of_the_module(daemon, run, bias):
    torch.manual_seed(0)
    model = Net(bias)
    tap = run.watch(model, layer="head")
    run.log({"x": 0}, step=4)
    x = torch.randn(6, 5)
    y = model(x)
    y.sum().backward()
    ((header, features, outputs),) = taken(daemon, run)
    assert header.step == 4 and tap.batches == tap.calls == 1
    assert np.allclose(features, torch.relu(model.body(x)).detach())
    assert np.allclose(outputs, y.detach())


def test_nested_modules_are_found_by_their_path(daemon, run):
    outer = nn.Sequential(nn.Identity(), Net())
    run.watch(outer, layer="1.head")
    run.watch(outer, layer="renamed", module="1.body")
    run.watch(outer, layer="itself", module=outer[1].head)
    outer(torch.randn(2, 5))
    run.checkpoint(step=1, wait=True)
    assert {name for _, _, name, _ in daemon.batches()} == {"1.head", "renamed", "itself"}


def test_unknown_module_is_a_warning_that_lists_the_linear_ones(run, caplog):
    run.watch(Net(), layer="fc")
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "'fc'" in record.getMessage() and "'body', 'head'" in record.getMessage()


def test_sequences_become_rows_or_their_last_token(daemon, run):
    model = Net()
    run.watch(model, layer="head")
    run.watch(model, layer="last", module="head", position="last")
    x = torch.randn(2, 7, 5)
    y = model(x).detach()
    all_rows, last = taken(daemon, run)
    batches = {name: h for _, h, name, _ in daemon.batches()}
    assert batches["head"].n_rows == 14 and batches["last"].n_rows == 2
    assert np.allclose(all_rows[2], y.reshape(14, 3)) and np.allclose(last[2], y[:, -1])


def test_rows_every_and_train_only_thin_out(daemon, run):
    model = Net()
    tap = run.watch(model, layer="head", rows=10, every=3, train_only=True)
    for _ in range(7):
        model(torch.randn(100, 5))
    model.eval()
    model(torch.randn(100, 5))
    batches = taken(daemon, run)
    assert [h.n_rows for h, _, _ in batches] == [10, 10, 10]
    assert tap.calls == 7 and tap.batches == 3
    weight, bias = model.head.weight.detach().numpy(), model.head.bias.detach().numpy()
    for _, features, outputs in batches:  # the same rows of both
        assert np.allclose(features @ weight.T + bias, outputs, atol=1e-5)


def test_rows_of_eval_mode_are_a_layer_of_their_own(daemon, run):
    model = Net()
    run.watch(model, layer="head", rows="all")
    run.watch(model, layer="both", module="head", splits=False, rows="all")
    run.watch(model, layers="body", outputs="head", rows="all")
    for rows, training in ((4, True), (5, False)):
        model.train(training)
        model(torch.randn(rows, 5))
    run.observe(np.ones((6, 4)), np.ones((6, 3)), split="eval")
    run.observe(np.ones((7, 4)), np.ones((7, 3)), split="train")
    run.checkpoint(step=0, wait=True)
    assert sorted((name, h.n_rows) for _, h, name, _ in daemon.batches()) == [
        *(("body", 4), ("body@eval", 5), ("both", 4), ("both", 5)),
        *(("head", 4), ("head", 7), ("head@eval", 5), ("head@eval", 6)),
    ]


def test_options_that_mean_nothing_are_one_warning(run, caplog):
    tap = run.watch(Net(), layer="head", every=0)
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert "every and rows are at least 1" in record.getMessage() and tap.calls == 0


def test_tap_that_never_saw_a_batch_warns_once(run, caplog):
    model = Functional()
    run.watch(model, layer="head")
    model(torch.randn(2, 5))
    run.observe(np.ones((2, 2)), np.ones((2, 2)), layer="other")
    run.checkpoint(step=0)
    run.checkpoint(step=1)
    run.finish()
    warned = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 1 and "no batch was seen at head" in warned[0]


def test_removed_tap_takes_nothing(daemon, run):
    model = Net()
    tap = run.watch(model, layer="head")
    tap.remove()
    tap.remove()
    model(torch.randn(2, 5))
    assert taken(daemon, run) == []


def test_removed_tap_that_never_saw_a_batch_does_not_warn(run, caplog):
    run.watch(Net(), layer="head").remove()  # for its parameters alone
    run.watch(Net(), layers="body").remove()
    run.observe(np.ones((2, 2)), np.ones((2, 2)), layer="other")
    run.checkpoint(step=0)
    run.finish()
    assert not [r for r in caplog.records if r.levelno == logging.WARNING]


def test_finish_takes_the_hooks_off(run):
    model = Net()
    run.watch(model, layer="head")
    run.finish()
    assert not model.head._forward_hooks


def test_hook_never_raises_into_the_forward_pass(run, caplog):
    class Odd(nn.Module):
        def forward(self, x):
            return "no tensor"

    odd = Odd()
    run.watch(odd, layer="head", module="")
    assert odd(torch.ones(1)) == "no tensor" and odd(torch.ones(1)) == "no tensor"
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1


def test_modules_that_return_tuples_are_read_at_the_first_tensor(daemon, run):
    class Pair(Net):
        def forward(self, x):
            return super().forward(x), {"aux": 1}

    model = nn.Sequential(Pair())
    run.watch(model, layer="0")
    model(torch.randn(3, 5))
    ((header, _, _),) = taken(daemon, run)
    assert (header.n_features, header.n_outputs) == (5, 3)


def test_torchs_generator_is_left_alone(run):
    model = Net()
    run.watch(model, layer="head", rows=3)
    x = torch.randn(50, 5)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    model(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_hook_of_torch_2_is_read_with_its_keywords(daemon, run):
    model = Net()
    tap = run.watch(model, layer="head")
    x = torch.randn(3, 4)
    tap._on_forward(model.head, (), {"input": x}, model.body(torch.randn(3, 5))[:, :3])
    ((header, features, _),) = taken(daemon, run)
    assert header.n_outputs == 3 and np.array_equal(features, x.numpy())


def test_hook_is_hidden_from_compilers_where_torch_has_them(run, monkeypatch):
    hidden = []
    compiler = type("compiler", (), {"disable": staticmethod(lambda f: hidden.append(f) or f)})
    monkeypatch.setattr(torch, "compiler", compiler, raising=False)
    tap = run.watch(Net(), layer="head")
    assert [hook.__wrapped__ for hook in hidden] == [tap._on_forward]


class Blocks(nn.Module):
    """Two blocks of different width, and a head."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 6))
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.blocks(x))


def taken_layers(daemon, run):
    """The only data message: layer -> its features, and the outputs they share."""
    run.checkpoint(step=9, wait=True)
    ((_, header, layer, frames),) = daemon.batches()
    layers = {}
    while True:
        layers[layer] = np.frombuffer(frames[0], np.float32).reshape(header.n_rows, -1)
        if header.n_more == 0:
            break
        header, layer, frames = _wire.Header.decode(frames[1]), frames[2].decode(), frames[3:]
    (outputs,) = frames[1:]
    return layers, np.frombuffer(outputs, np.float32).reshape(header.n_rows, header.n_outputs)


def test_layers_share_one_message_and_the_final_outputs(daemon, run):
    model, x = Blocks(), torch.randn(4, 5)
    tap = run.watch(model, layers="blocks.*", outputs="head")
    y = model(x)
    layers, outputs = taken_layers(daemon, run)
    assert tap.layers == ("blocks.0", "blocks.1") == tuple(layers)
    first = model.blocks[0](x).detach()
    assert np.array_equal(layers["blocks.0"], first.numpy())
    assert np.array_equal(layers["blocks.1"], model.blocks[1](first).detach().numpy())
    assert np.array_equal(outputs, y.detach().numpy())


def test_the_model_gives_the_outputs_when_none_are_named(daemon, run):
    model = Blocks()
    run.watch(model, layers=["blocks.1"], rows=2)
    model(torch.randn(4, 5))
    layers, outputs = taken_layers(daemon, run)
    assert layers["blocks.1"].shape == (2, 6)
    assert outputs.shape == (2, 3)


def test_a_pattern_without_a_module_is_named(daemon):
    with richd.init(endpoint=daemon.address, raise_errors=True) as run:
        with pytest.raises(ValueError, match=r"no module 'block\.\*'; it has blocks"):
            run.watch(Blocks(), layers="block.*")


def test_convolutions_are_flattened_to_the_rows_of_the_outputs(daemon, run):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 4 * 4, 3))
    run.watch(model, layers=["0"])
    model(torch.randn(5, 1, 6, 6))
    layers, _ = taken_layers(daemon, run)
    assert layers["0"].shape == (5, 2 * 4 * 4)


def test_removed_taps_take_no_more(daemon, run):
    model = Blocks()
    tap = run.watch(model, layers="blocks.*")
    model(torch.randn(4, 5))
    tap.remove()
    model(torch.randn(4, 5))
    taken_layers(daemon, run)
    assert tap.calls == tap.batches == 1
