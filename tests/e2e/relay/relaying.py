"""What the tests of relays have in common."""

from harness import wait_until
from sharing import answers


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
    wait_until(lambda: has_run(central, run) and answers(central, run) == answers(relay, run),
               lambda: f"the same: {differences(answers(central, run), answers(relay, run))}")


def differences(found, expected, path=""):
    """Where the two differ."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        return [each for key in found
                for each in differences(found[key], expected[key], f"{path}.{key}")]
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        return [each for i, pair in enumerate(zip(found, expected))
                for each in differences(*pair, f"{path}[{i}]")]
    return [] if found == expected else [f"{path} is {found!r:.200}, not {expected!r:.200}"]
