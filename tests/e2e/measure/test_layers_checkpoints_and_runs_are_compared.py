"""Representation maps of a small network that is trained, against the features themselves."""

import json

import numpy as np
import pytest

import richd
from httpclient import request
from test_s_init_compares_with_the_first_window import cka, cka_debiased

N, P, CLASSES = 400, 20, 4
WIDTHS = {"first": 48, "second": 40, "third": 32}
#: Kernels are kept in single precision (FEED.md).
TOLERANCE = 1e-6


def probe_inputs():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, CLASSES, N)
    centres = rng.normal(size=(CLASSES, P))
    return (centres[labels] + rng.normal(size=(N, P))).astype(np.float32), labels


class Network:
    """Three ReLU layers and a head, trained by full-batch gradient descent on clusters."""

    def __init__(self, seed):
        self.torch = torch = pytest.importorskip("torch")
        torch.manual_seed(seed)
        sizes = [P, *WIDTHS.values(), CLASSES]
        self.layers = [torch.nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
        parameters = [p for layer in self.layers for p in layer.parameters()]
        self.optimizer = torch.optim.Adam(parameters, lr=3e-3)
        inputs, labels = probe_inputs()
        self.inputs, self.labels = torch.from_numpy(inputs), torch.from_numpy(labels)

    def forward(self):
        """Features of each layer, and the outputs."""
        x, features = self.inputs, {}
        for name, layer in zip(WIDTHS, self.layers):
            x = features[name] = self.torch.relu(layer(x))
        return features, self.layers[-1](x)

    def train(self, steps):
        for _ in range(steps):
            self.optimizer.zero_grad()
            loss = self.torch.nn.functional.cross_entropy(self.forward()[1], self.labels)
            loss.backward()
            self.optimizer.step()

    def observe(self, run, step):
        """Sends the probe and takes a checkpoint; returns the features as they were."""
        with self.torch.no_grad():
            features, outputs = self.forward()
        for name, values in features.items():
            run.observe(values, outputs, labels=self.labels, layer=name, step=step)
        self.points = run.checkpoint(step=step, wait=True, timeout=30)
        return {name: values.double().numpy() for name, values in features.items()}


def train(run, seed, steps=(0, 20, 60)):
    network, kept, last = Network(seed), {}, 0
    for step in steps:
        network.train(step - last)
        last = step
        kept[step] = network.observe(run, step)
    return network, kept


def chosen(features):
    """The rows that the daemon keeps of these."""
    return features[np.arange(256) * len(features) // 256]


def centre(features):
    return features - features.mean(axis=0)


def assert_map(found, kept, other=None):
    """Each element is the CKA of the features that its row and its column name."""
    assert (found.n, found.probe_rows, found.left_out) == (256, N, 0)
    assert found.cka.shape == found.cka_debiased.shape == (len(found.rows), len(found.columns))
    for i, row in enumerate(found.rows):
        for j, column in enumerate(found.columns):
            x = chosen(kept[row.step][row.layer])
            y = chosen((other or kept)[column.step][column.layer])
            assert abs(found.cka_debiased[i, j] - cka_debiased(centre(x), centre(y))) < TOLERANCE
            assert abs(found.cka[i, j] - cka(centre(x), centre(y))) < TOLERANCE


def test_a_map_is_the_cka_of_the_features(daemon, new_run):
    run = new_run(probe=True)
    _, kept = train(run, seed=0)
    latest = run.compare()
    assert [(row.layer, row.step) for row in latest.rows] == [(name, 60) for name in WIDTHS]
    assert latest.rows == latest.columns
    assert_map(latest, kept)
    assert_map(run.compare(step=20), kept)
    series = run.compare(layers=["second"], steps=(0, 1000))
    assert [row.step for row in series.rows] == [0, 20, 60]
    assert_map(series, kept)
    assert series.cka_debiased[0, 2] < series.cka_debiased[0, 1] < 1, "training moves the features"
    listed = daemon.rpc("representation.list", run=run.id)["layers"]
    assert [entry["columns"]["step"] for entry in listed] == 3 * [[0, 20, 60]]


def test_two_runs_are_compared_on_the_same_rows(new_run):
    run, same, other = (new_run(name, probe=True) for name in "abc")
    _, kept = train(run, seed=0)
    train(same, seed=0)
    _, others = train(other, seed=1)
    assert np.allclose(np.diag(run.compare(other="b").cka_debiased), 1, atol=TOLERANCE)
    found = run.compare(other="c", step=60)
    assert {column.run for column in found.columns} == {"c"}
    assert_map(found, kept, others)


def test_the_law_of_separation_is_that_of_the_latest_points(daemon, new_run):
    run = new_run(probe=True)
    network, _ = train(run, seed=0, steps=(0, 200))
    nc1 = [network.points[name].nc1 for name in WIDTHS]
    found = daemon.rpc("layer.list", run=run.id)["separation"]
    depth, values = np.arange(3), np.log(nc1)
    slope, start = np.polyfit(depth, values, 1)
    rest = values - start - slope * depth
    assert found["layers"] == 3 and found["slope"] == pytest.approx(slope, rel=1e-9)
    assert found["r2"] == pytest.approx(1 - (rest @ rest) / (3 * np.var(values)), rel=1e-9)
    assert slope < 0, "each layer of a trained network separates the classes further"


def test_richctl_prints_a_map(daemon, new_run):
    run, other = new_run(probe=True), new_run("other", probe=True)
    train(run, seed=0)
    train(other, seed=1)
    want = run.compare().cka_debiased
    title, head, *lines = daemon.richctl("compare", "run").splitlines()
    assert title == "run, step 60: linear CKA, de-biased of 256 rows"
    assert head.split() == list(WIDTHS)
    assert [line.split() for line in lines] == [
        [name, *(f"{value:.3f}" for value in row)] for name, row in zip(WIDTHS, want)]
    title, head, *lines = daemon.richctl("compare", "run", "--layer", "first").splitlines()
    assert title.startswith("run, layer first:") and head.split() == ["0", "20", "60"]
    assert "run (down) and other (across)" in daemon.richctl("compare", "run", "--with", "other")
    assert daemon.richctl("compare", "run") != daemon.richctl("compare", "run", "--plain")
    (answer,) = daemon.richctl_json("compare", "run", "--step", "20")
    assert answer["cka_debiased"][0][0] == pytest.approx(1)
    daemon.richctl("compare", "run", "--with", "nobody", expect=1)
    assert "nc1 changes by a factor of" in daemon.richctl("show", "run")


def test_http_gives_the_same_map(new_daemon):
    daemon = new_daemon("--http", "127.0.0.1:0").start()
    with richd.init(run_id="run", runtime_dir=str(daemon.runtime), probe=True) as run:
        train(run, seed=0)
    answer = request(daemon, "/api/v1/runs/run/map?layers=first&layers=third&from=0")
    asked = {"run": "run", "layers": ["first", "third"], "from": 0}
    assert json.loads(answer.body) == daemon.rpc("representation.map", **asked)


def test_what_was_kept_outlives_the_daemon(daemon, new_run):
    run = new_run(probe=True)
    network, kept = train(run, seed=0, steps=(0, 20))
    daemon.kill()
    daemon.start()
    kept[40] = network.observe(run, 40)
    assert_map(run.compare(layers=["first"], steps=(0, 40)), kept)


def test_what_cannot_be_compared_is_said(new_run):
    run, plain = new_run(probe=True), new_run("plain")
    train(run, seed=0, steps=(0,))
    train(plain, seed=0, steps=(0,))
    with pytest.raises(richd.RichdError, match="needs a probe"):
        plain.compare()
    with pytest.raises(richd.RichdError, match="no representation of layer \"fourth\""):
        run.compare(layers=["first", "fourth"])
    with pytest.raises(richd.RichdError, match="no representation at step 7"):
        run.compare(step=7)
