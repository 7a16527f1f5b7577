import numpy as np
import zmq

from harness import IS_THINNED, Trainer, draw

MIB = 1 << 20
#: How often the first grant is sent in all.
WINDOWS = 2 if IS_THINNED else 6
#: Windows of 8 MiB each, at least: more than the rows of all may fill in 24 GiB of memory.
MANY_RUNS = 200 if IS_THINNED else 1000


def big_rows(n_bytes, seed=0):
    """Rows of 256 float32 features and 8 outputs, about so many bytes."""
    n = n_bytes // (4 * 264)
    rng = np.random.default_rng(seed)
    return rng.random((n, 256), "f4"), rng.random((n, 8), "f4")


def test_credit_bounds_what_a_trainer_may_send(daemon):
    batch = big_rows(8 * MIB)
    with daemon.trainer("run") as trainer:
        window = trainer.granted
        assert 8 * MIB <= window <= 64 * MIB
        while trainer.sent_bytes < WINDOWS * window:
            size = sum(part.nbytes for part in batch) + 64 + len("head")
            while trainer.sent_bytes + size > trainer.granted:
                trainer.expect("progress")
            trainer.rows(*batch)
            assert daemon.rpc("server.status")["buffered_bytes"] <= window
        point = trainer.checkpoint(1)["head"]
        assert point["n"] == trainer.layers["head"][1]
        assert trainer.nacks == []


def test_a_batch_beyond_the_credit_is_refused(daemon):
    good = draw(40, 256, 256)
    with daemon.trainer("run") as trainer:
        n = trainer.granted // (2 * 256 * 4) + 1
        too_much = np.zeros((n, 256), "f4")
        trainer.rows(*good)
        trainer.rows(too_much, too_much)
        nack = trainer.expect("nack", code="ECREDIT", layer="head", batch=2)
        assert nack["fatal"] is False
        trainer.rows(*good)
        point = trainer.checkpoint(1)["head"]
    assert (point["n"], point["rows_missing"]) == (80, n)


def test_a_new_run_gets_its_share_of_what_is_left(daemon):
    status = daemon.rpc("server.status")
    trainers = [daemon.trainer(f"run{i}") for i in range(16)]
    grants = [trainer.granted for trainer in trainers]
    assert grants == sorted(grants, reverse=True)
    assert sum(grants) <= status["budget_bytes"]
    for i, trainer in enumerate(trainers):
        trainer.rows(*draw(20, 4, 2, seed=i))
    assert [trainer.checkpoint(1)["head"]["n"] for trainer in trainers] == [20] * 16
    for trainer in trainers:
        trainer.finish()
        trainer.close()
    with daemon.trainer("after") as trainer:
        assert trainer.granted == grants[0], "credit comes back when a run ends"


def test_a_thousand_runs_are_open_at_once(daemon, many_files):
    with zmq.Context() as context:
        context.max_sockets = MANY_RUNS
        trainers = [Trainer(daemon.endpoints["ingest"], context) for _ in range(MANY_RUNS)]
        for i, trainer in enumerate(trainers):
            trainer.hello()
            trainer.say("open", run=f"run{i}", writer=trainer.writer)
        for trainer in trainers:
            trainer.expect("hello")
            trainer.granted = trainer.expect("welcome")["granted"]
        assert daemon.rpc("server.status")["runs_open"] == MANY_RUNS
        for trainer in trainers:
            trainer.rows(*draw(20, 4, 2))
        marks = [trainer.mark(1) for trainer in trainers]
        points = [trainer.wait(seq)["head"]["n"] for trainer, seq in zip(trainers, marks)]
        assert points == [20] * MANY_RUNS
        for trainer in trainers:
            trainer.close()
