"""torch.compile and torch.export of a watched model: rows where it leaves room for a hook, and the
losses of the model that nobody watches."""

import pytest
import torch

ROWS, STEPS = 8, 4
TAPS = [{"layer": "head"}, {"layers": "*", "outputs": "head"}]
TAP_NAMES = ["one layer", "all layers"]


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.body = torch.nn.Linear(5, 4)
        self.act = torch.nn.ReLU()
        self.head = torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.act(self.body(x)))


def new_model():
    torch._dynamo.reset()
    torch.manual_seed(0)
    return Net()


def train(model, run=None):
    """The losses of a training of the model, which may be compiled."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    drawn = torch.Generator().manual_seed(1)
    losses = []
    for step in range(STEPS):
        loss = model(torch.randn(ROWS, 5, generator=drawn)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if run is not None:
            run.checkpoint(step=step)
    return losses


def warnings_of(caplog):
    return [r.getMessage().split(" ", 1)[1] for r in caplog.records if r.name == "richd"]


@pytest.mark.parametrize("backend", ["eager", "inductor"])
@pytest.mark.parametrize("tap", TAPS, ids=TAP_NAMES)
@pytest.mark.parametrize("is_later", [False, True], ids=["before", "behind"])
def test_a_compiled_model_is_watched_and_trains_as_alone(daemon, new_run, caplog, backend, tap,
                                                         is_later):
    alone = train(torch.compile(new_model(), backend=backend))
    run, model = new_run(), new_model()
    compiled = torch.compile(model, backend=backend)
    watched = run.watch(compiled if is_later else model, **tap)
    assert train(compiled, run) == alone
    run.finish(timeout=30)
    for layer in watched.layer.split(", "):
        assert daemon.series(run.id, layer=layer)["n"] == [ROWS] * STEPS
    assert not warnings_of(caplog)


@pytest.mark.parametrize("backend", ["eager", "inductor"])
@pytest.mark.parametrize("tap", TAPS, ids=TAP_NAMES)
def test_one_graph_has_no_room_for_a_hook_and_trains_on(new_run, caplog, backend, tap):
    alone = train(torch.compile(new_model(), backend=backend, fullgraph=True))
    run, model = new_run(), new_model()
    watched = run.watch(model, **tap)
    assert train(torch.compile(model, backend=backend, fullgraph=True), run) == alone
    assert watched.calls == 0
    (said,) = warnings_of(caplog)
    assert "fullgraph=True" in said
    model(torch.randn(ROWS, 5))
    assert watched.calls == 1, "outside of the graph the hook is there"


@pytest.mark.parametrize("tap", TAPS, ids=TAP_NAMES)
@pytest.mark.parametrize("strict", [False, True])
def test_an_export_records_nothing_of_ours(new_run, tap, strict):
    model, x = new_model(), torch.randn(ROWS, 5)
    watched = new_run().watch(model, **tap)
    exported = torch.export.export(model, (x,), strict=strict)
    assert watched.calls == 0 and "richd" not in str(exported.graph)
    assert torch.equal(exported.module()(x), model(x)) and watched.calls == 1
