"""Taps on models with padding, with the time first, and with convolutions."""

from __future__ import annotations

import collections

import numpy as np
import pytest
import torch

from richd._link import wire as _wire

nn = torch.nn
B, T, P, C = 3, 6, 4, 3
RIGHT = torch.tensor([[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])
LEFT = RIGHT.flip(1)


class Model(nn.Module):
    """As a language model takes its inputs."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, P)
        self.head = nn.Linear(P, C)

    def forward(self, x, token_types=None, attention_mask=None, **more):
        return self.head(self.body(x))


class Batched(Model):
    def forward(self, batch):
        return super().forward(batch["x"])


def sent(daemon, run):
    """Each message's layers: name -> (features, outputs)."""
    run.checkpoint(step=9, wait=True)
    messages = []
    for _, header, name, frames in daemon.batches():
        features = {}
        while True:
            features[name] = np.frombuffer(frames[0], np.float32).reshape(header.n_rows, -1)
            if not header.n_more:
                break
            header, name = _wire.Header.decode(frames[1]), frames[2].decode()
            frames = frames[3:]
        outputs = np.frombuffer(frames[1], np.float32).reshape(header.n_rows, -1)
        messages.append({k: (v, outputs) for k, v in features.items()})
    return messages


def warnings_of(caplog):
    return [r.getMessage().split(" ", 1)[1] for r in caplog.records if r.name == "richd"]


def features_of(model, x):
    return model.body(x).detach().numpy()


CALLS = {
    "keyword": lambda model, x, mask: model(x, attention_mask=mask),
    "positional": lambda model, x, mask: model(x, None, mask),
    "bool": lambda model, x, mask: model(x, attention_mask=mask.bool()),
}


@pytest.mark.parametrize("mask", [LEFT, RIGHT], ids=["left", "right"])
@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("options", [{"layer": "head"}, {"layers": "body"}], ids=str)
def test_padding_is_left_out_of_what_a_tap_takes(daemon, run, call, mask, options):
    model, x = Model(), torch.randn(B, T, 5)
    run.watch(model, **options)
    y = CALLS[call](model, x, mask).detach().numpy()
    ((layer,),) = [list(message.values()) for message in sent(daemon, run)]
    real = mask.bool().numpy()
    assert np.array_equal(layer[0], features_of(model, x)[real])
    assert np.array_equal(layer[1], y[real])


@pytest.mark.parametrize("mask", [LEFT, RIGHT], ids=["left", "right"])
def test_last_is_the_last_token_that_is_no_padding(daemon, run, mask):
    model, x = Model(), torch.randn(B, T, 5)
    run.watch(model, layer="head", position="last")
    run.watch(model, layers="body", position="last")
    y = model(x, attention_mask=mask).detach().numpy()
    last = [int(row.nonzero()[-1]) for row in mask]
    for message in sent(daemon, run):
        ((features, outputs),) = message.values()
        assert np.array_equal(features, features_of(model, x)[range(B), last])
        assert np.array_equal(outputs, y[range(B), last])


def test_masks_by_name_in_mappings_and_none(daemon, run, caplog):
    class Torch(Model):
        def forward(self, x, src_key_padding_mask=None):
            return super().forward(x)

    x = torch.randn(B, T, 5)
    named, inverted, none, batched = Model(), Torch(), Model(), Batched()
    run.watch(named, layer="named", module="head", mask="token_types")
    run.watch(inverted, layer="inverted", module="head", mask="src_key_padding_mask")
    run.watch(none, layer="none", module="head", mask=False)
    run.watch(batched, layer="batched", module="head", mask="attention_mask")
    named(x, RIGHT, torch.ones(B, T))
    inverted(x, src_key_padding_mask=RIGHT == 0)
    none(x, attention_mask=RIGHT)
    batched(collections.UserDict(x=x, attention_mask=RIGHT))
    n = int(RIGHT.sum())
    rows = {k: len(v[0]) for message in sent(daemon, run) for k, v in message.items()}
    assert rows == {"named": n, "inverted": n, "none": B * T, "batched": n}
    assert not warnings_of(caplog)


def test_a_mask_is_that_of_its_own_pass(daemon, run):
    model, x = Model(), torch.randn(B, T, 5)
    run.watch(model, layer="head", rows="all")
    model(x, attention_mask=RIGHT)
    model(x)
    model.head(torch.randn(B, T, P))
    model(x, attention_mask=torch.ones(B, T))
    sizes = [len(message["head"][0]) for message in sent(daemon, run)]
    assert sizes == [int(RIGHT.sum()), B * T, B * T, B * T]


def test_what_is_no_mask_is_warned_of_once(daemon, run, caplog):
    model, x = Model(), torch.randn(B, T, 5)
    run.watch(model, layer="head", mask="token_types")
    run.watch(model, layer="other", module="head", mask="atention_mask")  # takes any keyword
    run.watch(nn.Bilinear(2, 2, 2), layer="third", module="", mask="mask")
    for _ in range(2):
        model(x, torch.ones(B, 1, T, T))
        model(x, torch.ones(B, T + 1))
    texts = warnings_of(caplog)
    assert len(texts) == 2
    assert "no input 'mask' for mask=; it has input1, input2" in texts[0]
    assert "padding is not left out" in texts[1]


def test_labels_and_rows_are_those_of_tokens_that_are_no_padding(daemon, run):
    model, loss = Model(), nn.CrossEntropyLoss()
    run.watch(model, layer="head", labels=loss, rows=7)
    x, y = torch.randn(B, T, 5), torch.arange(B * T).reshape(B, T) % C
    outputs = model(x, attention_mask=RIGHT)
    loss(outputs.reshape(-1, C), y.reshape(-1)).backward()
    ((name, header, _, frames),) = [(m[2], m[1], 0, m[3]) for m in waited(daemon, run)]
    rows = np.frombuffer(frames[1], np.float32).reshape(-1, C)
    labels = np.frombuffer(frames[2], np.int64)
    real = RIGHT.bool().reshape(-1).numpy()
    known = outputs.detach().reshape(-1, C).numpy()
    at = [int(np.flatnonzero((known == row).all(1))[0]) for row in rows]
    assert len(at) == 7 and real[at].all() and labels.tolist() == y.reshape(-1)[at].tolist()


def waited(daemon, run):
    run.checkpoint(step=9, wait=True)
    return daemon.batches()


def test_pooled_outputs_have_layers_with_padding_by_token_or_by_sample(daemon, run):
    class Classifier(Model):
        def forward(self, x, attention_mask=None):
            return self.head(self.body(x)[:, -1])

    model = Classifier()
    run.watch(model, layers="body", position="last", rows="all")
    for _ in range(2):
        model(torch.randn(B, T, 5), attention_mask=LEFT)
    assert [m["body"][0].shape for m in sent(daemon, run)] == 2 * [(B, P)]


def test_sequences_with_the_time_first(daemon, run):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.GRU(5, P)
            self.head = nn.Linear(P, C)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    model, x = Recurrent(), torch.randn(T, B, 5)
    run.watch(model, layer="head", position="last", batch_first=False)
    run.watch(model, layers="rnn", tokens=2, batch_first=False)
    y = model(x).detach()
    one, several = sent(daemon, run)
    assert np.array_equal(one["head"][1], y[-1].numpy())
    expected = y[[2, 5]].transpose(0, 1).reshape(-1, C)
    assert np.array_equal(several["rnn"][1], expected.numpy())


class Convolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Conv2d(2, P, 3)
        self.head = nn.Linear(P, C)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_convolutions_are_their_mean(daemon, run, memory_format):
    model = Convolution().to(memory_format=memory_format)
    x = torch.randn(B, 2, 7, 9).to(memory_format=memory_format)
    run.watch(model, layers="body", pool="mean")
    model(x)
    ((features, _),) = sent(daemon, run)[0].values()
    assert np.allclose(features, model.body(x).mean((2, 3)).detach(), atol=1e-6)


def test_a_width_is_refused_with_a_sentence(daemon, run, caplog):
    model = nn.Sequential(nn.Conv2d(2, P, 3), nn.Conv2d(P, C, 1))
    run.watch(model, layer="1")
    run.watch(model, layers="0")
    for _ in range(2):
        model(torch.randn(B, 2, 7, 7))
    texts = warnings_of(caplog)
    assert len(texts) == 1 and 'pass pool="mean"' in texts[0]
    assert daemon.batches() == []
    pooled = run.watch(model, layer="1", pool="mean")
    model(torch.randn(B, 2, 7, 7))
    pooled.remove()
    assert sent(daemon, run)[-1]["1"][0].shape == (B, P)


def test_a_linear_layer_on_pictures_with_the_channels_last(daemon, run, caplog):
    model = nn.Sequential(nn.Linear(5, P), nn.Linear(P, C))
    run.watch(model, layer="1")
    model(torch.randn(B, 7, 7, 5))
    assert sent(daemon, run)[0]["1"][0].shape == (B * 49, P) and not warnings_of(caplog)
