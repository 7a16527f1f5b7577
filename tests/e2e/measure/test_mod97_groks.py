import pytest

from harness import POINT_KEYS, ROOT


@pytest.mark.long
@pytest.mark.not_under("address", "thread", because="the minute is that of torch")
def test_mod97_groks(daemon):
    """The paper's transition, 0.51 to 0.11, of a real training; about a minute."""
    program = ROOT / "client" / "python" / "examples" / "grokking_mod97.py"
    training = daemon.train(program, "--quick", "--threads", "1", "--name", "e2e")
    out, err = training.communicate(timeout=600)
    assert training.returncode == 0, err
    assert "no answer from richd" not in out

    points = daemon.richctl_json("series", "mod97/e2e")
    for point in points:
        assert list(point) == [*POINT_KEYS, "scalars"]
        assert (point["layer"], point["n"], point["p"], point["c"]) == ("head", 1024, 128, 97)
        assert point["rank"] in (96, 97)
    d_lr = [point["d_lr"] for point in points]
    accuracy = [point["scalars"]["test_acc"] for point in points]
    assert d_lr[0] > 0.45
    assert accuracy[0] < 0.1
    assert min(d_lr) < 0.12
    assert accuracy[-1] > 0.9

    fallen = next(i for i, value in enumerate(d_lr) if value < 0.25)
    learnt = next(i for i, value in enumerate(accuracy) if value > 0.5)
    assert abs(points[fallen]["step"] - points[learnt]["step"]) <= 150, "one transition"

    printed = [line.split() for line in out.splitlines() if line.split()[0].isdigit()]
    assert [int(cells[0]) for cells in printed if len(cells) == 7] == \
        [point["step"] for point in points], "the trainer has read what the daemon stores"
    facts = daemon.rpc("run.get", run="e2e")
    assert (facts["state"], facts["n_points"]) == ("finished", len(points))
