import numpy as np
import pytest

from harness import IS_THINNED, draw, wait_until

MIB = 1 << 20
#: How often the first grant is sent in all.
WINDOWS = 2 if IS_THINNED else 6


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


@pytest.mark.long
def test_when_the_budget_is_spent_a_run_is_told_to_come_later(daemon, new_run):
    trainers = []
    while True:
        trainer = daemon.trainer()
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run=f"run{len(trainers)}", writer="w")
        answer = trainer.receive()
        trainers.append(trainer)
        if answer["type"] == "nack":
            break
        assert answer["type"] == "welcome" and len(trainers) < 500
    assert (answer["code"], "memory" in answer["text"]) == ("EBUSY", True)
    assert answer["fatal"] is True
    run = new_run("patient")
    run.log({"x": 1}, step=1)
    for trainer in trainers[:-1]:
        trainer.seq = 0
        trainer.finish()
        trainer.close()
    trainers[-1].close()
    wait_until(lambda: daemon.rpc("run.list", state="open")["total"] == 1, "the run to open")
    wait_until(lambda: daemon.rpc("scalars.query", run="patient")["scalars"], "its scalar")
