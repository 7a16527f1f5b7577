import json
import socket

import pytest

from harness import MEMORY_SLACK, Feed, RpcError, connect_feed, draw, wait_until

BAD_LINES = {
    "no JSON": ("hello", -32700),
    "cut off": ('{"jsonrpc":"2.0"', -32700),
    "something behind it": ('{"jsonrpc":"2.0","id":1,"method":"run.list"}{}', -32700),
    "a thousand levels": ('{"x":' + "[" * 1001 + "]" * 1001 + "}", -32700),
    "NUL": ('{"jsonrpc":"2.0",\0"id":1,"method":"run.list"}', -32700),
    "no UTF-8": (b'{"jsonrpc":"2.0","id":1,"method":"run.list","x":"\xff"}', -32700),
    "a number beyond doubles": ('{"jsonrpc":"2.0","id":1e999,"method":"run.list"}', -32700),
    "a batch": ('[{"jsonrpc":"2.0","id":1,"method":"run.list"}]', -32600),
    "no version": ('{"id":1,"method":"run.list"}', -32600),
    "no method": ('{"jsonrpc":"2.0","id":1}', -32600),
    "a method that is a number": ('{"jsonrpc":"2.0","id":1,"method":7}', -32600),
    "an unknown method": ('{"jsonrpc":"2.0","id":1,"method":"run.drop"}', -32601),
    "another case": ('{"jsonrpc":"2.0","id":1,"method":"Run.List"}', -32601),
    "an id that is not exact": (json.dumps({"jsonrpc": "2.0", "id": 2**53 + 1,
                                            "method": "run.list"}), -32600),
    "parameters in an array": ('{"jsonrpc":"2.0","id":1,"method":"run.list","params":[1]}', -32602),
}

ON_THE_LOOP = pytest.mark.not_under("thread", because="the loop's thread alone refuses these")


@pytest.fixture
def witness(daemon):
    """A subscriber that must see what is stored, whatever others say."""
    with daemon.trainer("run") as trainer, daemon.subscribe() as subscription:
        yield trainer
        trainer.rows(*draw(30, 4, 2))
        trainer.checkpoint(99)
        subscription.read_until(lambda s: [p["step"] for p in s.points] == [99])


@ON_THE_LOOP
@pytest.mark.parametrize("line, code", BAD_LINES.values(), ids=BAD_LINES.keys())
def test_malformed_requests_do_no_harm(daemon, witness, line, code):
    with Feed(daemon.endpoints["feed"]) as feed:
        answer = feed.ask(line)
        assert answer["error"]["code"] == code, answer
        assert answer["error"]["message"]
        assert answer["id"] == (None if code == -32700 or "id" not in str(line) else answer["id"])
        assert feed.call("run.list")["total"] == 1, "the connection stays open"


BAD_PARAMETERS = [
    ("run.list", {"limit": "ten"}, "limit"),
    ("run.list", {"offset": -1}, "offset"),
    ("run.list", {"state": "asleep"}, "state"),
    ("run.list", {"config": 1}, "config"),
    ("run.list", {"colour": "red"}, "colour"),
    ("run.get", {}, "run"),
    ("run.get", {"run": 7}, "run"),
    ("run.get", {"run": "x" * 100000}, "run"),
    ("series.query", {"run": "run", "metrics": ["d_lrr"]}, "d_lrr"),
    ("series.query", {"run": "run", "points": 3}, "points"),
    ("series.query", {"run": "run", "points": 100001}, "points"),
    ("series.query", {"run": "run", "spacing": "cubic"}, "spacing"),
    ("series.query", {"run": "run", "attempts": "some"}, "attempts"),
    ("series.query", {"run": "run", "from": -1}, "from"),
    ("series.query", {"run": "run", "from": 1.5}, "from"),
    ("series.query", {"run": "run", "to": 2**53 + 1}, "to"),
    ("scalars.query", {"run": "run", "names": "loss"}, "names"),
    ("series.subscribe", {"since_seq": "x"}, "since_seq"),
    ("series.subscribe", {"since_seq": "-1"}, "since_seq"),
    ("series.unsubscribe", {}, "sub"),
]


