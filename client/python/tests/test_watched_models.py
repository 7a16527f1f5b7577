"""What people do to a model that is watched: copy it, save it, run it in pieces and in threads."""

from __future__ import annotations

import copy
import gc
import io
import pickle
import re
import threading
import types
import weakref

import numpy as np
import pytest
import torch

import richd
from richd._link import wire as _wire
from richd._torch import choice as _choice

nn = torch.nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, 4)
        self.act = nn.ReLU()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.act(self.body(x)))


def layers_of(daemon, run):
    """Each message's layers: name -> its features."""
    run.checkpoint(step=9, wait=True)
    messages = []
    for _, header, layer, frames in daemon.batches():
        layers = {}
        while True:
            rows = np.frombuffer(frames[0], np.float32).reshape(header.n_rows, -1)
            layers[layer] = rows
            if header.n_more == 0:
                break
            header, layer = _wire.Header.decode(frames[1]), frames[2].decode()
            frames = frames[3:]
        messages.append(layers)
    return messages


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "richd"]


# ---- copies --------------------------------------------------------------------------------------


def through_torch_save(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)  # a model, and not its state


COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": through_torch_save,
    "AveragedModel": lambda model: torch.optim.swa_utils.AveragedModel(model).module,
}


@pytest.mark.parametrize("how", COPIES)
@pytest.mark.parametrize("options", [{"layer": "head"}, {"layers": "*", "outputs": "head"}])
def test_a_copy_of_a_watched_model_works_and_feeds_nothing(daemon, run, how, options):
    model = Net()
    tap = run.watch(model, **options)
    twin, x = COPIES[how](model), torch.randn(6, 5)
    assert torch.equal(twin(x), model(x)) and tap.calls == 1
    model.zero_grad()
    twin(x).sum().backward()
    assert len(layers_of(daemon, run)) == 1


def test_a_saved_model_opens_where_richd_is_not_installed(run):
    model = Net()
    run.watch(model, layer="head")
    assert b"richd" not in pickle.dumps(list(model.head._forward_hooks.values()))


def test_run_and_tap_can_be_copied_and_their_copies_do_nothing(daemon, run, caplog):
    model = Net()
    tap = run.watch(model, layer="head")
    stack = run.watch(model, layers="body")
    handles = (run, tap, stack)
    for twin, one, two in (copy.deepcopy(handles), pickle.loads(pickle.dumps(handles))):
        assert (twin.id, twin.name, twin.project) == (run.id, run.name, run.project)
        twin.observe(np.ones((2, 2)), np.ones((2, 2)))
        twin.log({"x": 1})
        assert twin.checkpoint(step=1, wait=True) == {}
        one.remove()
        two.remove()
        twin.finish()
    model(torch.randn(2, 5))
    assert tap.is_on and tap.calls == stack.calls == 1
    assert not warnings_of(caplog)


def test_scripting_a_watched_model_says_what_to_do(run):
    model = Net()
    tap = run.watch(model, layer="head")
    with pytest.raises(RuntimeError, match=r"tap\.remove\(\) before torch\.jit\.script"):
        torch.jit.script(model)
    tap.remove()
    torch.jit.script(model)


# ---- passes --------------------------------------------------------------------------------------


def test_what_follows_in_place_does_not_change_what_is_sent(daemon, run):
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3))
    run.watch(model, layers=["0"])
    x = torch.randn(6, 5)
    expected = nn.functional.linear(x, model[0].weight, model[0].bias).detach()
    model(x)
    (layers,) = layers_of(daemon, run)
    assert np.array_equal(layers["0"], expected.numpy())


def test_an_evaluation_that_is_not_wanted_keeps_nothing(run):
    model = Net()
    tap = run.watch(model, layers="*", train_only=True)
    kept = []
    model.head.register_forward_pre_hook(lambda *_: kept.append(tap._now.current))
    model.eval()(torch.randn(6, 5))
    model.train()
    with torch.no_grad():
        model(torch.randn(6, 5))
    model(torch.randn(6, 5))
    assert kept[:2] == [None, None] and kept[2] is not None
    assert tap._now.current is None and tap.calls == 1


def test_rows_without_gradients_are_those_of_an_evaluation(daemon, run):
    model = Net()
    run.watch(model, layer="head", rows="all")
    run.watch(model, layers="body", rows="all")
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            model(torch.randn(5, 5))
    model(torch.randn(4, 5))
    messages = layers_of(daemon, run)
    names = [(name, len(rows)) for layers in messages for name, rows in layers.items()]
    expected = 2 * [("head@eval", 5), ("body@eval", 5)] + [("head", 4), ("body", 4)]
    assert sorted(names) == sorted(expected)


