"""A daemon on one host, trainers on another: who has a key is let in, and nobody else."""

import json
import os
import signal
import stat

import pytest

from harness import PATIENCE_S, wait_until
from hosts import ADDRESS, join, pair, write_private

#: Trains until a line comes on stdin, or once; prints what became of it.
TRAINING = """
import json, sys, time
import numpy as np
import richd

with richd.init(project=sys.argv[1], name=sys.argv[2], spool_bytes=0) as run:
    rng = np.random.default_rng(0)
    def step(i):
        x = rng.standard_normal((64, 8)).astype("float32")
        run.observe(x, x @ rng.standard_normal((8, 3)).astype("float32"), step=i)
        points = run.checkpoint(i, wait=True, timeout=float(sys.argv[3]))
        print(json.dumps({"step": i, "points": len(points)}), flush=True)
    step(0)
    for i, line in enumerate(sys.stdin, 1):
        step(i)
print(json.dumps({"error": run.stats.last_error}), flush=True)
"""


def authorise(daemon, *lines):
    write_private(daemon.state / "authorised_keys", "".join(f"{line}\n" for line in lines))


def start(new_daemon, host, *lines, **environment):
    daemon = new_daemon("--listen", ADDRESS, **environment)
    authorise(daemon, *lines)
    daemon.prefix = host.prefix
    return daemon.start()


def train(host, home, project="default", name="far", patience=PATIENCE_S):
    return host.python(TRAINING, project, name, patience, home=home)


def line_of(program):
    line = program.stdout.readline()
    assert line, program.stderr.read()
    return json.loads(line)


def end_of(program):
    out, err = program.communicate(timeout=2 * PATIENCE_S)
    lines = [json.loads(line) for line in out.splitlines()]
    return lines, err


def test_a_trainer_with_a_key_is_measured(new_daemon, daemon_host, trainer_host, tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, "# ours", f"{public} gpu3 write")
    told = daemon.endpoints
    assert told["network"] == [ADDRESS]
    assert told["ingest"].startswith("ipc://")
    key = daemon.state / "server.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert f"public {told['server_key']}\n" in key.read_text()
    join(tmp_path, told["server_key"], public, secret)
    lines, err = end_of(train(trainer_host, tmp_path))
    assert [line.get("points") for line in lines] == [1, None], err
    assert daemon.rpc("run.list")["runs"][0]["state"] == "finished"
    with daemon.trainer("near") as near:  # who is on this machine needs none
        near.close()
    for secret_text in (secret, [w for w in key.read_text().split() if len(w) == 40][-1]):
        assert secret_text not in daemon.output + err
    daemon.stop()
    daemon.start()  # the key is kept
    assert daemon.endpoints["server_key"] == told["server_key"]


def test_a_key_of_a_project_opens_no_other_run(new_daemon, daemon_host, trainer_host, tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, f"{public} gpu3 write project=mine,ours")
    with daemon.trainer("theirs", project="secret"):
        join(tmp_path, daemon.endpoints["server_key"], public, secret)
        lines, err = end_of(train(trainer_host, tmp_path, project="other", patience=2))
        assert 'may not write into project "other", but into mine,ours' in err
        lines, err = end_of(train(trainer_host, tmp_path, project="ours"))
        assert lines[0]["points"] == 1, err
        taken = trainer_host.python(
            "import richd; r = richd.init(project='mine', run_id='theirs', spool_bytes=0);"
            "r.log(1, x=1.0); r.finish(); print(r.stats.last_error)", home=tmp_path)
        out, err = taken.communicate(timeout=PATIENCE_S)
        assert "in a project that the key may not write into" in out + err
        assert daemon.rpc("run.get", run="theirs")["project"] == "secret"


@pytest.mark.parametrize("fault", ["unknown key", "wrong server", "read alone", "no key"])
def test_who_has_no_key_that_may_write_is_told_so(new_daemon, daemon_host, trainer_host, tmp_path,
                                                  fault):
    public, secret = pair()
    rights = "read" if fault == "read alone" else "write"
    known = pair()[0] if fault == "unknown key" else public
    daemon = start(new_daemon, daemon_host, f"{known} gpu3 {rights}")
    server = pair()[0] if fault == "wrong server" else daemon.endpoints["server_key"]
    if fault == "no key":
        program = trainer_host.python(TRAINING, "default", "far", 2, home=tmp_path,
                                      RICHD_ENDPOINT=ADDRESS)
    else:
        join(tmp_path, server, public, secret)
        program = train(trainer_host, tmp_path, patience=2)
    lines, err = end_of(program)
    assert lines[0]["points"] == 0
    told = {"unknown key": "does not know the key", "read alone": "does not know the key",
            "wrong server": "ends the handshake", "no key": "asks for a key"}[fault]
    assert told in err, err
    assert daemon.rpc("run.list")["runs"] == []
    logged = {"unknown key": "10.99.0.2: key", "read alone": "may not write: gpu3"}.get(
        fault, "without showing a key, the last one from 10.99.0.2")
    wait_until(lambda: logged in daemon.output, "the log to name the host")
    assert secret not in daemon.output + err


@pytest.mark.parametrize("by", ["SIGHUP", "itself"])
def test_a_key_that_is_taken_away_loses_its_run(new_daemon, daemon_host, trainer_host, tmp_path,
                                                by):
    (public, secret), other = pair(), pair()[0]
    daemon = start(new_daemon, daemon_host, f"{public} gpu3 write", f"{other} gpu4 write")
    join(tmp_path, daemon.endpoints["server_key"], public, secret)
    program = train(trainer_host, tmp_path, patience=8 if by == "SIGHUP" else 2)
    assert line_of(program)["points"] == 1
    authorise(daemon, f"{other} gpu4 write", "what is this")
    if by == "SIGHUP":
        daemon.signal(signal.SIGHUP)
    wait_until(lambda: "authorised_keys: 1 keys" in daemon.output, "the file to be read again")
    assert "line 2: the first word is no key" in daemon.output
    wait_until(lambda: "cut off a trainer whose key may write no longer" in daemon.output,
               "the trainer to be cut off")
    program.stdin.write("\n")
    program.stdin.flush()
    if by == "SIGHUP":  # and given back
        wait_until(lambda: "refused a trainer at 10.99.0.2" in daemon.output, "it to come again")
        authorise(daemon, f"{public} gpu3 write")
        assert line_of(program)["points"] == 1
    lines, err = end_of(program)
    if by == "itself":
        assert lines[0]["points"] == 0
        assert "does not know the key of this host" in err, err


def test_without_keys_nothing_listens_on_a_network(new_daemon, daemon_host):
    daemon = new_daemon("--listen", ADDRESS)
    daemon.prefix = daemon_host.prefix
    daemon.launch()
    assert daemon.process.wait(PATIENCE_S) == 78
    daemon.process = None
    assert f"{ADDRESS} is not a loopback address, and nobody may connect there: " in daemon.output
    authorise(daemon, f"{pair()[0]} gpu3 write")
    daemon.start()
    daemon.stop()
    os.chmod(daemon.state / "server.key", 0o640)
    daemon.launch()
    assert daemon.process.wait(PATIENCE_S) == 69
    daemon.process = None
    assert "server.key: others than its owner may read or write it" in daemon.output
