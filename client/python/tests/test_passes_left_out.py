"""Passes that a tap leaves out where its hooks are dear: an even choice that is told honestly."""

import sys

import numpy as np
import pytest
import torch

import richd
from richd._torch.hook import Hook
from richd._values import thinning as _thinning
from richd._values.held import Piece
from richd._values.pace import Pace
from richd._values.thinning import PASSES_MIN, Thinning

nn = torch.nn
WANTED = _thinning.ROWS_MIN


class Dear(Pace):
    """Passes are as dear as can be, rows cost nothing."""

    def pass_stride(self, now=None):
        return 1 << 20

    def allows(self, wanted, rank, pass_stride=1):
        return wanted


def thinning(seed=0, pace=None):
    made = Thinning(pace or Dear(1.0))
    made._generator = np.random.default_rng(seed)
    return made


def one_pass(taken, values, split=None):
    """One pass of a model, whose rows are numbers. Returns whether it was taken."""
    values = np.asarray(values, dtype=np.float64)
    turn = None if taken.passes_over(split) else taken.turn(split)
    if turn is None:
        taken.leave_out(split, len(values))
        return False
    draw = taken.draw(split, len(values), 16, turn)
    rows = (values if draw.index is None else values[draw.index])[:, None]
    assert taken.add(split, draw, Piece({"head": rows}, rows, None, None, 0, turn.number)) == []
    return True


def window(taken, passes):
    """(the numbers of the rows that a window leaves, how many were left out)."""
    for values in passes:
        one_pass(taken, values)
    drawn = taken.take(1 << 30)
    rows = [features[:, 0] for d in drawn for features in d.rows.features.values()]
    return np.concatenate([np.empty(0), *rows]), sum(d.n_thinned for d in drawn)


def numbered(n_passes, batch):
    return np.arange(n_passes * batch).reshape(n_passes, batch)


