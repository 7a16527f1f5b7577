"""What readers cost the daemon: long answers wait in files, and nobody else pays for them."""

import contextlib
import json
import pathlib
import resource
import socket
import sqlite3

import pytest

from harness import PATIENCE_S, Feed, connect_feed, draw, wait_until
from httpclient import WebSocket, port_of, request

N_VALUES = 100_000


@pytest.fixture
def daemon(new_daemon):
    """With a scalar of 100,000 values, whose answer has 6 MB, and 2,000 points, of 1.8 KB each."""
    daemon = new_daemon("--http", "127.0.0.1:0").start()
    with daemon.trainer("run") as trainer:
        for step in range(20):
            trainer.rows(*draw(40, 6, 3, seed=step))
            trainer.mark(step)
        trainer.wait(trainer.log(0, loss=1))
        trainer.finish()
    daemon.stop()
    with contextlib.closing(sqlite3.connect(daemon.state / "richd.sqlite")) as db, db:
        db.execute("INSERT INTO scalar (name_key, attempt, step, time, value, feed_seq)"
                   " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
                   " SELECT name_key, 1, i, 1.7e9 + i / 7.0, i / 7.0, 1000 + i"
                   " FROM scalar_name, n", [N_VALUES - 1])
        others = [c for _, c, *_ in db.execute("PRAGMA table_info(point)")
                  if c not in ("step", "feed_seq")]
        db.execute(f"INSERT INTO point (step, feed_seq, {', '.join(others)})"
                   " WITH RECURSIVE n(i) AS (SELECT 20 UNION ALL SELECT i + 1 FROM n LIMIT 2000)"
                   f" SELECT i, 80 + i, {', '.join(others)} FROM point, n WHERE step = 0")
        db.execute("UPDATE scalar SET feed_seq = feed_seq + 10000")
        db.execute("UPDATE state SET feed_seq = ?", [20000 + N_VALUES])
    return daemon.start()


LONG = {"run": "run", "points": N_VALUES}
LONG_PATH = f"runs/run/scalars?points={N_VALUES}"


def line(method, **params):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}) + "\n"


def peak_bytes(daemon):
    """The most that the daemon has ever held."""
    status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
    (peak,) = [row.split()[1] for row in status.splitlines() if row.startswith("VmHWM:")]
    return int(peak) * 1024


