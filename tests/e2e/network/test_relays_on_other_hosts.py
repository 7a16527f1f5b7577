"""A relay on one host, the daemon behind it on another: it is let in by its key, writes what that
may write, and waits while the cable is cut."""

import os
import subprocess

import pytest

from harness import BUILD, clean_environment, wait_until
from hosts import ADDRESS, DAEMON_IP, PORT, pair
from test_trainers_on_other_hosts import authorise, start


def invite(central, tmp_path, *more):
    """The line of `richctl invite`, taken by `richctl join --relay` into that home."""
    line = central.richctl("invite", "login1", "--address", f"{DAEMON_IP}:{PORT}", *more)
    word = next(w.strip("'") for w in line.split() if w.strip("'").startswith("richd://"))
    done = subprocess.run([BUILD / "richctl", "join", "--relay"], input=word, text=True,
                          env=clean_environment(HOME=str(tmp_path)), capture_output=True,
                          check=True)
    assert (tmp_path / ".config" / "richd" / "upstream").exists() and "forward" in done.stdout
    assert not (tmp_path / ".config" / "richd" / "joined").exists()
    wait_until(lambda: "1 keys may connect" in central.output, "the key to be read")


@pytest.fixture
def central(new_daemon, daemon_host):
    return start(new_daemon, daemon_host, "# nobody yet")


@pytest.fixture
def relay(new_daemon, trainer_host, tmp_path):
    daemon = new_daemon("--upstream", ADDRESS, HOME=str(tmp_path))
    daemon.prefix = trainer_host.prefix
    return daemon


def train(relay, run, steps, **fields):
    with relay.trainer(run, **fields) as trainer:
        for step in range(steps):
            trainer.wait(trainer.log(step, loss=step))
        trainer.finish()


def runs_of(daemon):
    return {each["run"] for each in daemon.rpc("run.list")["runs"]}


def problems(daemon):
    return " ".join(daemon.rpc("server.status")["problems"])


def test_a_cut_cable_costs_lag(central, relay, trainer_host, tmp_path):
    invite(central, tmp_path)
    relay.start()
    train(relay, "before", 3)
    wait_until(lambda: runs_of(central) == {"before"}, "the run")
    trainer_host.cable("down")
    train(relay, "meanwhile", 20)
    wait_until(lambda: relay.rpc("server.status")["upstream_lag_s"] > 0, "the lag")
    if os.environ.get("RICHD_TESTS") == "all":  # 5 s, and as long again until TCP tries again
        wait_until(lambda: "nobody answers" in problems(relay), lambda: problems(relay))
    trainer_host.cable("up")
    wait_until(lambda: runs_of(central) == {"before", "meanwhile"}, "the run")
    wait_until(lambda: relay.rpc("server.status")["upstream_waiting"] == 0, "the rest")
    columns = central.rpc("scalars.query", run="meanwhile")["scalars"][0]["columns"]
    assert columns["step"] == list(range(20))


def test_a_key_of_some_projects_forwards_these_alone(central, relay, tmp_path):
    invite(central, tmp_path, "--project", "vision")
    relay.start()
    train(relay, "ours", 1, project="vision")
    train(relay, "theirs", 1, project="speech")
    train(relay, "more", 1, project="vision")
    wait_until(lambda: runs_of(central) == {"ours", "more"}, lambda: runs_of(central))
    wait_until(lambda: 'run "theirs" is in project "speech"' in problems(relay),
               lambda: problems(relay))
    assert relay.rpc("server.status")["upstream_waiting"] == 0


def test_a_key_that_is_not_known_or_revoked_is_told(central, relay, tmp_path):
    relay.start()
    wait_until(lambda: "no key for it" in problems(relay), lambda: problems(relay))
    relay.stop()
    invite(central, tmp_path)
    authorise(central, f"{pair()[0]} another write")
    wait_until(lambda: central.output.count("1 keys may connect") == 2, "the file to be read")
    relay.start()
    train(relay, "run", 1)
    wait_until(lambda: "key" in problems(relay), lambda: problems(relay))
    assert runs_of(central) == set() and runs_of(relay) == {"run"}