@pytest.mark.parametrize("n_passes", [1, 4, 5, 10, 11, 37, 200, 2000])
@pytest.mark.parametrize("batch", [7, 512])
def test_a_window_has_enough_passes_and_rows_and_tells_the_others(n_passes, batch):
    taken, n = thinning(), n_passes * batch
    for _ in range(3):  # the first window has no history
        rows, n_thinned = window(taken, numbered(n_passes, batch))
        assert len(rows) + n_thinned == n and len(set(rows)) == len(rows)
        assert (rows == np.sort(rows)).all()
        assert 0.8 * min(n, WANTED) <= len(rows) <= min(n, 2 * WANTED)
        n_taken = len(set(rows // batch))
        assert n_taken >= min(n_passes, PASSES_MIN)
        assert n_taken <= max(4 * PASSES_MIN, 2 * WANTED // batch)


@pytest.mark.parametrize("n_passes, batch", [(10, 512), (40, 512), (64, 40), (37, 300)])
def test_every_pass_and_every_row_has_the_same_chance(n_passes, batch):
    taken, counts, n_windows = thinning(), np.zeros((n_passes, batch)), 400
    for _ in range(n_windows):
        rows, _ = window(taken, numbered(n_passes, batch))
        counts.reshape(-1)[rows.astype(int)] += 1
    share = counts.mean() / n_windows
    of_pass = counts.mean(axis=1) / n_windows  # a pass is in or not: its rows come together
    stride = max(1, round(1 / (share * batch)))
    pass_share = max(share, 1 / stride if stride > 1 else share)
    limit = 5 * share * np.sqrt((1 / pass_share) / n_windows)
    assert np.abs(of_pass - share).max() < max(limit, 5 * share * np.sqrt(n_passes / 5 / n_windows))
    of_place = counts.mean(axis=0) / n_windows
    assert np.abs(of_place - share).max() < 5 * np.sqrt(share / (n_windows * n_passes))


@pytest.mark.parametrize("period", [2, 3, 4, 8, 10])
def test_passes_with_a_period_are_all_met(period):
    """Micro-batches that are accumulated, modules that are called in turn, classes in turn."""
    taken, means = thinning(period), []
    for _ in range(300):
        rows, _ = window(taken, [np.full(128, i % period) for i in range(80)])
        means.append(rows.mean())
    error = np.std(means) / np.sqrt(len(means))
    assert abs(np.mean(means) - (period - 1) / 2) < 5 * error + 0.02


def test_batches_that_are_sorted_by_class_are_met_evenly():
    taken, counts = thinning(), np.zeros(10)
    for _ in range(400):
        rows, _ = window(taken, [np.full(256, i // 4) for i in range(40)])
        counts += np.histogram(rows, bins=10, range=(0, 10))[0]
    assert np.abs(counts / counts.sum() - 0.1).max() < 0.012


def test_what_moves_within_a_window_is_met_from_its_beginning_to_its_end():
    """d / 39 for five passes of a window, in which a mean moves by d."""
    taken, means = thinning(), []
    for _ in range(200):
        rows, _ = window(taken, [np.full(512, i / 39) for i in range(40)])
        means.append(rows.mean())
    assert abs(np.mean(means) - 0.5) < 0.01 and np.std(means) < 0.05


def test_a_window_that_is_shorter_than_the_last_has_rows():
    taken = thinning()
    for n_passes in (1, 2, 3, 20):
        window(taken, numbered(400, 512))
        rows, n_thinned = window(taken, numbered(n_passes, 512))
        assert len(rows) >= WANTED // _thinning.GUARD
        assert len(rows) + n_thinned == 512 * n_passes


def test_no_pass_is_left_out_where_they_cost_little():
    taken = thinning(pace=Pace(1.0))
    for _ in range(2):
        assert all(one_pass(taken, np.zeros(512)) for _ in range(100))
        taken.take(1 << 30)


def test_passes_of_a_split_are_those_of_its_own():
    taken = thinning()
    for _ in range(2):
        took = [(one_pass(taken, np.zeros(512)), one_pass(taken, np.ones(9), "eval"))] * 100
        assert all(of_eval for _, of_eval in took)
        taken.take(1 << 30)


def test_time_costs_passes_before_it_costs_rows():
    pace = Pace(0.01)
    pace.turn(0.0)
    pace.add(0.04)
    pace.turn(1.0)
    assert pace.pass_stride(1.0) == 4 and pace.allows(4096, 1, pass_stride=4) == 4096
    assert pace.allows(4096, 1) == 1024


def test_a_long_window_is_not_waited_for():
    pace = Pace(0.01)
    pace.turn(0.0)
    pace.add(0.5)
    assert pace.pass_stride(0.9) == 1 and pace.pass_stride(10.0) == 8


# ---- taps ----------------------------------------------------------------------------------------


def dear(tap):
    """Passes of the tap's run are dear from now on; its window begins."""
    tap.thinning._pace = Dear(1.0)
    return tap


def marks(daemon, run, step):
    run.checkpoint(step=step, wait=True)
    return daemon.controls("checkpoint")[-1]["layers"]


def sent_rows(daemon, layer, n_columns):
    """(features, labels) of all rows of a layer; no outputs are looked at."""
    rows = []
    for _, header, name, frames in daemon.batches():
        if name == layer:
            features = np.frombuffer(frames[0], np.float32).reshape(-1, n_columns)
            labels = np.frombuffer(frames[2], np.int64) if len(frames) > 2 else None
            rows.append((features, labels))
    return rows


def train(model, n_passes, on_pass=lambda i, x, y: None, batch=64):
    """Rows whose first column is the pass, which is their label as well."""
    for i in range(n_passes):
        x = torch.full((batch, 5), float(i))
        on_pass(i, x, model(x))


@pytest.mark.parametrize("stack", [False, True])
def test_a_tap_counts_the_rows_of_passes_that_it_leaves_out(daemon, run, stack):
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    tap = dear(run.watch(model, "2", layers=["0", "1"] if stack else None))
    for step in range(3):
        train(model, 200)
        layers = marks(daemon, run, step)
        for layer in ("0", "1") if stack else ("2",):
            count = layers[layer]
            assert count["rows"] + count["thinned"] == 200 * 64 * (step + 1)
    assert tap.calls == 600 and tap.batches < 300


def test_labels_stay_with_their_passes(daemon, run):
    for way in ("before", "behind", "loss"):
        model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 100))
        loss = nn.CrossEntropyLoss()
        labels = loss if way == "loss" else None
        tap = dear(run.watch(model, way, module=model[0], wide="outputs", labels=labels))
        for step in range(2):
            for i in range(100):
                x, y = torch.full((64, 5), float(i)), torch.full((64,), i)
                if way == "before":
                    tap.labels(y, n_classes=100)
                outputs = model(x)
                if way == "behind":
                    tap.labels(y, n_classes=100)
                if way == "loss":
                    loss(outputs, y)
            run.checkpoint(step=step, wait=True)
        assert tap.batches < 120
        rows = sent_rows(daemon, way, 5)
        assert len(rows) >= 2
        for features, labels in rows:
            assert (features[:, 0] == labels).all()


def test_layers_of_a_model_that_is_not_called_as_a_whole(daemon, run):
    model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    tap = dear(run.watch(model, layers=["0", "1"], outputs="2"))
    for step in range(2):
        for _ in range(100):
            model[2](model[1](model[0](torch.ones(64, 5))))
        layers = marks(daemon, run, step)
    assert tap.calls == 200 and tap.batches < 120
    assert [layers[k]["rows"] + layers[k]["thinned"] for k in ("0", "1")] == [12_800] * 2


def test_activations_that_are_computed_again_are_no_passes(daemon, run):
    from torch.utils.checkpoint import checkpoint

    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    tap = dear(run.watch(model, "1"))
    for step in range(3):
        for _ in range(100):
            checkpoint(model, torch.ones(64, 5), use_reentrant=False).sum().backward()
        layers = marks(daemon, run, step)
    assert layers["1"]["rows"] + layers["1"]["thinned"] == 3 * 6400 and tap.batches < 180


def test_rows_that_only_a_mask_counts_are_of_all_passes(daemon, run):
    class Masked(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(4, 3)

        def forward(self, x, attention_mask):
            return self.head(x)

    model = Masked()
    tap = dear(run.watch(model, "head"))
    mask = torch.ones(8, 6)
    mask[:, 4:] = 0
    for step in range(2):
        for _ in range(100):
            model(torch.ones(8, 6, 4), attention_mask=mask)
        layers = marks(daemon, run, step)
    assert tap.batches == 200
    assert layers["head"]["rows"] + layers["head"]["thinned"] == 2 * 100 * 32


def test_a_pass_costs_few_calls_and_one_that_is_left_out_hardly_any(daemon, run):
    """Calls of ours and not time, which machines do not agree about. Newer torch has its own."""
    model = nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))
    tap = dear(run.watch(model, "1"))
    train(model, 100)
    run.checkpoint(step=0)
    n_calls: list[int] = []
    own = Hook.__call__.__code__

    def count(frame, event, _argument):
        if event == "call" and frame.f_globals["__name__"].startswith("richd."):
            n_calls[-1] += frame.f_code is own or is_within(frame, own)

    def is_within(frame, code):
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back
        return frame is not None

    taken = []
    for i in range(100):
        n_calls.append(0)
        before = tap.batches
        sys.setprofile(count)
        try:
            model(torch.full((64, 5), float(i)))
        finally:
            sys.setprofile(None)
        taken.append(tap.batches > before)
    of_taken = sorted(n for n, is_taken in zip(n_calls, taken) if is_taken)
    of_others = sorted(n for n, is_taken in zip(n_calls, taken) if not is_taken)
    assert len(of_others) > 60 and of_others[len(of_others) // 2] <= 20, of_others
    assert of_taken[len(of_taken) // 2] <= 100, of_taken


def test_losses_and_weights_are_the_same_bit_for_bit(daemon):
    def trained(watches):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(5, 4), nn.ReLU(inplace=True), nn.Linear(4, 3))
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        losses = []
        with richd.init(endpoint=daemon.address) as run:
            if watches:
                dear(run.watch(model, "2"))
                dear(run.watch(model, layers=["0", "1"]))
            for step in range(120):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(torch.randn(64, 5)), torch.arange(64) % 3)
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
                if step % 40 == 39:
                    run.checkpoint(step=step)
        return losses, [p.detach().clone() for p in model.parameters()]

    (losses, weights), (bare_losses, bare_weights) = trained(True), trained(False)
    assert losses == bare_losses
    assert all(torch.equal(a, b) for a, b in zip(weights, bare_weights))
