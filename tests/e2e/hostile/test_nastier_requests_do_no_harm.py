"""Requests over the feed's socket, HTTP and WebSockets as no reader sends them: each is answered
with an error that names its trouble, or the connection is cut."""

import contextlib
import json
import socket

import pytest

from harness import Feed, RpcError, wait_until
from httpclient import BINARY, CLOSE, PING, PONG, TEXT, WebSocket, connect as connect_http, raw

pytestmark = pytest.mark.not_under("thread", because="each is one message on one thread")

MOST = 2**63 - 1

#: A method, its parameters, and the code of the error; None: it is answered.
REQUESTS = {
    "since the last number there is": ("series.subscribe", {"since_seq": str(MOST)}, None),
    "since 2^63": ("series.subscribe", {"since_seq": str(2**63)}, -32602),
    "since 2^53 + 1 as a number": ("series.subscribe", {"since_seq": 2**53 + 1}, -32602),
    "from behind to": ("series.query", {"run": "healthy", "from": 9, "to": 3}, None),
    "from 2^63 - 1": ("series.query", {"run": "healthy", "from": str(MOST)}, None),
    "from -0": ("series.query", {"run": "healthy", "from": -0.0}, None),
    "next without limit": ("series.query", {"run": "healthy", "next": "1:1"}, -32602),
    "next that is none": ("series.query", {"run": "healthy", "limit": 1, "layer": "head",
                                           "next": "1:01"}, -32602),
    "next beyond all": ("series.query", {"run": "healthy", "limit": 1, "layer": "head",
                                         "next": f"{MOST}:{MOST}"}, None),
    "next of 2^63": ("series.query", {"run": "healthy", "limit": 1, "layer": "head",
                                      "next": f"1:{2**63}"}, -32602),
    "1,024 names": ("scalars.query", {"run": "healthy", "names": ["n" * 200] * 1024}, -32001),
    "1,025 names": ("scalars.query", {"run": "healthy", "names": ["n"] * 1025}, -32602),
    "names in names": ("scalars.query", {"run": "healthy", "names": [["a"]]}, -32602),
    "a layer of 257 bytes": ("series.query", {"run": "healthy", "layer": "l" * 257}, -32602),
    "somebody's subscription": ("series.unsubscribe", {"sub": 1}, -32001),
    "a subscription of 2^63 - 1": ("series.unsubscribe", {"sub": str(MOST)}, -32001),
    "a spectrum that is not there": ("spectrum.query", {"run": "healthy", "step": str(MOST)},
                                     -32001),
    "a map of no probe": ("representation.map", {"run": "healthy", "step": 1, "from": 1}, -32602),
    "page 2^31 - 1": ("run.list", {"offset": 2**31 - 1, "limit": 1000}, None),
    "page 2^31": ("run.list", {"offset": 2**31}, -32602),
    "a search for a pattern": ("run.list", {"search": "%_\\%'--"}, None),
    "a run that is a statement": ("run.get", {"run": "'; DROP TABLE run; --"}, -32001),
    "a parameter of another method": ("run.list", {"run": "healthy"}, -32602),
}


@pytest.mark.parametrize(("method", "params", "code"), REQUESTS.values(), ids=REQUESTS.keys())
def test_nastier_requests_do_no_harm(daemon, method, params, code):
    if code is None:
        daemon.rpc(method, **params)
        return
    with pytest.raises(RpcError) as refused:
        daemon.rpc(method, **params)
    assert refused.value.code == code and len(refused.value.text) > 10


def test_2000_requests_in_one_piece_are_answered_in_order(daemon):
    methods = ["server.status", "run.list", "nonsense", "metric.list"]
    with Feed(daemon.endpoints["feed"]) as feed:
        feed.send("".join(json.dumps({"jsonrpc": "2.0", "id": i, "method": methods[i % 4]}) + "\n"
                          for i in range(2000)))
        assert [feed.receive()["id"] for _ in range(2000)] == list(range(2000))


def test_a_connection_has_64_subscriptions(daemon):
    with Feed(daemon.endpoints["feed"]) as feed:
        for _ in range(64):
            feed.call("event.subscribe")
        with pytest.raises(RpcError) as refused:
            feed.call("series.subscribe")
        assert refused.value.code == -32002
    wait_until(lambda: daemon.rpc("server.status")["subscriptions"] == 0, "them to be gone")


def test_a_line_of_one_mebibyte_is_a_request(daemon):
    line = b'{"jsonrpc":"2.0","id":1,"method":"run.list","params":{}}'
    with Feed(daemon.endpoints["feed"]) as feed:
        feed.send(line[:-1] + b" " * ((1 << 20) - len(line)) + b"}\n")
        assert "result" in feed.receive()


# ---- HTTP ----------------------------------------------------------------------------------------

HOST = b"Host: localhost\r\n"
GET = b"GET /api/v1/status HTTP/1.1\r\n"

