from harness import POINT_KEYS, assert_measures, draw, wait_until


def test_streams_a_run_and_reads_it_back(daemon, new_run):
    run = new_run(name="first", project="demo", config={"lr": 0.1}, tags=["a", "b"])
    drawn = {step: draw(200, 16, 4, seed=step) for step in (0, 10, 20)}
    points = {}
    for step, (features, outputs) in drawn.items():
        for rows in (slice(0, 64), slice(64, 65), slice(65, 200)):
            run.observe(features[rows], outputs[rows], step=step)
        run.log({"loss": 1.0 / (1 + step)}, step=step)
        points[step] = run.checkpoint(step=step, wait=True, timeout=30)["head"]
    run.finish()

    columns = daemon.series("demo/first")
    assert columns["step"] == [0, 10, 20]
    assert columns["n"] == [200, 200, 200]
    assert columns["flags"] == [[], [], []]
    assert columns["d_lr"] == [points[step].d_lr for step in drawn]
    for step, (features, outputs) in drawn.items():
        assert_measures(vars(points[step]), features, outputs)

    (scalar,) = daemon.rpc("scalars.query", run="first")["scalars"]
    assert scalar["name"] == "loss"
    assert scalar["columns"]["value"] == [1.0, 1.0 / 11, 1.0 / 21]

    facts = daemon.rpc("run.get", run="run")
    assert (facts["state"], facts["last_step"], facts["n_points"]) == ("finished", 20, 3)
    assert (facts["config"], facts["tags"]) == ({"lr": 0.1}, ["a", "b"])
    assert facts["scalars"] == ["loss"]

    last = daemon.rpc("layer.list", run="first")["layers"][0]["last"]
    assert tuple(last) == POINT_KEYS
    assert (last["step"], last["d_lr"]) == (20, points[20].d_lr)


def test_a_run_is_open_while_its_trainer_is_connected(daemon, new_run):
    run = new_run()
    wait_until(lambda: run.attempt, "the run to open")
    assert daemon.state_of("run") == "open"
    run.finish("failed")
    assert daemon.state_of("run") == "failed"