@ON_THE_LOOP
@pytest.mark.parametrize("method, params, named", BAD_PARAMETERS)
def test_a_wrong_parameter_is_named(daemon, witness, method, params, named):
    with pytest.raises(RpcError) as caught:
        daemon.rpc(method, **params)
    assert caught.value.code == -32602
    assert named in caught.value.text


@pytest.mark.parametrize("method, params", [
    ("run.get", {"run": "nobody"}),
    ("layer.list", {"run": "default/nobody"}),
    ("series.query", {"run": "nobody"}),
    ("series.query", {"run": "run", "layer": "none"}),
    ("event.query", {"run": "run", "layer": "none"}),
    ("scalars.query", {"run": "nobody"}),
    ("series.subscribe", {"run": "nobody"}),
    ("series.unsubscribe", {"sub": 3}),
    ("run.get", {"run": "' OR 1=1 --"}),
])
def test_what_does_not_exist_is_said(daemon, witness, method, params):
    with pytest.raises(RpcError) as caught:
        daemon.rpc(method, **params)
    assert caught.value.code == -32001


def padded(size):
    """A request of exactly so many bytes, without its newline."""
    line = b'{"jsonrpc":"2.0","id":1,"method":"run.list"%b}'
    return line.replace(b"%b", b" " * (size - len(line) + 2))


def test_a_line_of_one_mebibyte_is_the_longest(daemon, witness):
    with Feed(daemon.endpoints["feed"]) as feed:
        assert feed.ask(padded(1 << 20))["result"]["total"] == 1
        answer = feed.ask(padded((1 << 20) + 1))
        assert (answer["error"]["code"], answer["id"]) == (-32600, None)
        assert feed.receive() is None, "what follows it cannot be told apart from it"


def test_a_form_of_a_web_page_asks_nothing(daemon, witness):
    with Feed(daemon.endpoints["feed"]) as feed:
        feed.send(b"POST / HTTP/1.1\r\nHost: 127.0.0.1:1\r\nContent-Type: text/plain\r\n\r\n"
                  b'{"jsonrpc":"2.0","id":1,"method":"run.list"}\n')
        assert feed.receive()["error"]["code"] == -32600
        assert feed.receive() is None


def test_a_subscription_ends_by_its_own_kind(daemon, witness):
    with Feed(daemon.endpoints["feed"]) as feed:
        for kind, other in ("series", "event"), ("event", "series"):
            sub = feed.call(f"{kind}.subscribe")["sub"]
            with pytest.raises(RpcError) as caught:
                feed.call(f"{other}.unsubscribe", sub=sub)
            assert caught.value.code == -32001
            assert feed.call(f"{kind}.unsubscribe", sub=sub) == {}


def test_a_search_sees_tags_and_not_how_they_are_stored(daemon):
    odd = ['say "hi"', "x\\y"]
    with daemon.trainer("one", tags=["red", "blue"]), daemon.trainer("two", tags=odd):
        found = {text: [run["run"] for run in daemon.rpc("run.list", search=text)["runs"]]
                 for text in ("RED", "blue", 'say "hi"', "\\", '"', ",", "[", '","', "red blue")}
    assert found == {"RED": ["one"], "blue": ["one"], 'say "hi"': ["two"], "\\": ["two"],
                     '"': ["two"], ",": [], "[": [], '","': [], "red blue": []}


def test_a_line_of_two_mebibytes_is_answered_and_cut(daemon, witness):
    before = daemon.resident_bytes()
    with Feed(daemon.endpoints["feed"]) as feed:
        try:
            feed.send(b'{"x":"' + b"x" * (2 << 20) + b'"}\n')
        except OSError:
            pass  # cut while it was being sent
        answer = feed.receive()
        assert (answer["error"]["code"], answer["id"]) == (-32600, None)
        try:
            assert feed.receive() is None
        except ConnectionError:
            pass
    daemon.assert_grew_less(before, 8 << 20)


