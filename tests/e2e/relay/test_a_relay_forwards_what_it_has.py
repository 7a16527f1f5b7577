"""Trainers of a relay are served there, and all that it stores is at the daemon behind it: live,
once, after any pause, with what describes the runs."""

import time

import pytest
from relaying import assert_same, await_level, has_run, is_level, problems
from sharing import train

from harness import free_port, richd, wait_until


def say_summary(trainer, **values):
    seq = trainer.log(0, said=1)
    trainer.wait(seq)
    trainer.seq += 1
    trainer.say("summary", seq=trainer.seq, summary=values)
    trainer.wait(trainer.seq)


def test_a_run_is_there_as_it_is_at_the_relay(relay, central):
    with relay.trainer("run", name="a name", project="p", group="g", tags=["x", "y"],
                       config={"lr": 0.1, "deep": {"a": [1, None]}}) as trainer:
        train(trainer, range(5))
        say_summary(trainer, best=0.5, none=None)
        trainer.finish()
    relay.rpc("run.edit", run="run", note="what a person wrote\nabout it")
    assert_same(relay, central, "run")
    told = central.rpc("run.get", run="run")
    assert (told["name"], told["project"], told["group"]) == ("a name", "p", "g")
    assert told["state"] == "finished" and told["note"] == "what a person wrote\nabout it"
    asked = {"run": "run", "layer": "head", "step": 4}
    assert central.rpc("spectrum.query", **asked) == relay.rpc("spectrum.query", **asked)
    await_level(relay)


def test_a_point_is_seen_within_a_second(relay, central):
    with relay.trainer("run") as trainer, central.subscribe() as subscription:
        train(trainer, [0])
        subscription.read_until(lambda s: s.points)
        began = time.monotonic()
        train(trainer, [1])
        subscription.read_until(lambda s: [p for p in s.points if p["step"] == 1])
        assert time.monotonic() - began < 10  # a second, on a machine that does nothing else
        assert central.state_of("run") == "open"


def test_what_was_stored_while_the_central_was_away_comes_once(new_central, new_daemon):
    central = new_central()
    relay = new_daemon("--upstream", central.address).start()
    with relay.trainer("run") as trainer:
        train(trainer, range(10))
        wait_until(lambda: relay.rpc("server.status")["upstream_lag_s"] > 0, "the lag")
        status = relay.rpc("server.status")
        assert status["upstream"] == central.address and status["upstream_waiting"] >= 10 * 4
        wait_until(lambda: "is away" in problems(relay), lambda: problems(relay))
        assert "goes on to" in relay.richctl("status")
        central.start()
        train(trainer, [10])
    await_level(relay)
    assert_same(relay, central, "run")
    assert not problems(relay)
    assert central.rpc("run.get", run="run")["n_points"] == 22


def test_a_restart_of_either_goes_on_where_it_was(relay, central):
    with relay.trainer("one") as trainer:
        train(trainer, range(3))
        trainer.finish()
    await_level(relay)
    before = central.rpc("server.status")["seq"]
    central.restart()
    relay.restart()
    await_level(relay)
    assert central.rpc("server.status")["seq"] == before  # nothing came again
    with relay.trainer("two") as trainer:
        train(trainer, range(3))
        trainer.finish()
    await_level(relay)
    for run in ("one", "two"):
        assert_same(relay, central, run)


def test_a_central_that_was_killed_while_nothing_was_to_be_said_is_met_again(relay, central):
    with relay.trainer("run") as trainer:
        train(trainer, [0])
        await_level(relay)
        for _ in range(2):
            wait_until(lambda: central.state_of("run") == "open", "it to be open")
            central.kill()
            central.start()
        wait_until(lambda: central.state_of("run") == "open", "it to be open")


def test_more_runs_than_a_batch_takes(relay, central):
    for i in range(70):
        with relay.trainer(f"run-{i}") as trainer:
            trainer.wait(trainer.log(0, loss=i))
            trainer.finish()
    await_level(relay)
    runs = central.rpc("run.list", limit=100)["runs"]
    assert len(runs) == 70 and {each["state"] for each in runs} == {"finished"}


def test_an_older_attempt_that_comes_late_hides_nothing(new_central, new_daemon):
    """A run was trained at a relay that is cut off, and goes on at the central one."""
    central = new_central()
    relay = new_daemon("--upstream", central.address).start()
    with relay.trainer("run") as trainer:
        train(trainer, range(4))
        trainer.finish()
    relay.stop()
    central.start()
    with central.trainer("run") as trainer:
        train(trainer, range(2, 6))
        relay.start()
        await_level(relay)
        assert central.series("run")["step"].count(5) == 1
        train(trainer, [6])  # it was not fenced off
        assert trainer.attempt == 1
        told = central.rpc("run.get", run="run")
        assert told["state"] == "open" and told["n_points"] == 2 * (4 + 5)
        trainer.finish()
    with central.trainer("run") as trainer:
        assert trainer.attempt == 3


def test_a_newer_attempt_at_a_relay_supersedes(relay, central):
    with central.trainer("run") as trainer:
        train(trainer, range(4))
        with relay.trainer("run") as moved:
            train(moved, range(2, 6))
            wait_until(lambda: 5 in central.series("run")["step"], "the points")
            trainer.acks.clear()
            trainer.log(4, loss=0)
            assert trainer.expect("nack")["code"] == "EFENCED"
            moved.finish()
    await_level(relay)
    assert central.series("run")["step"] == [0, 1, 2, 3, 4, 5]
    assert central.series("run")["attempt"] == [1, 1, 2, 2, 2, 2]


