import threading

from harness import assert_measures, draw


def stream(run, seed, points):
    for step in range(10):
        for part in range(4):
            features, outputs = draw(40, 12, 3, seed=(seed, step, part))
            run.observe(features, outputs, step=step)
        points.append(run.checkpoint(step=step, wait=True, timeout=30)["head"])


def rows_of(seed, step):
    parts = [draw(40, 12, 3, seed=(seed, step, part)) for part in range(4)]
    return [sum(([*part[i]] for part in parts), []) for i in range(2)]


def test_two_runs_at_once(daemon, new_run):
    runs = [new_run("left"), new_run("right")]
    points = [[], []]
    threads = [threading.Thread(target=stream, args=(run, seed, points[seed]))
               for seed, run in enumerate(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, run in enumerate(runs):
        assert daemon.series(run.id)["d_lr"] == [point.d_lr for point in points[seed]]
        for step, point in enumerate(points[seed]):
            assert point.run == run.id
            assert_measures(vars(point), *rows_of(seed, step))
    assert daemon.rpc("server.status")["runs_open"] == 2
