from harness import assert_measures, draw

SHAPES = {"first": (40, 8), "second": (24, 6), "head": (16, 3)}


def test_three_layers(daemon, new_run):
    run = new_run()
    drawn = {layer: draw(120, *shape, seed=i) for i, (layer, shape) in enumerate(SHAPES.items())}
    for rows in (slice(0, 50), slice(50, 120)):
        for layer, (features, outputs) in drawn.items():
            run.observe(features[rows], outputs[rows], step=1, layer=layer)
    points = run.checkpoint(step=1, wait=True, timeout=30)
    assert set(points) == set(SHAPES)
    for layer, (features, outputs) in drawn.items():
        assert (points[layer].p, points[layer].c) == SHAPES[layer]
        assert_measures(vars(points[layer]), features, outputs)
        assert daemon.series("run", layer)["d_lr"] == [points[layer].d_lr]


def test_a_layer_without_rows_yields_no_point(daemon):
    with daemon.trainer("run") as trainer:
        for layer in SHAPES:
            trainer.rows(*draw(30, *SHAPES[layer]), layer=layer)
        assert set(trainer.checkpoint(1)) == set(SHAPES)
        trainer.rows(*draw(30, *SHAPES["head"]), layer="head")
        assert set(trainer.checkpoint(2)) == {"head"}
    assert daemon.series("run", "first")["step"] == [1]
    assert daemon.series("run", "head")["step"] == [1, 2]


def test_layers_may_come_late(daemon):
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 8, 2), layer="early")
        trainer.checkpoint(1)
        trainer.rows(*draw(30, 8, 2), layer="früh, spät")
        assert set(trainer.checkpoint(2)) == {"früh, spät"}
    layers = daemon.rpc("layer.list", run="run")["layers"]
    assert {entry["layer"]: entry["n_points"] for entry in layers} == {"early": 1, "früh, spät": 1}
