"""JSON-RPC by POST (proto/HTTP.md): the methods and answers of the WebSocket, for programs that
have no WebSocket; and nothing of it for a page from elsewhere."""

import http.client
import json
import socket

import pytest

from harness import PATIENCE_S, wait_until
from httpclient import WebSocket, connect, port_of, request

pytestmark = pytest.mark.not_under("thread", because="the loop's thread alone decides on these")

PATH = "/api/v1/rpc"
OWNER = "read,write-0123456789abcdef"
READER = "read-0123456789abcdef"


def call(method, call_id=1, **params):
    return json.dumps({"jsonrpc": "2.0", "id": call_id, "method": method, "params": params})


def post(daemon, body, token=OWNER, **headers):
    headers = {"content_type": "application/json", "authorization": f"Bearer {token}", **headers}
    return request(daemon, PATH, "POST", body, **{k: v for k, v in headers.items() if v})


@pytest.fixture
def owned(new_daemon, tmp_path):
    """One finished run, `mine`, behind a token that writes and one that reads."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"read,write {OWNER}\nread {READER}\nwrite write-0123456789abcdef\n")
    tokens.chmod(0o600)
    daemon = new_daemon("--http", "127.0.0.1:0", "--token-file", tokens).start()
    with daemon.trainer("mine-1", name="mine") as trainer:
        trainer.finish()
    return daemon


def test_a_post_is_answered_as_a_message_of_the_websocket(owned):
    bearer = {"authorization": f"Bearer {OWNER}"}
    with WebSocket(owned, **bearer) as ws:
        for method, params in [("metric.list", {}), ("run.get", {"run": "mine"}),
                               ("run.list", {"config": True}), ("server.hello", {}),
                               ("layer.list", {"run": "mine"})]:
            answer = post(owned, call(method, "a1", **params))
            assert answer.status == 200
            assert answer.headers["content-type"] == "application/json"
            assert answer.json == {"jsonrpc": "2.0", "id": "a1", "result": ws.ask(method, **params)}


def test_who_may_write_edits_and_deletes_and_who_reads_does_not(owned):
    told = post(owned, call("run.edit", run="mine", note="a"), READER)
    assert (told.status, told.json["error"]["code"]) == (200, -32003)
    assert post(owned, call("run.edit", run="mine", note="b")).json["result"]["note"] == "b"
    dry = post(owned, call("history.prune", keep_days=1, dry_run=True)).json
    assert dry["result"]["runs"] == []
    assert "result" in post(owned, call("run.delete", run="mine")).json
    assert post(owned, call("run.get", run="mine"), READER).json["error"]["code"] == -32001


def test_what_is_wrong_with_a_request_is_said_as_by_the_feed(owned):
    for body, code in [("", -32700), ("{", -32700), ("\x1f\x8b", -32700),
                       (f"[{call('run.list')}]", -32600), (call("run.drop"), -32601),
                       (call("run.list", limit=-1), -32602), (call("series.subscribe"), -32601),
                       (call("event.unsubscribe", sub=1), -32601)]:
        answer = post(owned, body.encode("latin-1"))
        assert (answer.status, answer.json["error"]["code"]) == (200, code), body
    assert "/api/v1/stream" in post(owned, call("event.subscribe")).json["error"]["message"]
    assert owned.rpc("server.status")["subscriptions"] == 0


def test_a_page_from_elsewhere_writes_nothing(owned):
    """A page of another origin sends forms and plain text without asking; for JSON it asks first,
    and is told nothing that would let it."""
    edit = call("run.edit", run="mine", note="evil")
    here = f"http://127.0.0.1:{port_of(owned)}"
    for status, headers in [(403, {"Origin": "http://evil.example"}), (403, {"Origin": "null"}),
                            (421, {"Host": "evil.example"}), (401, {"authorization": ""}),
                            (401, {"authorization": "", "Cookie": f"token={OWNER}"}),
                            (415, {"content_type": "text/plain"}), (415, {"content_type": ""}),
                            (415, {"content_type": "application/jsonp"}),
                            (415, {"content_type": "application/x-www-form-urlencoded"})]:
        answer = post(owned, edit, **headers)
        assert answer.status == status, headers
        assert not [name for name in answer.headers if name.startswith("access-control")]
    asked = request(owned, PATH, "OPTIONS", Origin="http://evil.example",
                    access_control_request_method="POST")
    assert asked.status == 403 and "access-control-allow-origin" not in asked.headers
    assert post(owned, edit, "write-0123456789abcdef").status == 403
    assert owned.rpc("run.get", run="mine")["note"] == ""
    assert post(owned, edit, Origin=here, content_type="Application/JSON; charset=utf-8").json[
        "result"]["note"] == "evil"


def test_other_methods_and_paths_say_what_is_allowed(owned):
    bearer = {"authorization": f"Bearer {OWNER}"}
    for method in "GET", "HEAD", "PUT", "DELETE":
        answer = request(owned, PATH, method, **bearer)
        assert answer.status == 405
        if method != "PUT" and method != "DELETE":
            assert answer.headers["allow"] == "POST"
    assert request(owned, "/api/v1/runs", "POST", "{}", **bearer).headers["allow"] == "GET, HEAD"
    assert request(owned, PATH + "?run=mine", "POST", call("run.list"),
                   content_type="application/json", **bearer).status == 400


def test_requests_follow_each_other_on_one_connection(owned):
    connection = http.client.HTTPConnection("127.0.0.1", port_of(owned), timeout=PATIENCE_S)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {OWNER}"}
    try:
        for i in range(5):
            connection.request("POST", PATH, call("run.list", i, search="x" * 20000 * i), headers)
            assert json.load(connection.getresponse())["id"] == i
            connection.request("GET", "/healthz")
            assert connection.getresponse().read() == b"alive\n"
    finally:
        connection.close()


# ---- what no library sends -----------------------------------------------------------------------


def head(size, *more, version="1.1"):
    lines = [f"POST {PATH} HTTP/{version}", "Host: localhost", "Content-Type: application/json",
             f"Authorization: Bearer {OWNER}", f"Content-Length: {size}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


def read_answer(sock):
    response = http.client.HTTPResponse(sock)
    response.begin()
    return response.status, response.read()


def test_a_request_may_come_in_any_pieces(owned):
    body = call("run.get", run="mine").encode()
    data = head(len(body)) + body
    for cuts in [range(len(data)), [0, 10], [0, len(data) - len(body)], [0, len(data) - 1],
                 [0, len(data) - len(body) - 1, len(data) - len(body) + 1]]:
        with connect(owned) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start, end in zip(cuts, [*cuts[1:], len(data)], strict=True):
                sock.sendall(data[start:end])
            status, answer = read_answer(sock)
            assert status == 200 and json.loads(answer)["result"]["name"] == "mine"


def test_the_next_request_may_come_with_the_body(owned):
    body = call("run.get", run="mine").encode()
    one = head(len(body)) + body
    get = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with connect(owned) as sock:
        sock.sendall(one + one + get)
        answer = b""
        while piece := sock.recv(65536):
            answer += piece
    assert answer.count(b'"name":"mine"') == 2 and answer.endswith(b"alive\n")


def test_a_client_that_waits_for_a_word_gets_it(owned):
    body = call("run.get", run="mine").encode()
    with connect(owned) as sock:
        sock.sendall(head(len(body), "Expect: 100-Continue"))
        assert sock.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        sock.sendall(body)
        assert read_answer(sock)[0] == 200
    for data, status in [(head(len(body), "Expect: 100-continue", version="1.0") + body, 200),
                         (head(len(body), "Expect: 100-continue") + body, 200),
                         (head(len(body), "Expect: miracles"), 417),
                         (head(1 << 30, "Expect: 100-continue"), 413),
                         (head("5, 5"), 400), (head(2, "Transfer-Encoding: chunked"), 400),
                         (head(5).replace(b"Content-Length: 5\r\n", b""), 411),
                         (head(5).replace(b"Content-Length: 5", b"Transfer-Encoding: chunked")
                          + b"5\r\nhello\r\n0\r\n\r\n", 411)]:
        with connect(owned) as sock:
            sock.sendall(data)
            assert read_answer(sock)[0] == status, data


def test_half_a_body_is_forgotten_and_an_endless_one_costs_nothing(owned):
    with connect(owned) as sock:
        sock.sendall(head(100) + b"{}")
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
    before = owned.resident_bytes()
    waiting = [connect(owned) for _ in range(64)]
    try:
        for sock in waiting:
            sock.sendall(head(1 << 20))
        wait_until(lambda: owned.rpc("server.status")["connections"] >= 64, "64 bodies")
        assert request(owned, "/healthz").status == 200
        owned.assert_grew_less(before, 16 << 20)
    finally:
        for sock in waiting:
            sock.close()
    wait_until(lambda: owned.rpc("server.status")["connections"] <= 1, "nobody waits")