def stalled_page(daemon, path):
    """A connection that asks and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port_of(daemon)))
    sock.sendall(f"GET /api/v1/{path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def stalled_feed(daemon, *lines):
    sock = connect_feed(daemon.endpoints["feed"])
    sock.sendall("".join(lines).encode())
    return sock


def stalled_socket(daemon, *lines):
    reader = WebSocket(daemon, receive_buffer=4096)
    for text in lines:
        reader.send(text.encode())
    return reader


@pytest.mark.not_under("address", "thread", because="their shadow memory is counted, too")
def test_long_answers_that_nobody_reads_cost_little(daemon):
    before = peak_bytes(daemon)
    with contextlib.ExitStack() as stack:
        socks = []
        for _ in range(3):  # six answers of 6 MB
            socks.append(stack.enter_context(stalled_page(daemon, LONG_PATH)))
            socks.append(stack.enter_context(contextlib.closing(
                stalled_feed(daemon, line("scalars.query", **LONG)))))
        wait_for_answers(socks)
        assert len(request(daemon, f"/api/v1/{LONG_PATH}").json["scalars"][0]["columns"]["step"]) \
            == N_VALUES, "who asks after them is answered behind them"
        assert peak_bytes(daemon) - before < 64e6
    wait_until(lambda: daemon.rpc("server.status")["connections"] == 1, "them to be forgotten")
    daemon.assert_grew_less(before, 48e6)


def test_an_answer_that_waited_in_a_file_is_the_same(daemon):
    with contextlib.ExitStack() as stack:
        asked = [stack.enter_context(Feed(daemon.endpoints["feed"])) for _ in range(3)]
        for feed in asked:
            feed.send(line("scalars.query", **LONG))
        page = request(daemon, f"/api/v1/{LONG_PATH}")
        assert [feed.receive()["result"] for feed in asked] == [page.json] * 3
        rows = request(daemon, f"/api/v1/runs/run/scalars.csv?points={N_VALUES}").text
    assert rows.count("\r\n") == 1 + N_VALUES


#: Pages that fill all room for texts: 64 files, and 64 MB of memory. What comes behind is refused.
N_WRITTEN = 200


def wait_for_answers(socks):
    """Until the first bytes of each have come, which stay where they are: it is written then."""
    for sock in socks:
        sock.settimeout(PATIENCE_S)
        assert sock.recv(1, socket.MSG_PEEK)


N_LAYERS = 20_000


@pytest.mark.not_under("address", "thread", because="their shadow memory is counted, too")
def test_the_latest_of_many_layers_costs_little(daemon):
    """Their points, of 1.8 KB each, are written while they are read."""
    daemon.stop()
    with contextlib.closing(sqlite3.connect(daemon.state / "richd.sqlite")) as db, db:
        for table, own in ("layer", {"layer_key": "1000 + i", "name": "'layer-' || i"}), \
                          ("point", {"layer_key": "1000 + i", "feed_seq": "1000000 + i"}):
            others = [c for _, c, *_ in db.execute(f"PRAGMA table_info({table})") if c not in own]
            where = "layer_key = 1" if table == "layer" else "layer_key = 1 AND step = 19"
            db.execute(f"INSERT INTO {table} ({', '.join([*own, *others])})"
                       " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"
                       f" SELECT {', '.join([*own.values(), *others])} FROM {table}, n"
                       f" WHERE {where}", [N_LAYERS])
        db.execute("UPDATE state SET feed_seq = 2000000")
        db.execute("UPDATE layer SET last_step = 19")
    daemon.start()
    daemon.rpc("server.status")
    before = peak_bytes(daemon)
    with Feed(daemon.endpoints["feed"]) as feed:
        feed.send(line("series.subscribe"))
        latest = feed.receive()["result"]
        assert latest["seq"] == "2000000"
        assert len(latest["points"]) == N_LAYERS + 1
        assert [s["name"] for s in latest["scalars"]] == ["loss"]
    assert peak_bytes(daemon) - before < 100e6


def stall(daemon, stack, n):
    """So many readers of the feed and as many WebSockets: each subscribes to all from the start,
    asks for a series, and reads nothing."""
    lines = line("series.subscribe", since_seq="0"), line("series.query", run="run", limit=9)
    socks = []
    for _ in range(n):
        socks.append(stack.enter_context(contextlib.closing(stalled_feed(daemon, *lines))))
        socks.append(stack.enter_context(contextlib.closing(stalled_socket(daemon, *lines))).sock)
    wait_until(lambda: daemon.rpc("server.status")["connections"] == 2 * n + 1, "all of them")
    wait_for_answers(socks[:N_WRITTEN])


def assert_stalled_readers_cost_less(daemon, n, limit_bytes):
    before = peak_bytes(daemon)
    with contextlib.ExitStack() as stack:
        stall(daemon, stack, n)
        with daemon.trainer("live") as trainer:  # what it tells them waits in the store
            for step in range(200):
                trainer.rows(*draw(40, 6, 3, seed=step))
                trainer.mark(step)
            trainer.finish()
        page = daemon.series("live")
        assert page["step"] == list(range(200)), "others are served"
        assert peak_bytes(daemon) - before < limit_bytes


@pytest.mark.not_under("address", "thread", because="their shadow memory is counted, too")
def test_stalled_subscribers_cost_little(daemon):
    assert_stalled_readers_cost_less(daemon, 40, 100e6)  # 80 pages of 1.8 MB


@pytest.mark.long
@pytest.mark.not_under("address", "thread", because="their shadow memory is counted, too")
def test_two_thousand_stalled_readers_cost_less_than_100_mb(daemon):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        assert_stalled_readers_cost_less(daemon, 1000, 100e6)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