def test_two_relays_may_have_the_same_run(new_daemon, central):
    relays = [new_daemon("--upstream", central.address).start() for _ in range(2)]
    for i, relay in enumerate(relays):
        with relay.trainer("run") as trainer:
            train(trainer, range(3 * i, 3 * i + 3))
            trainer.finish()
        await_level(relay)
    assert central.series("run")["step"] == [0, 1, 2, 3, 4, 5]
    assert central.series("run")["attempt"] == [1, 1, 1, 2, 2, 2]


def test_what_is_deleted_at_the_central_stays_gone(relay, central):
    with relay.trainer("run") as trainer:
        train(trainer, [0])
        trainer.finish()
    await_level(relay)
    wait_until(lambda: has_run(central, "run"), "the run")
    central.rpc("run.delete", run="run")
    relay.rpc("run.edit", run="run", note="later")
    with relay.trainer("other") as trainer:
        train(trainer, [0])
        trainer.finish()
    await_level(relay)
    assert has_run(central, "other") and not has_run(central, "run")
    relay.restart()
    await_level(relay)
    assert not has_run(central, "run")


def test_what_is_deleted_at_the_relay_goes(relay, central):
    for daemon, run in ((relay, "run"), (central, "own")):
        with daemon.trainer(run) as trainer:
            train(trainer, [0])
            trainer.finish()
    await_level(relay)
    wait_until(lambda: has_run(central, "run"), "the run")
    relay.rpc("run.delete", run="run")
    wait_until(lambda: not has_run(central, "run"), "it to be gone")
    assert has_run(central, "own")


def test_what_a_person_edits_at_the_central_stays(relay, central):
    with relay.trainer("run", name="told") as trainer:
        train(trainer, [0])
        wait_until(lambda: has_run(central, "run"), "the run")
        central.rpc("run.edit", run="run", name="edited", tags=["mine"], hidden=True, note="so")
        train(trainer, [1])
        trainer.finish()
    await_level(relay)
    told = central.rpc("run.get", run="run")
    assert (told["name"], told["tags"], told["hidden"], told["note"]) == \
        ("edited", ["mine"], True, "so")


def test_a_relay_may_stand_behind_a_relay(new_central, new_daemon, central):
    middle = new_central("--upstream", central.address).start()
    first = new_daemon("--upstream", middle.address).start()
    with first.trainer("run") as trainer:
        train(trainer, range(3))
        trainer.finish()
    await_level(first)
    wait_until(lambda: has_run(middle, "run"), "the run")
    await_level(middle)
    assert_same(first, central, "run")


def test_a_way_that_leads_back_is_refused(new_central):
    one = new_central()
    two = new_central("--upstream", one.address)
    one.flags += ["--upstream", two.address]
    one.start()
    two.start()
    with one.trainer("run") as trainer:
        train(trainer, [0])
        trainer.finish()
    wait_until(lambda: "leads back to this daemon" in problems(one) + problems(two),
               lambda: problems(one) + problems(two))
    assert one.rpc("run.get", run="run")["n_points"] == 2


def test_a_daemon_does_not_forward_to_itself(new_central):
    daemon = new_central()
    daemon.flags += ["--upstream", daemon.address]
    daemon.start()
    wait_until(lambda: "leads back" in problems(daemon), lambda: problems(daemon))


def test_a_store_that_was_put_back_sends_what_it_has(relay, central, tmp_path):
    with relay.trainer("run") as trainer:
        train(trainer, range(2))
        await_level(relay)
        relay.richctl("backup", str(tmp_path / "copy"))
        train(trainer, range(2, 4))
        trainer.finish()
    await_level(relay)
    relay.stop()
    assert richd("--state-dir", relay.state, "--restore", tmp_path / "copy").returncode == 0
    relay.start()
    with relay.trainer("run") as trainer:
        train(trainer, range(2, 5))
        trainer.finish()
    await_level(relay)
    assert central.series("run")["step"] == [0, 1, 2, 3, 4]


def test_a_full_disk_at_the_central_delays_and_heals(relay, central):
    with relay.trainer("run") as trainer:
        train(trainer, [0])
        await_level(relay)
        central.fill_disk()
        train(trainer, range(1, 30))
        wait_until(lambda: relay.rpc("server.status")["upstream_lag_s"] > 0 and problems(relay),
                   "the problem")
        central.free_disk()
        trainer.finish()
    await_level(relay)
    assert_same(relay, central, "run")


def test_the_metrics_tell_the_lag(new_daemon):
    relay = new_daemon("--upstream", f"tcp://127.0.0.1:{free_port()}", RICHD_HTTP="on").start()
    with relay.trainer("run") as trainer:
        train(trainer, [0])
    wait_until(lambda: relay.rpc("server.status")["upstream_lag_s"] > 0, "the lag")
    assert not is_level(relay)


def test_a_daemon_that_only_reads_takes_no_relay_and_is_none(new_daemon, tmp_path):
    done = richd("--state-dir", tmp_path, "--check-config", "--read-only", "on", "--history",
                 "host=nowhere", "--upstream", "tcp://127.0.0.1:1")
    assert done.returncode != 0 and "forwards nothing" in done.stderr


@pytest.mark.parametrize("address", ["localhost:1", "tcp://", "tcp://host", "http://host:1"])
def test_an_address_that_is_none_is_refused_at_the_start(address, tmp_path):
    done = richd("--state-dir", tmp_path, "--check-config", "--upstream", address)
    assert done.returncode != 0 and "upstream (flag)" in done.stderr, done.stderr