#: Heads that a proxy may understand in another way than we do.
SMUGGLED = {
    "two lengths": GET + HOST + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\n",
    "a length and chunks": GET + HOST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0"
    b"\r\n\r\nGET /metrics HTTP/1.1\r\n" + HOST + b"\r\n",
    "a length below 0": GET + HOST + b"Content-Length: -1\r\n\r\n",
    "a length beyond 64 bits": GET + HOST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "chunks that are obscured": GET + HOST + b"Transfer-Encoding : chunked\r\n\r\n",
    "a space in front of a colon": GET + b"Host : localhost\r\n\r\n",
    "a folded line": GET + b"Host: localhost\r\n evil\r\n\r\n",
    "a line end alone": b"GET /api/v1/status HTTP/1.1\nHost: localhost\n\n",
    "NUL in a header": GET + b"Host: local\0host\r\n\r\n",
    "no version": b"GET /api/v1/status\r\n\r\n",
    "version 9.9": b"GET /api/v1/status HTTP/9.9\r\n" + HOST + b"\r\n",
    "a method of 4,000 letters": b"A" * 4000 + b" / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a path of 100,000 bytes": b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "10,000 headers": GET + HOST + b"x: y\r\n" * 10000 + b"\r\n",
    "a header of 100,000 bytes": GET + HOST + b"x: " + b"y" * 100000 + b"\r\n\r\n",
    "10,000 parameters": b"GET /api/v1/runs?" + b"a=1&" * 10000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "TLS": bytes.fromhex("16030100c8010000c40303") + b"x" * 200,
    "nothing but line ends": b"\r\n" * 5000,
}


@pytest.mark.parametrize("head", SMUGGLED.values(), ids=SMUGGLED.keys())
def test_heads_of_two_meanings_reach_one_answer_at_most(daemon, head):
    with connect_http(daemon) as connection:
        answer = b""
        with contextlib.suppress(OSError):  # it may be cut at any point
            connection.sendall(head)
            connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65536):
                answer += piece
    assert answer.count(b"HTTP/1.1 ") <= 1, answer[:2000]
    assert b"HTTP/1.1 500" not in answer


def test_a_request_that_comes_byte_by_byte_is_one(daemon):
    answer = b""
    with connect_http(daemon) as connection:
        for byte in GET + HOST + b"Connection: close\r\n\r\n":
            connection.send(bytes([byte]))
        while piece := connection.recv(65536):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 200")


def test_a_word_that_is_no_http_is_cut_or_refused(daemon):
    assert b" 200 " not in raw(daemon, b"\0" * 100 + b"\r\n\r\n")


# ---- WebSockets ----------------------------------------------------------------------------------

REQUEST = b'{"jsonrpc":"2.0","id":7,"method":"server.status"}'


def asked(web):
    """The answer to the request that was sent; pongs are passed over."""
    while True:
        opcode, _, payload = web.frame()
        if opcode == TEXT:
            return json.loads(payload)
        assert opcode in (PING, PONG), opcode


def test_a_message_in_fragments_of_one_byte_with_pings_between(daemon):
    web = WebSocket(daemon)
    for at, byte in enumerate(REQUEST):
        web.send(bytes([byte]), TEXT if at == 0 else 0, at == len(REQUEST) - 1)
        if at % 10 == 5:
            web.send(b"", PING)
    assert asked(web)["id"] == 7
    web.sock.close()


def test_a_flood_of_pings_costs_little(daemon):
    before = daemon.resident_bytes()
    web = WebSocket(daemon)
    web.sock.settimeout(0.2)
    with contextlib.suppress(TimeoutError, ConnectionError):
        for _ in range(20000):
            web.send(b"x" * 125, PING)
    web.sock.close()
    daemon.assert_grew_less(before, 16 << 20)


@pytest.mark.parametrize("frames", [
    [(b"", 0, True)],                                   # goes on with nothing
    [(b"a", TEXT, False), (b"b", TEXT, True)],          # begins in the middle
    [(b"a" * 126, PING, True)],                         # too long for a ping
    [(b"a", PING, False)],                              # a ping in parts
    [(b"a", 3, True)],                                  # a reserved opcode
    [(b"a", 15, True)],
    [(b"\xff\xfe", TEXT, True)],                        # no UTF-8
    [(REQUEST, BINARY, True)],
    [(b"x" * (2 << 20), TEXT, True)],
], ids=["continuation", "interleaved", "long ping", "ping in parts", "opcode 3", "opcode 15",
        "no UTF-8", "binary", "two mebibytes"])
def test_frames_against_the_standard_end_the_connection_or_are_refused(daemon, frames):
    web = WebSocket(daemon)
    with contextlib.suppress(ConnectionError):
        for data, opcode, final in frames:
            web.send(data, opcode, final)
        web.send(REQUEST)
        while (frame := web.frame())[0] in (PING, PONG):
            pass
        assert frame[0] == CLOSE or json.loads(frame[2])["jsonrpc"] == "2.0", frame
    web.sock.close()
    assert daemon.rpc("server.status")["pid"] == daemon.pid


def test_a_frame_that_claims_2_to_the_63_bytes_costs_nothing(daemon):
    before = daemon.resident_bytes()
    web = WebSocket(daemon)
    web.sock.sendall(b"\x81\xff" + b"\x7f" + b"\xff" * 7 + b"mask" + b"x" * 1000)
    assert daemon.rpc("server.status")["pid"] == daemon.pid
    daemon.assert_grew_less(before, 8 << 20)
    web.sock.close()
