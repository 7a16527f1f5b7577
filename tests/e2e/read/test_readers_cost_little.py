"""What readers cost the daemon: long answers wait in files, and nobody else pays for them."""

import contextlib
import json
import pathlib
import socket
import sqlite3

import pytest

from harness import Feed, connect_feed, draw, wait_until
from httpclient import WebSocket, port_of, request

N_VALUES = 100_000


@pytest.fixture
def daemon(new_daemon):
    """With a scalar of 100,000 values, whose answer has 6 MB."""
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
        db.execute("UPDATE state SET feed_seq = ?", [1000 + N_VALUES])
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
        for _ in range(6):  # 12 answers of 6 MB
            stack.enter_context(stalled_page(daemon, LONG_PATH))
            stack.enter_context(contextlib.closing(
                stalled_feed(daemon, line("scalars.query", **LONG))))
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
