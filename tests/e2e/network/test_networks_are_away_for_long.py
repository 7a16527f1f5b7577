"""A cable that is cut for long, and a host that dies for good. They wait for most of a minute, so
they run with RICHD_TESTS=all alone (`make test-long`)."""

import subprocess
import time

from harness import PATIENCE_S, wait_until
from hosts import PORT, join, pair
from test_networks_break import step
from test_trainers_on_other_hosts import line_of, start, train


def test_rows_on_a_cable_that_is_cut_for_ten_seconds_are_missing_and_said_so(
        new_daemon, daemon_host, trainer_host, tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, f"{public} gpu3 write")
    join(tmp_path, daemon.endpoints["server_key"], public, secret)
    program = train(trainer_host, tmp_path)
    assert line_of(program)["points"] == 1
    trainer_host.cable("down")
    cut_at = time.monotonic()
    step(program)
    line_of(program)  # the trainer has found that nobody answers
    wait_until(lambda: time.monotonic() - cut_at > 10, "ten seconds")
    trainer_host.cable("up")
    (run,) = daemon.rpc("run.list")["runs"]

    def is_back():
        step(program)
        return line_of(program)["points"] == 1

    wait_until(is_back, "the trainer to come back")
    program.communicate(timeout=PATIENCE_S)
    columns = daemon.series(run["run"])
    assert (columns["step"][0], columns["rows_missing"][0]) == (0, 0)
    assert sum(columns["n"]) + sum(columns["rows_missing"]) == 64 * (columns["step"][-1] + 1)
    assert sum(columns["rows_missing"]) >= 64  # those of the step that was on its way
    assert daemon.rpc("run.get", run=run["run"])["attempt"] == 1


def test_a_host_that_dies_for_good_loses_its_run_and_its_connection(new_daemon, daemon_host,
                                                                    trainer_host, tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, f"{public} gpu3 write")
    join(tmp_path, daemon.endpoints["server_key"], public, secret)
    program = train(trainer_host, tmp_path)
    assert line_of(program)["points"] == 1
    (run,) = daemon.rpc("run.list")["runs"]
    trainer_host.cable("down")  # nothing says that it has gone
    wait_until(lambda: daemon.state_of(run["run"]) == "lost", "30 s of silence", 60)

    def connections():
        listed = subprocess.run([*daemon_host.prefix, "ss", "-Htn", "state", "established"],
                                capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        return [line for line in listed.stdout.splitlines() if f":{PORT}" in line]

    wait_until(lambda: not connections(), "keepalive to close the connection", 60)
    program.kill()
    program.communicate()
