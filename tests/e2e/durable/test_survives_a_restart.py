import itertools

from harness import assert_measures, draw, wait_until


def test_survives_a_restart(daemon):
    with daemon.trainer("done") as done, daemon.trainer("going") as going:
        for trainer in (done, going):
            trainer.rows(*draw(50, 8, 3))
            trainer.checkpoint(10)
            trainer.wait(trainer.log(10, loss=0.25))
        done.finish()
        before = daemon.rpc("run.list")["runs"]
        series = {run: daemon.series(run) for run in ("done", "going")}
        seq = daemon.rpc("server.hello")["seq"]
        daemon.restart()
    assert {run["run"]: run["state"] for run in before} == {"done": "finished", "going": "open"}
    after = daemon.rpc("run.list")["runs"]
    assert {run["run"]: run["state"] for run in after} == {"done": "finished", "going": "lost"}
    assert [run["layers"] for run in after] == [run["layers"] for run in before]
    assert {run: daemon.series(run) for run in series} == series
    assert daemon.rpc("server.hello")["seq"] == seq == "4"
    with daemon.trainer("going") as trainer, daemon.subscribe(since_seq=seq) as subscription:
        assert trainer.attempt == 2
        trainer.rows(*draw(50, 8, 3))
        trainer.checkpoint(20)
        subscription.read_until(lambda s: s.points)
        assert (subscription.seq, subscription.points[0]["step"]) == ("5", 20)


def test_a_trainer_goes_on_by_itself(daemon, new_run):
    run = new_run()
    steps = itertools.count()
    sent = {}

    def train_one():
        step = next(steps)
        sent[step] = draw(50, 8, 3, seed=step)
        run.observe(*sent[step], step=step)
        run.log({"loss": step}, step=step)
        return run.checkpoint(step=step, wait=True, timeout=0.05)

    for ending in (daemon.stop, daemon.kill, daemon.stop):
        for _ in range(5):
            train_one()
        ending()
        for _ in range(5):
            train_one()
        daemon.start()
        wait_until(train_one, "the trainer to be heard again")
    last = next(steps)
    sent[last] = draw(50, 8, 3)
    run.observe(*sent[last], step=last)
    assert run.checkpoint(step=last, wait=True, timeout=30)["head"].n == 50
    run.finish(timeout=30)

    assert run.stats.controls_dropped == 0
    facts = daemon.rpc("run.get", run="run")
    assert (facts["state"], facts["attempt"]) == ("finished", 1)
    (losses,) = daemon.rpc("scalars.query", run="run")["scalars"]
    assert losses["columns"]["step"] == list(range(last)), "every log once, in order"
    columns = daemon.series("run")
    points = [dict(zip(columns, values)) for values in zip(*columns.values())]
    assert sorted({point["step"] for point in points}) == columns["step"]
    before = -1  # rows of steps whose window stayed empty are missing from the next point
    for point in points:
        offered = 50 * (point["step"] - before)
        assert point["n"] + point["rows_missing"] == offered, "no row twice, and what was lost is said"
        before = point["step"]
        assert (point["rows_missing"] > 0) == ("partial" in point["flags"])
        if point["n"] == 50 and point["rows_missing"] == 0:
            assert_measures(point, *sent[point["step"]])


def test_a_window_broken_by_a_restart_is_partial(daemon):
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(40, 8, 3))
        trainer.checkpoint(1)
        trainer.rows(*draw(30, 8, 3, seed=1))
        trainer.say("ping", id=1)
        trainer.expect("pong")
        writer, layers = trainer.writer, trainer.layers
    daemon.kill()
    daemon.start()
    with daemon.trainer() as trainer:
        trainer.writer, trainer.layers = writer, layers
        welcome = trainer.open("run", attempt=1)
        assert (welcome["attempt"], welcome["last_seq"], welcome["last_step"]) == (1, 1, 1)
        rest = draw(20, 8, 3, seed=2)
        trainer.rows(*rest)
        point = trainer.checkpoint(2)["head"]
    assert_measures(point, *rest)
    assert (point["rows_missing"], point["flags"]) == (30, ["partial", "biased"])
