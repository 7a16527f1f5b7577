import numpy as np

from harness import assert_measures, draw


def test_layers_that_share_the_outputs_measure_as_alone(daemon, new_run):
    deep, outputs = draw(300, 12, 5, seed=1)
    rng = np.random.default_rng(2)
    layers = {name: (deep @ rng.normal(size=(12, p))).astype(np.float32)
              for name, p in (("blocks.0", 20), ("blocks.1", 8), ("blocks.2", 33))}
    run = new_run("shared")
    run.observe_layers(layers, outputs, step=3)
    points = run.checkpoint(step=3, wait=True, timeout=30)
    assert list(points) == list(layers), "in depth order"
    for name, features in layers.items():
        assert points[name].n == 300
        assert_measures(vars(points[name]), features, outputs)

    alone = new_run("alone")
    for name, features in layers.items():
        alone.observe(features, outputs, step=3, layer=name)
    apart = alone.checkpoint(step=3, wait=True, timeout=30)
    assert alone.stats.bytes_sent == run.stats.bytes_sent + 2 * outputs.nbytes
    assert {name: point.d_lr for name, point in apart.items()} == \
        {name: point.d_lr for name, point in points.items()}
    shown = daemon.richctl("show", "shared")
    assert shown.index("blocks.0") < shown.index("blocks.1") < shown.index("blocks.2")


def test_one_bad_layer_does_not_take_the_others_with_it(daemon, new_run):
    features, outputs = draw(50, 6, 3)
    bad = features.copy()
    bad[7, 2] = np.nan
    run = new_run()
    run.observe_layers({"good": features, "bad": bad}, outputs, step=1)
    points = run.checkpoint(step=1, wait=True, timeout=30)
    assert list(points) == ["good"]
    assert points["good"].n == 50 and points["good"].rows_missing == 0
