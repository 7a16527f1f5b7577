"""Rows that are reduced where they lie: which, in what order, and what becomes of them."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

import richd
from richd._link import wire as _wire
from richd._torch import lane as _lane, reduce as _reduce
from richd._torch.sums import Shape
from richd._values import arrays as _arrays

nn = torch.nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(5, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)))


def sent(daemon):
    return [(name, header.kind, header.n_rows) for _, header, name, _ in daemon.batches()]


# ---- what is sent --------------------------------------------------------------------------------


def test_a_window_is_one_message_of_moments(daemon, run):
    model = Net()
    tap = run.watch(model, layer="head", reduce="device")
    features = [torch.randn(n, 5) for n in (6, 30)]
    outputs = [model(x).detach() for x in features]
    run.checkpoint(step=3, wait=True)
    ((_, header, name, frames),) = daemon.batches()
    assert (name, header.kind, header.n_rows, header.step) == ("head", _wire.KIND_MOMENTS, 36, 3)
    assert header.outputs_dtype == _wire.DTYPE_F32 and header.features_dtype == _wire.DTYPE_F64
    x = torch.relu(model.body(torch.cat(features))).detach().double().numpy()
    y = torch.cat(outputs).double().numpy()
    expected = richd.Moments().update(x, y).frames()[0]
    for frame, want in zip(frames, expected):
        assert np.allclose(np.frombuffer(frame, want.dtype), want.ravel(), atol=1e-12)
    assert tap.batches == 2 and run.stats.rows_offered == 36
    (mark,) = daemon.controls("checkpoint")
    assert mark["layers"] == {"head": {"seq": 1, "rows": 36}}


def test_rows_count_in_one_window_only(daemon, run):
    model = Net()
    run.watch(model, layer="head", reduce="device")
    for step, n in enumerate((5, 7)):
        model(torch.randn(n, 5))
        run.checkpoint(step=step, wait=True)
    run.checkpoint(step=2, wait=True)
    assert sent(daemon) == [("head", 2, 5), ("head", 2, 7)]


def test_splits_and_layers_have_sums_of_their_own(daemon, run):
    model = Net()
    run.watch(model, layers=["body", "head"], outputs="head", reduce="device")
    model(torch.randn(6, 5))
    with torch.no_grad():
        model(torch.randn(4, 5))
    run.checkpoint(step=0, wait=True)
    assert sorted(sent(daemon)) == [
        *(("body", 2, 6), ("body@eval", 2, 4)),
        *(("head", 2, 6), ("head@eval", 2, 4)),
    ]


@pytest.mark.parametrize(
    "options", [{"probe": True}, {"window": {"kind": "exponential", "half_life_rows": 100}}]
)
def test_windows_that_need_single_rows_get_them(daemon, options):
    with richd.init(endpoint=daemon.address, **options) as run:
        model = Net()
        run.watch(model, layer="head", reduce="device")
        model(torch.randn(6, 5))
        run.checkpoint(step=0, wait=True)
    assert sent(daemon) == [("head", 1, 6)]


def test_rows_of_a_head_that_stands_for_its_outputs_are_reduced_without_them(daemon, run):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 9))
    run.watch(model, layer="1", reduce="device")
    x = torch.randn(6, 3)
    model(x)
    run.checkpoint(step=0, wait=True)
    (_, moments, _, frames), (_, head, _, _) = daemon.batches()
    assert (moments.kind, moments.n_rows, moments.n_features, moments.n_outputs) == (2, 6, 4, 9)
    assert moments.outputs_dtype == 0 and moments.weights_dtype == _wire.DTYPE_F32
    assert (head.kind, head.n_features, head.n_outputs) == (3, 4, 9)
    features = model[0](x).detach().double().numpy()
    expected = richd.Moments().update(features, features).frames()[0]
    for frame, want in zip(frames, (expected[0], expected[2], expected[5])):
        assert np.allclose(np.frombuffer(frame), want, atol=1e-12)


def test_a_wrong_choice_is_a_warning_and_rows_are_sent(daemon, run, caplog):
    model = Net()
    run.watch(model, layer="head", reduce="gpu")
    model(torch.randn(6, 5))
    run.checkpoint(step=0, wait=True)
    assert sent(daemon) == [("head", 1, 6)] and "reduce" in caplog.text


def test_rows_that_are_not_finite_are_left_out_and_said_once(daemon, run, caplog):
    model = Net()
    run.watch(model, layer="head", reduce="device")
    for step in range(2):
        x = torch.randn(6, 5)
        x[2, 0] = float("nan")
        model(x)
        run.checkpoint(step=step, wait=True)
    assert sent(daemon) == [("head", 2, 5)] * 2
    assert daemon.controls("checkpoint")[1]["layers"]["head"]["rows"] == 12
    assert caplog.text.count("not finite") == 1


def test_losses_and_gradients_are_the_same(run):
    x = torch.randn(64, 5)

    def train(watched):
        torch.manual_seed(1)
        model = Net()
        if watched:
            run.watch(model, layers="*", outputs="head", reduce="device")
        optimizer = torch.optim.SGD(model.parameters(), 0.1)
        losses = []
        for step in range(5):
            optimizer.zero_grad()
            loss = model(x).square().mean() + torch.randn(())
            loss.backward()
            optimizer.step()
            run.checkpoint(step=step)
            losses.append(loss.item())
        return losses, [p.detach().clone() for p in model.parameters()]

    (losses, weights), (watched, watched_weights) = train(False), train(True)
    assert losses == watched and all(map(torch.equal, weights, watched_weights))


def test_a_finished_run_holds_no_sums(run):
    model = Net()
    run.watch(model, layer="head", reduce="device")
    model(torch.randn(6, 5))
    assert run._reducer._layers
    run.finish()
    assert not run._reducer._layers


def test_threads_that_run_the_model_lose_no_row(daemon, run):
    model = Net()
    run.watch(model, layer="head", reduce="device")
    work = [
        threading.Thread(target=lambda: [model(torch.randn(3, 5)) for _ in range(20)])
        for _ in range(4)
    ]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    run.checkpoint(step=0, wait=True)
    assert sent(daemon) == [("head", 2, 240)]


# ---- what is decided -----------------------------------------------------------------------------


def offer(reducer, n, reduce="auto", layer="head"):
    return reducer.take(reduce, layer, torch.randn(n, 4), torch.randn(n, 3))


@pytest.fixture
def reducer(monkeypatch):
    """One that takes the CPU for a GPU."""
    monkeypatch.setattr(_reduce, "_is_on_gpu", lambda tensor: True)
    return _reduce.Reducer()


def test_auto_reduces_where_the_last_window_had_more_bytes_of_rows_than_of_moments(reducer):
    moments = Shape(4, 3).travel_bytes
    few, many = moments // 28, moments // 28 + 1  # rows of 28 bytes
    assert not offer(reducer, few) and reducer.flush("head") is None
    assert not offer(reducer, many) and reducer.flush("head") is None
    assert offer(reducer, few)
    assert reducer.flush("head").n_rows == few
    assert offer(reducer, few // 2 - 1) and reducer.flush("head").n_rows == few // 2 - 1
    assert not offer(reducer, few)


def test_auto_leaves_the_cpu_alone():
    reducer = _reduce.Reducer()
    for _ in range(3):
        assert not offer(reducer, 1000)
        assert reducer.layers() == []


def test_rows_that_the_device_has_no_room_for_are_counted(daemon, run, monkeypatch):
    monkeypatch.setattr(_lane.HostLane, "has_room", lambda self, size: size <= 28 * 10)
    model = Net()
    run.watch(model, layer="head", reduce="device")
    for n in (10, 11, 9):
        model(torch.randn(n, 5))
    run.checkpoint(step=0, wait=True)
    assert sent(daemon) == [("head", 2, 19)]
    assert run.stats.rows_offered == 30 and run.stats.rows_dropped == 11
    assert daemon.controls("checkpoint")[0]["layers"]["head"] == {"seq": 2, "rows": 30}


@pytest.fixture
def no_memory(monkeypatch):
    def out_of_memory(*_):
        raise RuntimeError("CUDA out of memory")

    monkeypatch.setattr(_reduce.Sums, "add", out_of_memory)


def test_a_device_without_memory_costs_one_call_and_then_rows_are_sent(
    daemon, run, monkeypatch, no_memory, caplog
):
    monkeypatch.setattr(_reduce, "_GATHER_BYTES", 1)
    model = Net()
    run.watch(model, layer="head", reduce="device")
    for n in (6, 7):
        assert model(torch.randn(n, 5)).shape == (n, 3)
    run.checkpoint(step=0, wait=True)
    assert sent(daemon) == [("head", 1, 7)] and caplog.text.count("out of memory") == 1
    assert daemon.controls("checkpoint")[0]["layers"]["head"]["rows"] == 13


def test_a_device_without_memory_at_a_checkpoint_costs_its_window(daemon, run, no_memory, caplog):
    model = Net()
    run.watch(model, layer="head", reduce="device")
    for step, n in enumerate((6, 7)):
        model(torch.randn(n, 5))
        run.checkpoint(step=step, wait=True)
    assert sent(daemon) == [("head", 1, 7)] and caplog.text.count("out of memory") == 1
    assert daemon.controls("checkpoint")[-1]["layers"]["head"]["rows"] == 13


@pytest.mark.parametrize("gather_bytes", [1, 28 * 20, 1 << 30])
def test_rows_of_several_calls_are_summed_up_together(daemon, run, monkeypatch, gather_bytes):
    monkeypatch.setattr(_reduce, "_GATHER_BYTES", gather_bytes)
    summed = []
    add = _reduce.Sums.add
    monkeypatch.setattr(_reduce.Sums, "add", lambda s, x, y: summed.append(len(x)) or add(s, x, y))
    model = Net()
    run.watch(model, layer="head", reduce="device")
    for n in (10, 10, 10):
        model(torch.randn(n, 5))
    run.checkpoint(step=0, wait=True)
    assert sent(daemon) == [("head", 2, 30)]
    assert summed == {1: [10, 10, 10], 28 * 20: [20, 10], 1 << 30: [30]}[gather_bytes]


def test_rows_that_no_checkpoint_took_are_told_at_the_end(daemon, run, caplog):
    model = Net()
    run.watch(model, layer="head", reduce="device")
    model(torch.randn(6, 5))
    run.finish()
    assert "6 rows were offered, and run.checkpoint() was never called" in caplog.text


# ---- the order of events on a stream -------------------------------------------------------------


class Recorder:
    """torch.cuda as far as a lane needs it: notes what is called, on which stream."""

    def __init__(self):
        self.notes = []
        self.reached = set()  # events that the device has passed
        self._current = "training"
        self._n_events = 0

    def Stream(self, device):  # noqa: N802
        return _Stream(self, "lane")

    def Event(self):  # noqa: N802
        self._n_events += 1
        return _Event(self, f"e{self._n_events}")

    def current_stream(self, device):
        return _Stream(self, self._current)

    def stream(self, stream):
        recorder = self

        class Current:
            def __enter__(self):
                recorder._current = stream.name

            def __exit__(self, *_):
                recorder._current = "training"

        return Current()

    def tensor(self, size):
        return _Tensor(self, size)


class _Stream:
    def __init__(self, recorder, name):
        self.recorder, self.name = recorder, name

    def wait_event(self, event):
        self.recorder.notes.append(f"{self.name} waits for {event.name}")


class _Event:
    def __init__(self, recorder, name):
        self.recorder, self.name = recorder, name

    def record(self, stream):
        self.recorder.notes.append(f"{self.name} on {stream.name}")

    def query(self):
        return self.name in self.recorder.reached

    def synchronize(self):
        self.recorder.notes.append(f"wait for {self.name}")


class _Tensor:
    def __init__(self, recorder, size):
        self.recorder, self.size = recorder, size

    def record_stream(self, stream):
        self.recorder.notes.append(f"rows are held for {stream.name}")

    def numel(self):
        return self.size

    def element_size(self):
        return 1


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def lane(recorder):
    return _lane.CudaLane("cuda:0", recorder)


def test_work_runs_behind_the_training_stream_which_waits_for_nothing(recorder, lane):
    with lane.behind_training(recorder.tensor(8)):
        recorder.notes.append(f"sums on {recorder._current}")
    assert recorder.notes == [
        "e1 on training",
        "lane waits for e1",
        "sums on lane",
        "rows are held for lane",
        "e2 on lane",
    ]
    assert recorder._current == "training"


def test_work_waits_for_each_thread_whose_rows_it_reads(recorder, lane):
    since = [lane.now(), lane.now()]
    with lane.behind_training(since=since):
        pass
    assert recorder.notes[2:] == [
        "e3 on training",
        "lane waits for e1",
        "lane waits for e2",
        "lane waits for e3",
    ]


def test_rows_are_held_also_when_the_work_fails(recorder, lane):
    with pytest.raises(RuntimeError), lane.behind_training(recorder.tensor(8)):
        raise RuntimeError("no memory")
    assert "rows are held for lane" in recorder.notes and recorder._current == "training"


def test_rows_that_wait_on_the_device_are_bounded(recorder, lane):
    most = _lane.PENDING_BYTES_MAX
    assert lane.has_room(2 * most)  # a call of its own
    with lane.behind_training(recorder.tensor(most - 10)):
        pass
    assert lane.has_room(10) and not lane.has_room(11)
    recorder.reached.add("e2")
    assert lane.has_room(most)


def test_copies_arrive_before_the_flag_and_the_sender_looks_at_the_flag_alone(recorder, lane):
    with lane.behind_training():
        (copy,), wait = lane.to_host([torch.arange(3.0)])
    assert copy.tolist() == [0, 1, 2] and recorder.notes[-1] == "e2 on lane"
    before = list(recorder.notes)
    wait()
    assert recorder.notes == before


def test_what_runs_on_the_trainings_stream_leaves_from_there(recorder, lane):
    (copy,), wait = lane.to_host([torch.ones(2, dtype=torch.bfloat16)])
    assert copy.dtype == np.int16 and recorder.notes == ["e1 on training"]
    wait()


def test_rows_are_copied_off_a_gpu_behind_the_training(recorder, monkeypatch):
    """`observe` and taps that send rows go the same way."""
    monkeypatch.setattr(_arrays, "_lanes", {torch.device("cpu"): lane_with(recorder)})
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: False)
    monkeypatch.setattr(torch.Tensor, "record_stream", note_hold(recorder), raising=False)
    staged = _arrays._stage_cuda(torch.arange(6.0).reshape(3, 2), copy=True)
    staged.wait_filled()
    assert np.frombuffer(staged.frame, np.float32).tolist() == [0, 1, 2, 3, 4, 5]
    assert recorder.notes[:2] == ["e1 on training", "lane waits for e1"]
    assert recorder.notes[-2:] == ["rows are held for lane", "e3 on lane"]


def lane_with(recorder):
    return _lane.CudaLane(torch.device("cpu"), recorder)


def note_hold(recorder):
    return lambda tensor, stream: recorder.notes.append(f"rows are held for {stream.name}")


def test_a_copy_that_does_not_come_is_asked_for(recorder, lane, monkeypatch):
    monkeypatch.setattr(_lane, "LOOK_S", 0.01)
    event = recorder.Event()
    _lane._wait(np.zeros(1), event)
    assert recorder.notes == ["wait for e1"]


def test_a_graph_that_is_captured_is_said_once_and_its_rows_are_not_taken(
    daemon, run, monkeypatch, caplog
):
    model = Net()
    tap = run.watch(model, layer="head", reduce="device")
    model(torch.randn(6, 5))
    with monkeypatch.context() as capturing:
        capturing.setattr(torch.cuda, "is_initialized", lambda: True)
        capturing.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
        for _ in range(3):
            model(torch.randn(4, 5))
    run.checkpoint(step=0, wait=True)
    assert sent(daemon) == [("head", 2, 6)] and tap.calls == 1
    assert caplog.text.count("CUDA graph") == 1
