"""A daemon on one host, trainers on another: who has a key is let in, and nobody else."""

import json
import os
import signal
import stat
import subprocess

import pytest

from harness import BUILD, PATIENCE_S, clean_environment, wait_until
from hosts import ADDRESS, DAEMON_IP, PORT, join, pair, write_private

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


#: So long a trainer waits, as hearing of a refusal takes a handshake and a turn of a busy machine.
PATIENT_S = 6
#: What the trainer hears, and what the daemon's log says.
FAULTS = {
    "unknown key": ("does not know the key of this host", "10.99.0.2: key"),
    "read alone": ("does not know the key of this host", "line 2: a key does not read"),
    "wrong server": ("ends the handshake", "without showing a key, the last one from 10.99.0.2"),
    "no key": ("there is no key for tcp://10.99.0.1", None),
    "readable": ("there is no key for tcp://10.99.0.1", None),
}


def test_who_has_no_key_that_may_write_is_told_so(new_daemon, daemon_host, trainer_host, tmp_path):
    keys = {fault: pair() for fault in FAULTS}
    daemon = start(new_daemon, daemon_host, f"{keys['wrong server'][0]} gpu3 write",
                   f"{keys['read alone'][0]} reader read")
    programs = {}
    for fault, (public, secret) in keys.items():
        home = tmp_path / fault
        server = pair()[0] if fault == "wrong server" else daemon.endpoints["server_key"]
        if fault == "no key":
            programs[fault] = trainer_host.python(TRAINING, "default", "far", PATIENT_S, home=home,
                                                  RICHD_ENDPOINT=ADDRESS)
        elif fault == "readable":
            join(home, server, public, secret)
            (home / ".config" / "richd" / "joined").chmod(0o644)
            programs[fault] = trainer_host.python(TRAINING, "default", "far", PATIENT_S, home=home,
                                                  RICHD_ENDPOINT=ADDRESS)
        else:
            join(home, server, public, secret)
            programs[fault] = train(trainer_host, home, patience=PATIENT_S)
    for program in programs.values():  # all end at the same time
        program.stdin.close()
        program.stdin = None
    for fault, program in programs.items():
        told, logged = FAULTS[fault]
        lines, err = end_of(program)
        assert lines[0]["points"] == 0
        assert told in err, err
        if logged:
            wait_until(lambda text=logged: text in daemon.output, "the log to say so")
        assert keys[fault][1] not in daemon.output + err
    assert daemon.rpc("run.list")["runs"] == []


@pytest.mark.not_under("thread", because="it is about seconds")
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


def test_an_invitation_brings_both_clients_there(new_daemon, daemon_host, trainer_host, tmp_path):
    daemon = new_daemon("--listen", f"tcp://0.0.0.0:{PORT}")
    daemon.prefix = daemon_host.prefix
    daemon.state.mkdir()
    first = json.loads(daemon.richctl("--json", "invite", "gpu3", "--state-dir", daemon.state,
                                      "--address", DAEMON_IP))["invitation"]
    daemon.start()
    assert daemon.rpc("server.status")["network"] == [f"tcp://0.0.0.0:{PORT}"]
    pasted = daemon.richctl("invite", "gpu4", "--project", "mine,ours", "--address", ADDRESS[6:])
    assert pasted.startswith(" echo 'richd://10.99.0.1:24105/")
    names = [line.split()[1:] for line in
             (daemon.state / "authorised_keys").read_text().splitlines()]
    assert names == [["gpu3", "write"], ["gpu4", "write", "project=mine,ours"]]
    daemon.richctl("invite", "gpu3", "--address", DAEMON_IP, expect=1)

    home = {"HOME": str(tmp_path)}
    environment = clean_environment(**home, PATH=f"{BUILD}:{os.environ['PATH']}")
    shell = [*trainer_host.prefix, "sh", "-c"]
    done = subprocess.run([*shell, "richctl join"], input=first, env=environment, text=True,
                          capture_output=True, timeout=PATIENCE_S, check=True)
    joined = tmp_path / ".config" / "richd" / "joined"
    assert stat.S_IMODE(joined.stat().st_mode) == 0o600
    assert first[-40:] not in done.stdout + done.stderr
    done = subprocess.run([*trainer_host.prefix, BUILD / "example", "--steps", "2",
                           "--run", "in-c"],
                          env=environment, text=True, capture_output=True, timeout=PATIENCE_S,
                          check=False)
    assert (done.returncode, daemon.state_of("in-c")) == (0, "finished"), done.stderr
    lines, err = end_of(train(trainer_host, tmp_path))
    assert lines[0]["points"] == 1, err

    refused = subprocess.run([*shell, pasted], env=environment, text=True, capture_output=True,
                             timeout=PATIENCE_S, check=False)
    assert refused.returncode == 1
    assert "--yes replaces it" in refused.stderr
    joined.unlink()
    subprocess.run([*shell, pasted], env=environment, timeout=PATIENCE_S, check=True)
    assert joined.read_text().count("\n") == 5
    joined.write_text(joined.read_text().replace("secret ", "secret x"))
    done = subprocess.run([*trainer_host.prefix, BUILD / "example", "--steps", "1"],
                          env=environment, text=True, capture_output=True, timeout=PATIENCE_S,
                          check=False)
    assert "joined: line 5 is no key or address" in done.stdout + done.stderr


def test_a_c_trainer_without_the_right_key_is_told_so(new_daemon, daemon_host, trainer_host,
                                                      tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, f"{pair()[0]} gpu3 write")
    join(tmp_path, daemon.endpoints["server_key"], public, secret)
    done = subprocess.run([*trainer_host.prefix, BUILD / "example", "--steps", "1"], text=True,
                          env=clean_environment(HOME=str(tmp_path)), capture_output=True,
                          timeout=PATIENCE_S, check=False)
    assert "does not know the key of this host" in done.stdout + done.stderr
    plain = subprocess.run([*trainer_host.prefix, BUILD / "example", "--steps", "1"], text=True,
                           env=clean_environment(HOME=str(tmp_path / "none"),
                                                 RICHD_ENDPOINT=ADDRESS),
                           capture_output=True, timeout=PATIENCE_S, check=False)
    assert "there is no key for tcp://10.99.0.1" in plain.stdout + plain.stderr
    assert daemon.rpc("run.list")["runs"] == []


def test_an_invitation_makes_no_line_that_says_more(new_daemon, tmp_path):
    daemon = new_daemon().start()
    directory = tmp_path / "others"

    def invite(*words):
        done = subprocess.run([BUILD / "richctl", "--runtime-dir", daemon.runtime, "invite", *words,
                               "--address", ADDRESS.removeprefix("tcp://")], text=True,
                              env=clean_environment(), capture_output=True, timeout=PATIENCE_S,
                              check=False)
        return done.returncode, done.stderr

    assert invite("gpu1", "--project", "mine read")[0] != 0
    assert invite("gpu1", "--project", "mine\nevil")[0] != 0
    assert not (daemon.state / "authorised_keys").exists()
    authorise(daemon, "# gpu1 was here", f"{pair()[0]} gpu2 write")
    assert invite("gpu1")[0] == 0
    assert "a key gpu2 already" in invite("gpu2")[1]
    directory.mkdir()
    if os.getuid() == 0:
        os.chown(directory, 1, 1)
        assert "belongs to user 1" in invite("gpu3", "--state-dir", str(directory))[1]
