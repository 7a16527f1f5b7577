from harness import draw


def test_another_writer_is_refused(daemon):
    with daemon.trainer("run") as holder, daemon.trainer() as other:
        other.hello()
        other.expect("hello")
        other.say("open", run="run", writer="somebody", attempt=1)
        nack = other.expect("nack", code="EHELD")
        assert nack["fatal"] is True
        assert holder.writer in nack["text"]
        holder.rows(*draw(30, 4, 2))
        assert holder.checkpoint(1)["head"]["n"] == 30
    assert daemon.rpc("run.get", run="run")["attempt"] == 1


def test_a_newer_attempt_fences_the_older_one(daemon):
    with daemon.trainer("run") as old:
        old.rows(*draw(30, 4, 2))
        old.checkpoint(10)
        with daemon.trainer("run") as new:
            assert new.attempt == 2
            assert old.expect("nack", code="EFENCED")["fatal"] is True
            old.rows(*draw(30, 4, 2))
            old.mark(20)
            new.rows(*draw(40, 4, 2))
            assert new.checkpoint(20)["head"]["n"] == 40
    columns = daemon.series("run", attempts="all")
    assert (columns["attempt"], columns["step"], columns["n"]) == ([1, 2], [10, 20], [30, 40])


def test_a_fenced_attempt_stays_fenced_after_a_restart(daemon):
    with daemon.trainer("run") as old:
        writer = old.writer
        with daemon.trainer("run"):
            daemon.restart()
    with daemon.trainer() as old:
        old.hello()
        old.expect("hello")
        old.say("open", run="run", writer=writer, attempt=1)
        assert old.expect("nack", code="EFENCED")["fatal"] is True


def test_the_same_writer_takes_its_attempt_back(daemon):
    with daemon.trainer("run") as trainer, daemon.trainer() as again:
        trainer.rows(*draw(30, 4, 2))
        trainer.checkpoint(1)
        again.writer, again.layers = trainer.writer, trainer.layers
        welcome = again.open("run", attempt=1)
        assert (welcome["attempt"], welcome["last_seq"]) == (1, 1)
        again.rows(*draw(30, 4, 2))
        assert again.checkpoint(2)["head"]["n"] == 30
        trainer.say("log", seq=9, step=3, scalars={"x": 1})
        trainer.expect("nack", code="ENOTOPEN")
