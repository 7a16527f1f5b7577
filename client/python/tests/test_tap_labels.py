"""Labels that go with the passes of a tap: given before, behind, or by the loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from richd._link import wire as _wire
from support import wait_until

nn = torch.nn
P, C = 4, 3


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, P)
        self.act = nn.ReLU()
        self.head = nn.Linear(P, C)

    def forward(self, x):
        return self.head(self.act(self.body(x)))


def sent(daemon, run):
    """Each message: its first layer's name, rows, and labels, or None."""
    run.checkpoint(step=9, wait=True)
    messages = []
    for _, header, name, frames in daemon.batches():
        while header.n_more:
            header = _wire.Header.decode(frames[1])
            frames = frames[3:]
        labels = None
        if header.targets_dtype == _wire.DTYPE_I64:
            labels = np.frombuffer(frames[2], np.int64).tolist()
        elif header.targets_dtype:
            dtype = {1: np.float32, 2: np.float64}[header.targets_dtype]
            labels = np.frombuffer(frames[2], dtype).reshape(-1, header.n_targets).tolist()
        messages.append((name, header.n_rows, labels))
    return messages


def warnings_of(caplog):
    return [r.getMessage().split(" ", 1)[1] for r in caplog.records if r.name == "richd"]


ONE = {"layer": "head"}
SEVERAL = {"layers": ["body", "act"], "outputs": "head"}
BOTH = pytest.mark.parametrize("options", [ONE, SEVERAL], ids=["one", "several"])


def name_of(options):
    return "head" if options is ONE else "body"


@BOTH
@pytest.mark.parametrize("order", ["before", "behind"])
def test_labels_go_with_the_pass_of_their_step(daemon, run, caplog, options, order):
    model, y = Net(), torch.empty(2, dtype=torch.long)
    tap = run.watch(model, rows="all", **options)
    for step in range(3):
        y.copy_(torch.tensor([step, 2 - step]))  # as a loader that uses its memory again
        if order == "before":
            tap.labels(y)
        model(torch.randn(2, 5)).sum().backward()
        if order == "behind":
            tap.labels(y)
        y.fill_(-7)
        with torch.no_grad():
            model.eval()(torch.randn(3, 5))  # an evaluation that nobody gives labels
        model.train()
    messages = sent(daemon, run)
    name = name_of(options)
    train = [m for m in messages if m[0] == name]
    assert train == [(name, 2, [0, 2]), (name, 2, [1, 1]), (name, 2, [2, 0])]
    assert [m for m in messages if m[0] != name] == 3 * [(f"{name}@eval", 3, None)]
    assert not warnings_of(caplog)


@BOTH
def test_rows_are_offered_when_no_labels_come(daemon, run, options):
    model = Net()
    tap = run.watch(model, rows="all", **options)
    model(torch.randn(2, 5))
    assert sent(daemon, run) == [(name_of(options), 2, None)]
    model(torch.randn(3, 5))
    assert wait_until(lambda: len(daemon.batches()) == 2)  # and no longer wait for any
    tap.remove()


def test_rows_that_wait_go_with_a_removed_tap(daemon, run):
    model = Net()
    tap = run.watch(model, rows="all")
    model(torch.randn(2, 5))
    assert daemon.batches() == []
    tap.remove()
    assert wait_until(lambda: len(daemon.batches()) == 1)


@BOTH
def test_a_loss_module_gives_the_labels(daemon, run, caplog, options):
    model, loss = Net(), nn.CrossEntropyLoss(ignore_index=2)
    run.watch(model, rows="all", labels=loss, every=2, **options)
    for step in range(4):
        target = torch.tensor([0, 2, 1, 0])
        if step % 4 < 2:
            loss(model(torch.randn(4, 5)), target).backward()
        else:
            loss(target=target, input=model(torch.randn(4, 5))).backward()
        with torch.no_grad():
            loss(model.eval()(torch.randn(2, 5)), torch.tensor([1, 0]))
        model.train()
    name = name_of(options)
    assert sent(daemon, run) == 2 * [
        (name, 3, [0, 1, 0]),
        (f"{name}@unlabelled", 1, None),
        (f"{name}@eval", 2, [1, 0]),
    ]
    assert not warnings_of(caplog)


def test_a_loss_of_values_gives_targets(daemon, run):
    model, loss = Net(), nn.MSELoss()
    run.watch(model, rows="all", labels=loss)
    target = torch.tensor([[1.0, 0, 0], [0, 1, 0]])
    loss(model(torch.randn(2, 5)), target).backward()
    assert sent(daemon, run) == [("head", 2, target.tolist())]


