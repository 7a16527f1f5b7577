from harness import draw


def mark(trainer, step, seq, thinned):
    rows = trainer.layers["head"][1]
    layers = {"head": {"seq": trainer.layers["head"][0], "rows": rows, "thinned": thinned}}
    trainer.say("checkpoint", seq=seq, step=step, layers=layers)
    return trainer.wait(seq)["head"]


def test_a_point_tells_the_rows_of_its_window_that_were_thinned_out(daemon):
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(40, 6, 2))
        first = mark(trainer, 1, 1, 1000)
        trainer.rows(*draw(40, 6, 2))
        second = mark(trainer, 2, 2, 1500)
    assert [p["rows_thinned"] for p in (first, second)] == [1000, 500]
    assert [p["rows_missing"] for p in (first, second)] == [0, 0]
    assert "partial" not in first["flags"] + second["flags"]
    assert daemon.series("run")["rows_thinned"] == [1000, 500]