def test_a_pass_that_fails_half_way_leaves_nothing_to_the_next(daemon, run):
    model = Net()
    run.watch(model, layers="*", outputs="head")
    with pytest.raises(RuntimeError):
        model.act.register_forward_hook(lambda *_: 1 / 0 if len(_[2]) == 3 else None)
        try:
            model(torch.randn(3, 5))
        except ZeroDivisionError as error:
            raise RuntimeError from error
    model(torch.randn(4, 5))
    (layers,) = layers_of(daemon, run)
    assert {name: len(rows) for name, rows in layers.items()} == {"body": 4, "act": 4, "head": 4}


def test_each_thread_has_passes_of_its_own(daemon, run):
    class Slow(Net):
        def forward(self, x):
            h = self.body(x)
            together.wait()
            h = self.head(self.act(h))
            together.wait()
            return h

    model, together = Slow(), threading.Barrier(2)
    run.watch(model, layers=["body"], outputs="head", rows="all")
    inputs = [torch.full((3 + i, 5), float(i)) for i in range(2)]
    threads = [threading.Thread(target=model, args=(x,)) for x in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    by_size = {len(layers["body"]): layers["body"] for layers in layers_of(daemon, run)}
    for x in inputs:
        expected = nn.functional.linear(x, model.body.weight, model.body.bias).detach()
        assert np.array_equal(by_size[len(x)], expected.numpy())


def test_a_module_called_twice_is_two_calls(daemon, run):
    class Twice(Net):
        def forward(self, x):
            h = self.act(self.body(x))
            return self.head(self.act(h - 0.1))

    model, x = Twice(), torch.randn(6, 5)
    run.watch(model, layers=["act", "body"])
    model(x)
    first, second = layers_of(daemon, run)
    h = torch.relu(model.body(x)).detach()
    assert set(first) == {"act", "body"} and np.array_equal(first["act"], h.numpy())
    assert set(second) == {"act"} and np.array_equal(second["act"], torch.relu(h - 0.1).numpy())


def test_parts_of_a_model_that_are_called_one_by_one_are_a_pass(daemon, run):
    model, x = Net(), torch.randn(6, 5)
    tap = run.watch(model, layers=["body"], outputs="head", rows="all")
    for _ in range(2):
        model.body(x)  # never reaches the outputs
        model.head(model.act(model.body(x)))
    assert tap.calls == 2
    assert [len(layers["body"]) for layers in layers_of(daemon, run)] == [6, 6]


def test_a_recomputation_for_the_gradient_is_no_pass(daemon, run):
    from torch.utils.checkpoint import checkpoint

    class Recomputed(Net):
        def forward(self, x):
            return self.head(checkpoint(self.body, x))

    model = Recomputed()
    tap = run.watch(model, layers=["body"], train_only=True, rows="all")
    for _ in range(2):
        model(torch.randn(6, 5, requires_grad=True)).sum().backward()
    assert tap.calls == 2
    assert [set(layers) for layers in layers_of(daemon, run)] == 2 * [{"body"}]


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("reduce", ["rows", "device"])
def test_a_layer_that_runs_again_for_its_gradient_counts_once(daemon, run, reentrant, reduce):
    """A reentrant checkpoint's first pass has no gradient, and counts as an evaluation."""
    model = Net()
    run.watch(model, layer="head", reduce=reduce)
    for _ in range(2):
        x = torch.randn(6, 5, requires_grad=True)
        part = torch.utils.checkpoint.checkpoint(model, x, use_reentrant=reentrant)
        part.sum().backward()
    run.checkpoint(step=0, wait=True)
    assert sum(h.n_rows for _, h, name, _ in daemon.batches() if name == "head") == 12


def test_a_pass_keeps_no_more_than_its_share(daemon, run, monkeypatch):
    monkeypatch.setattr(_choice, "PASS_BYTES_MAX", 100 * (4 + 4 + 3) * 4)
    model = Net()
    run.watch(model, layers=["body", "act"], rows="all")
    for _ in range(3):
        model(torch.randn(1000, 5))
    sizes = [{len(rows) for rows in layers.values()} for layers in layers_of(daemon, run)]
    assert sizes[1:] == [{100}, {100}] and max(sizes[0]) <= 138


@pytest.mark.parametrize("rows", [None, 4])
def test_tokens_are_rows_where_the_outputs_have_tokens(daemon, run, rows):
    model = Net()
    run.watch(model, layers=["body"], rows=rows)
    for _ in range(2):
        model(torch.randn(2, 7, 5))
    assert [layers["body"].shape for layers in layers_of(daemon, run)] == 2 * [(rows or 14, 4)]


@pytest.mark.parametrize("rows", [None, 2])
def test_samples_are_rows_where_the_outputs_have_none(daemon, run, rows):
    class Pooled(Net):
        def forward(self, x):
            return self.head(self.act(self.body(x)).mean(1))

    model = Pooled()
    run.watch(model, layers=["body"], rows=rows)
    for _ in range(3):
        model(torch.randn(3, 7, 5))
    shapes = [layers["body"].shape for layers in layers_of(daemon, run)]
    assert shapes == (3 * [(3, 28)] if rows is None else 2 * [(2, 28)])


# ---- what is found -------------------------------------------------------------------------------


def encoder(n):
    def block():
        return nn.ModuleDict({"mix": nn.Linear(5, 5), "norm": nn.LayerNorm(5)})

    return nn.ModuleDict({"blocks": nn.ModuleList([block() for _ in range(n)])})


def test_a_star_stays_within_a_name_and_two_stars_cross(run):
    model = encoder(3)
    assert run.watch(model, layers="blocks.*").layers == ("blocks.0", "blocks.1", "blocks.2")
    assert run.watch(model, layers="blocks.*.mix").layers[-1] == "blocks.2.mix"
    assert len(run.watch(model, layers="blocks.**").layers) == 10
    assert run.watch(model, layers="**.norm").layers == tuple(f"blocks.{i}.norm" for i in range(3))


def test_too_many_layers_are_counted_by_kind(run, caplog):
    tap = run.watch(encoder(40), layers="**")
    (text,) = warnings_of(caplog)
    assert "121 modules match" in text and "40 Linear" in text and not tap.is_on


def test_a_linear_layer_that_computes_something_else_sends_its_outputs(daemon, run):
    class Adapted(nn.Linear):
        def forward(self, x):
            return super().forward(x) * 2

    patched = nn.Linear(4, 9)
    patched.forward = types.MethodType(lambda self, x: nn.Linear.forward(self, x) + 1, patched)
    for layer, module in (("own", Adapted(4, 9)), ("patched", patched), ("plain", nn.Linear(4, 9))):
        assert (run.watch(module, layer=layer, module="").head is not None) == (layer == "plain")


class Answer(dict):
    """As the outputs of Hugging Face's models are: a mapping with attributes."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize("shape", ["mapping", "nested", "tuple"])
def test_logits_are_found_in_what_a_model_returns(daemon, run, shape, caplog):
    class Wrapped(Net):
        def forward(self, x):
            logits = super().forward(x)
            loss = logits.mean()
            if shape == "tuple":
                return loss, logits
            inner = Answer(loss=loss, hidden=x, logits=logits)
            return inner if shape == "mapping" else {"model": [inner]}

    model = Wrapped()
    run.watch(model, layers=["act"])
    model(torch.randn(6, 5))
    run.checkpoint(step=9, wait=True)
    ((_, header, _, _),) = daemon.batches()
    assert header.n_outputs == 3 and not warnings_of(caplog)


def test_outputs_that_had_to_be_guessed_are_named_once(daemon, run, caplog):
    class Two(Net):
        def forward(self, x):
            return super().forward(x), x

    model = Two()
    run.watch(model, layers=["act"])
    for _ in range(2):
        model(torch.randn(6, 5))
    (text,) = warnings_of(caplog)
    assert "richd takes 0 of shape (6, 3), not 1" in text


def test_a_layer_that_does_not_fit_costs_itself(daemon, run, caplog):
    class Shrinking(Net):
        def forward(self, x):
            return self.head(self.act(self.body(x)[::2]))

    model = Shrinking()
    run.watch(model, layers=["body", "act"], rows="all")
    for _ in range(2):
        model(torch.randn(6, 5))
    wide = {"act": np.ones((3, 4)), "wide": np.ones((3, _wire.FEATURES_MAX + 1))}
    run.observe_layers(wide, np.ones((3, 3)))
    assert [set(layers) for layers in layers_of(daemon, run)] == 3 * [{"act"}]
    first, second = warnings_of(caplog)
    assert "body gives (6, 4)" in first and "layer wide is left out: 65537 features" in second


# ---- one name, one module ------------------------------------------------------------------------


def rows_by_layer(daemon, run):
    return [(k, len(v)) for layers in layers_of(daemon, run) for k, v in layers.items()]


def test_a_second_model_cannot_take_the_name_of_a_layer(daemon, run, caplog):
    first, second = Net(), Net()
    tap, refused = run.watch(first, layer="head"), run.watch(second, layer="head")
    stack = run.watch(second, layers=["body", "head"])
    first(torch.randn(4, 5))
    second(torch.randn(5, 5))
    assert rows_by_layer(daemon, run) == [("head", 4)]
    assert tap.is_on and not refused.is_on and not stack.is_on
    (text,) = warnings_of(caplog)
    assert "head is another module's" in text and "layer=" in text and "remove()" in text


def test_a_model_that_is_watched_again_is_not_counted_twice(daemon, run, caplog):
    model = Net()
    old = run.watch(model, layer="head")
    new = run.watch(model, layer="head", rows=3)
    model(torch.randn(4, 5))
    stack = run.watch(model, layers=["body", "act"], outputs="head")
    run.watch(model, layers=["act"], outputs="head")
    model(torch.randn(5, 5))
    assert not old.is_on and new.is_on and stack.is_on
    assert rows_by_layer(daemon, run) == [("head", 3), ("head", 3), ("body", 5), ("act", 5)]
    assert not warnings_of(caplog)


def test_a_name_is_free_again_when_its_model_is_gone_or_its_tap_removed(daemon, run, caplog):
    taps = [run.watch(Net(), layer="head")]
    gc.collect()
    for _ in range(2):
        model = Net()
        taps.append(run.watch(model, layer="head"))
        model(torch.randn(4, 5))
        taps[-1].remove()
    assert rows_by_layer(daemon, run) == [("head", 4), ("head", 4)] and not warnings_of(caplog)


def test_a_module_with_two_names_is_found_by_either(daemon, run):
    class Shared(Net):
        def __init__(self):
            super().__init__()
            self.again = self.body

    model = Shared()
    run.watch(model, layer="again")
    assert run.watch(model, layers=["again"], outputs="head").layers == ("again",)
    assert run.watch(model, layers="*", outputs="head").layers == ("body", "act", "head")


# ---- runs that are no training -------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"layer": "head"}, {"layers": "*", "outputs": "head"}])
def test_a_trace_counts_no_rows_and_records_nothing_of_ours(daemon, run, options):
    model = Net()
    tap = run.watch(model, **options)
    x = torch.randn(4, 5)
    traced = torch.jit.trace(model, x, check_trace=False)
    if hasattr(torch, "export"):  # what torch's new ONNX exporter records with
        torch.export.export(model, (x,))
    else:
        torch.onnx.export(model, x, io.BytesIO())
    assert tap.calls == tap.batches == 0
    tap.remove()
    graphs = [str(g.graph) for g in (traced, torch.jit.trace(model, x))]
    assert len({re.sub(r"___torch_mangle_\d+\.", "", graph) for graph in graphs}) == 1
    assert torch.equal(traced(x), model(x))


@pytest.mark.parametrize("options", [{"layer": "head"}, {"layers": "body", "outputs": "head"}])
def test_every_counts_the_calls_of_each_split(daemon, run, options):
    model = Net()
    run.watch(model, every=2, rows="all", **options)
    for _ in range(4):
        model.train()(torch.randn(4, 5))
        model.eval()(torch.randn(3, 5))
    name = options["layer"] if "layer" in options else "body"
    assert rows_by_layer(daemon, run) == 2 * [(name, 4), (f"{name}@eval", 3)]


def test_a_lazy_head_is_known_when_it_was_called(daemon, run, caplog):
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(6))
    taps = [run.watch(model, layer=name, module="2", wide=wide) for name, wide in
            (("auto", "auto"), ("wide", "head"), ("plain", "outputs"))]
    model(torch.randn(3, 5))
    assert [tap.head is None for tap in taps] == [False, False, True]
    with torch.no_grad():
        model[2].bias += 1
    run.checkpoint(step=1, wait=True)
    assert {h.n_features for _, h, _, _ in daemon.batches()} == {4}
    metrics = daemon.controls("checkpoint")[-1]["metrics"]
    assert metrics["param_norm"] > 0 and metrics["param_change"] > 0
    assert not warnings_of(caplog)


@pytest.mark.parametrize("options", [{"layer": "head", "wide": "head"}, {"layers": "*"}])
def test_a_run_that_is_finished_keeps_no_model(daemon, options):
    run = richd.init(endpoint=daemon.address)
    model, x = Net(), torch.randn(4, 5)
    tap = run.watch(model, ntk=richd.NTK(x), **options)
    model(x)
    run.checkpoint(step=1, wait=True)
    model(x)
    gc.disable()
    try:
        run.finish()
        gone = [weakref.ref(part) for part in (model, model.head, model.head.weight)]
        del model
        assert [part() for part in gone] == [None, None, None] and tap.head is None
    finally:
        gc.enable()
