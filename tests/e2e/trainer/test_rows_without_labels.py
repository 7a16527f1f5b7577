import numpy as np
import pytest

from harness import F32, I32, assert_measures, draw, header

MEASURES = ("d_lr", "d_debiased", "u", "nc1", "nc1_quotient", "nc2_angle", "d_target",
            "target_alignment", "head_error", "probe_r2", "cdnv")


def classes_of(n, k):
    return np.arange(n) % k


def test_rows_without_a_label_are_measured_beside_the_classes(new_run):
    """The classes' measures are those of the rows that have one; the others keep their features."""
    features, outputs = draw(600, 8, 4)
    labels = classes_of(600, 4)
    features += np.eye(8, dtype=np.float32)[labels]
    ignored = np.random.default_rng(5).random(600) < 0.3
    run, clean = new_run("masked"), new_run("clean")
    for rows in np.split(np.arange(600), 3):
        run.observe(features[rows], outputs[rows], step=1,
                    labels=np.where(ignored, -100, labels)[rows].astype(np.float32))
    clean.observe(features[~ignored], outputs[~ignored], step=1, labels=labels[~ignored])
    points = run.checkpoint(step=1, wait=True, timeout=30)
    expected = clean.checkpoint(step=1, wait=True, timeout=30)["head"]
    point = points["head"]
    assert set(points) == {"head", "head@unlabelled"}
    for name in MEASURES:
        assert getattr(point, name) == pytest.approx(getattr(expected, name), rel=1e-6), name
    assert point.classes_seen == 4 and point.rows_missing == 0
    assert_measures(vars(points["head@unlabelled"]), features[ignored], outputs[ignored])
    assert points["head@unlabelled"].nc1 is None


def test_soft_labels_and_one_hot_ones_in_one_layer(new_run):
    features, outputs = draw(300, 8, 4)
    run = new_run()
    soft = np.full((300, 4), 0.1) + 0.6 * np.eye(4)[classes_of(300, 4)]
    run.observe(features, outputs, step=1, labels=soft)
    run.observe(features, outputs, step=1, labels=classes_of(300, 4))
    point = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    assert point.rows_missing == 0 and point.n == 600 and point.d_target is not None
    assert run.stats.last_error is None


@pytest.mark.not_under("address", "thread", because="the model is computed by torch")
@pytest.mark.parametrize("options", [{"layer": "2"}, {"layers": ["1"]}], ids=["one", "several"])
def test_a_loss_gives_a_tap_the_measures_of_the_classes(new_run, options):
    import torch
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 4))
    loss, optimizer = torch.nn.CrossEntropyLoss(), torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(400, 6), torch.arange(400) % 4
    tapped, observed = new_run("tapped"), new_run("observed")
    tapped.watch(model, labels=loss, **options)
    for batch, target in zip(x.split(100), y.split(100)):
        features = model[:2](batch).detach()
        outputs = model(batch)
        optimizer.zero_grad()
        loss(outputs, target).backward()
        optimizer.step()
        observed.observe(features, outputs, labels=target, step=1)
    (point,) = tapped.checkpoint(step=1, wait=True, timeout=30).values()
    expected = observed.checkpoint(step=1, wait=True, timeout=30)["head"]
    for name in MEASURES:
        assert getattr(point, name) == getattr(expected, name) is not None, name


def test_the_daemon_leaves_out_rows_whose_label_says_none(daemon):
    """As a trainer sends them that does not look at its labels, because they are on a GPU."""
    features, outputs = draw(600, 8, 4)
    labels = classes_of(600, 4).astype(np.int32)
    ignored = np.random.default_rng(5).random(600) < 0.3
    masked = np.where(ignored, np.int32(-100), labels)
    with daemon.trainer("run") as trainer:
        for layer, kept, given in (("masked", slice(None), masked),
                                   ("clean", ~ignored, labels[~ignored])):
            x, y = features[kept], outputs[kept]
            seq, before = trainer.number(layer, len(x))
            trainer.send_batch([
                header(seq, before, len(x), 8, 4, targets=4, step=1, dtypes=(F32, F32, I32, 0)),
                layer.encode(), x.tobytes(), y.tobytes(), given.tobytes()])
        points = trainer.checkpoint(1)
    for name in ("n", "d_debiased_se", *MEASURES):
        assert points["masked"][name] == pytest.approx(points["clean"][name], rel=0.02), name
    assert points["masked"]["d_lr"] == pytest.approx(points["clean"]["d_lr"], rel=1e-6)
