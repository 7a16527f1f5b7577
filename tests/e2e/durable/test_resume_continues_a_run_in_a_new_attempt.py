import pytest

from harness import draw, wait_until


def stream(daemon, run, steps, seed, **fields):
    with daemon.trainer(run, **fields) as trainer:
        for step in steps:
            trainer.rows(*draw(30, 6, 2, seed=(seed, step)))
            trainer.checkpoint(step)
            trainer.wait(trainer.log(step, loss=seed))
        trainer.finish()
        return trainer.attempt


def test_resume_continues_a_run_in_a_new_attempt(daemon):
    assert stream(daemon, "run", range(0, 100, 10), 1) == 1
    first = daemon.series("run")
    assert stream(daemon, "run", range(50, 120, 10), 2) == 2

    effective = daemon.series("run")
    assert effective["step"] == list(range(0, 120, 10))
    assert effective["attempt"] == [1] * 5 + [2] * 7
    assert effective["d_lr"][:5] == first["d_lr"][:5]
    assert effective["d_lr"][5] != first["d_lr"][5]

    everything = daemon.series("run", attempts="all")
    assert len(everything["step"]) == 17
    kept = [d for a, d in zip(everything["attempt"], everything["d_lr"]) if a == 1]
    assert kept == first["d_lr"], "what is superseded is kept"

    (loss,) = daemon.rpc("scalars.query", run="run")["scalars"]
    assert loss["columns"]["value"] == [1] * 5 + [2] * 7
    facts = daemon.rpc("run.get", run="run")
    assert [(a["attempt"], a["first_step"], a["state"]) for a in facts["attempts"]] == \
        [(1, 0, "finished"), (2, 50, "finished")]
    assert (facts["attempt"], facts["last_step"], facts["state"]) == (2, 110, "finished")


def test_resume_says_what_is_allowed(daemon):
    for resume, code in (("must", "ENOENT"), ("never", None), ("never", "EEXIST"), ("must", None)):
        with daemon.trainer() as trainer:
            if code is None:
                trainer.open("run", resume=resume)
                trainer.finish()
                continue
            trainer.hello()
            trainer.expect("hello")
            trainer.say("open", run="run", writer="w", resume=resume)
            nack = trainer.expect("nack")
            assert (nack["code"], nack["fatal"]) == (code, True)
            assert "run" in nack["text"]
    assert daemon.rpc("run.get", run="run")["attempt"] == 2


def test_the_package_says_where_to_go_on(daemon, new_run):
    with daemon.trainer("run") as trainer:
        for step in (0, 40):
            trainer.rows(*draw(30, 6, 2))
            trainer.checkpoint(step)
        trainer.finish()
    run = new_run(resume="must")
    wait_until(lambda: run.attempt == 2, "the second attempt")
    assert run.last_step == 40


@pytest.mark.parametrize("resume, text", [("never", "EEXIST"), ("must", "ENOENT")])
def test_the_package_reports_a_refusal(daemon, new_run, caplog, resume, text):
    if resume == "never":
        with daemon.trainer("run") as trainer:
            trainer.finish()
    run = new_run(resume=resume)
    run.observe(*draw(30, 6, 2), step=1)
    assert run.checkpoint(step=1, wait=True, timeout=30) == {}
    assert "richd takes no more of this run" in caplog.text
    assert daemon.rpc("run.list")["total"] == (resume == "never"), text


def test_what_a_resumed_process_logs_without_a_step_hides_nothing(daemon, new_run):
    features, outputs = draw(30, 6, 2)
    first = new_run(config={"lr": 0.1, "seed": 1})
    first.log({"n_params": 1e6})
    for step in (100, 200):
        first.log({"loss": 1.0}, step=step)
        first.observe(features, outputs)
        first.checkpoint(wait=True, timeout=30)
    first.summary(best_loss=1.0)
    first.config.update({"n_params": 10**6})
    first.finish()

    second = new_run(config={"lr": 0.05})
    second.log({"n_params": 1e6, "loss": 3.0})
    second.summary["resumed"] = True
    second.finish()
    facts = daemon.rpc("run.get", run="run")
    assert [a["first_step"] for a in facts["attempts"]] == [100, None]
    assert facts["last_step"] == 200
    assert facts["summary"] == {"best_loss": 1.0, "resumed": True}
    assert facts["config"] == {"n_params": 10**6, "lr": 0.05}
    assert daemon.series("run")["step"] == [100, 200]
    loss, n_params = daemon.rpc("scalars.query", run="run")["scalars"]
    assert (loss["columns"]["step"], n_params["columns"]["attempt"]) == ([100, 200, 0], [1, 2])

    third = new_run()
    third.observe(features, outputs, step=200)
    third.checkpoint(wait=True, timeout=30)
    third.finish()
    assert daemon.series("run")["attempt"] == [1, 3]
    assert [a["first_step"] for a in daemon.rpc("run.get", run="run")["attempts"]] == [100, None, 200]
    assert daemon.rpc("run.list")["runs"][0]["summary"] == facts["summary"]
    assert "best_loss" in daemon.richctl("show", "run")
