import numpy as np

from harness import assert_measures, draw, measure


def test_a_cumulative_window_keeps_every_row(daemon, new_run):
    run = new_run(window="cumulative")
    seen = []
    for step in range(4):
        seen.append(draw(40, 6, 2, seed=step))
        run.observe(*seen[-1], step=step)
        point = run.checkpoint(step=step, wait=True, timeout=30)["head"]
        assert_measures(vars(point), *(np.concatenate(parts) for parts in zip(*seen)))


def test_a_checkpoint_window_forgets(daemon, new_run):
    run = new_run(window="checkpoint")
    for step in range(3):
        rows = draw(40, 6, 2, seed=step)
        run.observe(*rows, step=step)
        assert_measures(vars(run.checkpoint(step=step, wait=True, timeout=30)["head"]), *rows)


def test_an_exponential_window_forgets_by_and_by(daemon, new_run):
    run = new_run(window={"kind": "exponential", "half_life_rows": 100})
    old, new = draw(2000, 6, 2, seed=1, noise=4.0), draw(2000, 6, 2, seed=2, noise=0.0)
    run.observe(*old, step=1)
    first = run.checkpoint(step=1, wait=True, timeout=30)["head"]
    run.observe(*new, step=2)
    second = run.checkpoint(step=2, wait=True, timeout=30)["head"]
    # Each row weighs 2^(-1/100) of the next: (sum w)^2 / sum w^2 = (1 + q) / (1 - q).
    q = 2.0 ** -0.01
    assert abs(second.n - (1 + q) / (1 - q)) < 1.0
    recent = [measure(*(part[-290:] for part in rows)) for rows in (old, new)]
    assert abs(first.u - recent[0]["u"]) < 0.05
    assert abs(second.u - recent[1]["u"]) < 0.05
    assert abs(recent[0]["u"] - recent[1]["u"]) > 0.2, "the two windows can be told apart"


def test_a_point_tells_the_steps_of_its_rows(daemon, new_run):
    ranges = {}
    for window in ("checkpoint", "cumulative", {"kind": "exponential", "half_life_rows": 100}):
        run = new_run(window=window)
        for step in range(1, 7):
            run.observe(*draw(40, 6, 2, seed=step), step=10 * step)
            if step % 3 == 0:
                point = run.checkpoint(step=10 * step, wait=True, timeout=30)["head"]
                ranges.setdefault(str(window), []).append((point.rows_from, point.rows_to))
        columns = daemon.series(run.id)
        assert list(zip(columns["rows_from"], columns["rows_to"])) == ranges[str(window)]
    kept = [(10, 30), (10, 60)]
    assert list(ranges.values()) == [[(10, 30), (40, 60)], kept, kept]


def test_the_window_of_a_cumulative_run_says_what_a_restart_cost(daemon):
    with daemon.trainer("run", window={"kind": "cumulative"}) as trainer:
        trainer.rows(*draw(40, 6, 2))
        trainer.checkpoint(1)
        writer, layers = trainer.writer, trainer.layers
    daemon.restart()
    with daemon.trainer() as trainer:
        trainer.writer, trainer.layers = writer, layers
        trainer.open("run", attempt=1, window={"kind": "cumulative"})
        trainer.rows(*draw(30, 6, 2))
        point = trainer.checkpoint(2)["head"]
    assert (point["n"], point["rows_missing"]) == (30, 40) and "partial" in point["flags"]
