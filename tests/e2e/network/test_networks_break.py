"""Cables that are cut, hosts that die, and those who only knock."""

from harness import MEMORY_SLACK, PATIENCE_S, wait_until
from hosts import DAEMON_IP, PORT, SECOND_IP, join, pair
from test_trainers_on_other_hosts import line_of, start, train

#: Connects so many times, sends what it is told, and says when that is done; ends with stdin.
KNOCKING = """
import socket, sys
n, text = int(sys.argv[3]), bytes.fromhex(sys.argv[4])
made = []
for _ in range(n):
    peer = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
    made.append(peer)
    try:
        peer.sendall(text)
    except OSError:
        pass
print("knocked", flush=True)
sys.stdin.read()
"""
GREETING = bytes.fromhex("ff00000000000000017f0300") + b"CURVE".ljust(20, b"\0") + bytes(32)


def knock(host, n, text):
    program = host.python(KNOCKING, DAEMON_IP, PORT, n, text.hex(), home="/")
    assert program.stdout.readline() == "knocked\n", program.stderr.read()
    return program


def step(program):
    program.stdin.write("\n")
    program.stdin.flush()


def test_a_cable_that_is_cut_and_plugged_in_again_costs_no_checkpoint(new_daemon, daemon_host,
                                                                      trainer_host, tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, f"{public} gpu3 write")
    join(tmp_path, daemon.endpoints["server_key"], public, secret)
    program = train(trainer_host, tmp_path, patience=PATIENCE_S)
    assert line_of(program)["points"] == 1
    (run,) = daemon.rpc("run.list")["runs"]
    trainer_host.cable("down")
    step(program)  # its answer cannot come
    told = daemon.rpc("server.status")["rows"]
    trainer_host.cable("up")
    assert line_of(program) == {"step": 1, "points": 1}
    assert daemon.rpc("server.status")["rows"] > told
    program.communicate(timeout=PATIENCE_S)
    assert daemon.series(run["run"])["step"] == [0, 1]
    assert daemon.rpc("run.get", run=run["run"])["attempt"] == 1


def test_who_only_knocks_costs_little_and_is_counted(new_daemon, daemon_host, trainer_host,
                                                     network, tmp_path):
    public, secret = pair()
    daemon = start(new_daemon, daemon_host, f"{public} gpu3 write")
    join(tmp_path, daemon.endpoints["server_key"], public, secret)
    scanner = network.host(SECOND_IP)
    before, cpu_s = daemon.resident_bytes(), daemon.cpu_seconds()
    scans = [knock(scanner, 300, b""), knock(scanner, 300, b"GET / HTTP/1.1\r\n\r\n"),
             knock(scanner, 200, b"\xff" * 100), knock(scanner, 200, GREETING)]
    wait_until(lambda: "256 others have shown no key so far" in daemon.output,
               "the log to tell of those that were turned away")
    program = train(trainer_host, tmp_path)
    line_of(program)
    wait_until(lambda: daemon.rpc("run.list")["runs"], "a place, when others have had their time")

    def has_a_point():
        step(program)
        return line_of(program)["points"] == 1

    wait_until(has_a_point, "a point")
    program.communicate(timeout=PATIENCE_S)
    wait_until(lambda: "without showing a key, the last one from 10.99.0.3" in daemon.output,
               "the log to count the others")
    daemon.assert_grew_less(before, 48 << 20)
    assert daemon.cpu_seconds() - cpu_s < 5 * MEMORY_SLACK
    assert daemon.output.count("10.99.0.3") < 12  # of a thousand
    for scan in scans:
        scan.communicate(timeout=PATIENCE_S)


def test_ranks_on_two_hosts_make_one_point(new_daemon, daemon_host, trainer_host, network,
                                           tmp_path):
    keys, homes = [pair(), pair()], [tmp_path / "a", tmp_path / "b"]
    daemon = start(new_daemon, daemon_host,
                   *(f"{public} host{i} write" for i, (public, _) in enumerate(keys)))
    for home, (public, secret) in zip(homes, keys):
        join(home, daemon.endpoints["server_key"], public, secret)
    script = """
import sys, numpy as np, richd
rank = int(sys.argv[1])
with richd.init(run_id="job", rank=rank, world_size=2, launch="job-1", spool_bytes=0) as run:
    x = np.random.default_rng(rank).standard_normal((100 + rank, 4)).astype("float32")
    run.observe(x, x[:, :2] * 2, step=0)
    print(len(run.checkpoint(0, wait=True, timeout=30)), flush=True)
"""
    programs = [host.python(script, rank, home=homes[rank])
                for rank, host in enumerate([trainer_host, network.host(SECOND_IP)])]
    ends = [program.communicate(timeout=2 * PATIENCE_S) for program in programs]
    assert [out for out, _ in ends] == ["1\n", "1\n"], ends
    assert daemon.series("job")["n"] == [201]
    assert daemon.state_of("job") == "finished"
