"""What the tests of relays have in common."""

import sharing
from harness import wait_until


def is_level(relay):
    status = relay.rpc("server.status")
    return status["upstream_waiting"] == 0 and status["upstream_lag_s"] == 0


def await_level(relay):
    """All that was stored has gone on."""
    wait_until(lambda: is_level(relay), lambda: relay.rpc("server.status"))


def has_run(daemon, run):
    return run in [each["run"] for each in daemon.rpc("run.list")["runs"]]


def problems(daemon):
    return " ".join(daemon.rpc("server.status")["problems"])


def assert_same(relay, central, run):
    """The central one says of the run what the relay says, as soon as that has come."""
    wait_until(lambda: has_run(central, run), "the run")
    sharing.assert_same(central, relay, run)