def test_a_half_closed_socket_still_gets_its_answers(daemon, witness):
    with Feed(daemon.endpoints["feed"]) as feed:
        feed.send("".join(json.dumps({"jsonrpc": "2.0", "id": i, "method": method}) + "\n"
                          for i, method in enumerate(["run.list", "server.status"] * 10)))
        feed.socket.shutdown(socket.SHUT_WR)
        assert [feed.receive()["id"] for _ in range(20)] == list(range(20))
        assert feed.receive() is None


def test_pipelined_requests_are_answered_in_order(daemon, witness):
    methods = ["run.list", "server.status", "series.subscribe", "nonsense", "server.hello"]
    with Feed(daemon.endpoints["feed"]) as feed:
        lines = [{"jsonrpc": "2.0", "id": f"request {i}", "method": methods[i % 5]}
                 for i in range(200)]
        feed.send("".join(json.dumps(line) + "\n" for line in lines))
        answers = [feed.receive() for _ in lines]
    assert [answer["id"] for answer in answers] == [line["id"] for line in lines]
    assert all(("error" in answer) == (i % 5 == 3) for i, answer in enumerate(answers[:200]))


def test_one_byte_at_a_time_is_a_request_too(daemon, witness):
    with Feed(daemon.endpoints["feed"]) as feed:
        for byte in b'\n\n{"jsonrpc":"2.0","id":1,"method":"run.list"}\n':
            feed.send(bytes([byte]))
        assert feed.receive()["result"]["total"] == 1


@ON_THE_LOOP
def test_newlines_without_end_cost_little(daemon, witness):
    before = daemon.cpu_seconds()
    with Feed(daemon.endpoints["feed"]) as feed:
        feed.send(b"\n" * (32 << 20))
        assert feed.call("run.list")["total"] == 1
    # 0.2 s; 11 s when each newline moved all those behind it
    assert daemon.cpu_seconds() - before < 4 * MEMORY_SLACK


def test_two_hundred_connections_are_served(daemon, witness):
    feeds = [Feed(daemon.endpoints["feed"]) for _ in range(200)]
    assert daemon.rpc("server.status")["connections"] == 202
    for feed in feeds[::2]:
        feed.send('{"jsonrpc":"2.0","id":1,')  # half a line, and silence
    for feed in feeds[1::2]:
        assert feed.call("run.list")["total"] == 1
    for feed in feeds:
        feed.close()
    wait_until(lambda: daemon.rpc("server.status")["connections"] == 2, "them to be gone")


def test_a_reader_that_asks_and_never_reads_is_bounded(daemon, witness):
    connection = connect_feed(daemon.endpoints["feed"])
    connection.setblocking(False)
    before = daemon.resident_bytes()
    line = b'{"jsonrpc":"2.0","id":"' + b"x" * 50000 + b'","method":"run.list"}\n'
    sent = 0
    try:
        while sent < 1000 * len(line):
            sent += connection.send(line)
    except BlockingIOError:
        pass
    assert daemon.rpc("run.list")["total"] == 1, "others are served"
    daemon.assert_grew_less(before, 16 << 20)
    connection.close()


def test_a_client_that_goes_in_the_middle_of_its_answer_harms_nobody(daemon, witness):
    for _ in range(50):
        connection = connect_feed(daemon.endpoints["feed"])
        connection.sendall(b'{"jsonrpc":"2.0","id":1,"method":"series.subscribe"}\n' * 40)
        connection.close()
    assert daemon.rpc("run.list")["total"] == 1
    wait_until(lambda: daemon.rpc("server.status")["subscriptions"] == 1, "their subscriptions")