def test_labels_are_those_of_the_rows_and_tokens_that_are_taken(daemon, run):
    model = Net()
    model.act = nn.Identity()  # no two rows are alike
    some = run.watch(model, rows=5, position=[1, -1])
    x, y = torch.randn(40, 6, 5), torch.randint(C, (40, 6))
    logits = model(x).detach()
    some.labels(y)
    (message,) = sent(daemon, run)
    ((_, _, _, frames),) = daemon.batches()
    outputs = np.frombuffer(frames[1], np.float32).reshape(-1, C)
    rows = logits[:, [1, -1]].reshape(-1, C).numpy()
    at = [int(np.flatnonzero((rows == row).all(1))[0]) for row in outputs]
    assert len(at) == 5 and message[2] == y[:, [1, -1]].reshape(-1)[at].tolist()


def test_the_last_token_has_no_next_one(daemon, run):
    model, loss = Net(), nn.CrossEntropyLoss()
    run.watch(model, rows="all", labels=loss)
    tokens = torch.tensor([[0, 1, 2], [2, 1, 0]])
    logits = model(torch.randn(2, 3, 5))
    loss(logits[:, :-1].reshape(-1, C), tokens[:, 1:].reshape(-1)).backward()
    assert sent(daemon, run) == [("head", 4, [1, 2, 1, 0]), ("head@unlabelled", 2, None)]


@pytest.mark.parametrize("order", ["before", "behind"])
def test_labels_that_do_not_fit_cost_themselves(daemon, run, caplog, order):
    model = Net()
    tap = run.watch(model, rows="all")
    for labels in ([0, 1], [0, 1, 2], ["a", "b"], [2, 1]):
        if order == "before":
            tap.labels(labels)
        model(torch.randn(2, 5))
        if order == "behind":
            tap.labels(labels)
    messages = sent(daemon, run)
    assert [(name, labels) for name, _, labels in messages] == [
        ("head", [0, 1]), ("head@unlabelled", None), ("head@unlabelled", None), ("head", [2, 1])
    ]
    assert sum("3 labels" in text for text in warnings_of(caplog)) == 1


def test_each_thread_has_labels_of_its_own(daemon, run):
    import threading

    model, together = Net(), threading.Barrier(2)
    tap = run.watch(model, rows="all")
    tap._pairing.is_behind = True

    def train(n):
        for _ in range(3):
            model(torch.randn(n, 5))
            together.wait()
            tap.labels(torch.full((n,), n - 1))

    threads = [threading.Thread(target=train, args=(n,)) for n in (2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent(daemon, run)) == 3 * [("head", 2, [1, 1])] + 3 * [("head", 3, [2, 2, 2])]


def test_what_is_no_loss_module_is_one_warning(daemon, run, caplog):
    tap = run.watch(Net(), rows="all", labels=nn.functional.cross_entropy)
    tap = run.watch(Net(), rows="all", labels=nn.functional.cross_entropy, layer="head")
    (text,) = warnings_of(caplog)
    assert "tap.labels()" in text and not tap._pairing.is_behind


def test_a_loss_is_let_go_with_the_tap(run):
    model, loss = Net(), nn.CrossEntropyLoss()
    run.watch(model, rows="all", labels=loss).remove()
    assert not loss._forward_hooks


class Inside(nn.Module):
    """As Hugging Face's models are: the loss is computed inside."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, P)
        self.classifier = nn.Linear(P, C)

    def forward(self, x, labels=None, **more):
        logits = self.classifier(self.body(x))
        return {"loss": logits.sum(), "logits": logits}


class InsideForCausalLM(Inside):
    pass


INSIDE = pytest.mark.parametrize(
    "options", [{"layer": "classifier"}, {"layers": "body"}], ids=["one", "several"]
)


@INSIDE
def test_labels_that_the_model_is_called_with(daemon, run, caplog, options):
    model, name = Inside(), options.get("layer", "body")
    run.watch(model, rows="all", labels="labels", train_only=True, **options)
    for step in range(3):
        model(torch.randn(2, 5), labels=torch.tensor([step, 0]))
        with torch.no_grad():
            model(torch.randn(2, 5), torch.tensor([1, 1]))
    model(torch.randn(2, 5))
    assert [m for m in sent(daemon, run)] == [
        *((name, 2, [step, 0]) for step in range(3)), (f"{name}@unlabelled", 2, None)
    ]
    (text,) = warnings_of(caplog)
    assert "rows with no labels are the layer" in text


@INSIDE
def test_labels_of_a_causal_model_are_the_next_tokens(daemon, run, options):
    model, name = InsideForCausalLM(), options.get("layer", "body")
    run.watch(model, rows="all", labels="labels", **options)
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    tokens = torch.tensor([[0, 1, 2], [2, 1, -100]])
    model(torch.randn(2, 3, 5), labels=tokens, attention_mask=mask)
    assert sent(daemon, run) == [(name, 3, [1, 2, 1]), (f"{name}@unlabelled", 2, None)]


def test_an_input_that_the_model_does_not_have_is_named(run, caplog):
    run.watch(nn.Bilinear(2, 2, 2), layer="x", module="", labels="labels")
    (text,) = warnings_of(caplog)
    assert "no input 'labels' for labels=; it has input1, input2" in text
