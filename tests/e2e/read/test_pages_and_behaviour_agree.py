"""Each row of the tables of proto/HTTP.md, FEED.md and INGEST.md is tried against the daemon.

A walk is a function for one table, with an entry for each of its rows: something to try, or an
`Elsewhere` that says where it is tried. A row without an entry fails, an entry without a row too,
and so does a table without a walk.
"""

import json
import re
import signal

import pytest

import pages
from harness import F32, I32, ROOT, Feed, RpcError, draw, header
from httpclient import READ, WRITE, Refused, WebSocket, connect, raw, request

pytestmark = pytest.mark.not_under("thread", because="each is one request at a time")

MIB = 1 << 20


class Elsewhere:
    """A row that is not tried here: the file that tries it, and why not here."""

    def __init__(self, file, reason):
        assert list((ROOT / "tests").rglob(file)), f"there is no {file}"
        assert reason


#: Tables that say how numbers come about: no request tries them.
TOLD = {
    "FEED, Objects: rows | d_lr +- 2 se covers d_lr's mean | error / true one | flagged":
        "measured by bench_jackknife and bench_dependence",
    "FEED, Objects: projector | s_k | rank tr P | ||P||_F": "formulas, held by test_projector.c",
    "FEED, Objects: rows | lazy, p = 64 | rich, p = 64 | lazy, p = 256 | rich, p = 256":
        "measured by bench_jackknife",
    "FEED, Objects: measure | reported": "held by test_transition.c and test_watch.c",
    "INGEST, Data messages: frame | shape | ":
        "rows: the vectors in messages.json, each frame short and long",
    "INGEST, Data messages: frame | shape | content": "moments and head: as above",
}
WALKS = {}


def walk(name):
    """Registers the function as the walk of the table of that name."""
    def register(function):
        WALKS[name] = function
        return function
    return register


def table(name):
    (found,) = [t for t in pages.all_tables() if t.name == name]
    return found


def try_rows(name, cases):
    """Matches entries with the rows whose first cell they begin, and calls those that can be."""
    rows = {row[0].replace("`", ""): row for row in table(name).rows}
    entries = dict(cases)
    for first, row in rows.items():
        keys = [key for key in entries if first == key or (len(key) > 3 and first.startswith(key))]
        assert keys, f"{name}: nothing tries the row {first!r}"
        case = entries.pop(max(keys, key=len))
        if not isinstance(case, Elsewhere):
            case(row)
    assert not entries, f"{name}: no row for {list(entries)}"


def test_every_table_has_a_walk():
    names = [t.name for t in pages.all_tables()]
    assert set(names) == set(WALKS) | set(TOLD)


# ---- HTTP.md -------------------------------------------------------------------------------------


def status_of(daemon, path, *headers, method="GET"):
    """The status of one request; the body is not waited for."""
    with connect(daemon) as sock:
        sock.sendall("\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""])
                     .encode())
        answer = b""
        while b"\r\n" not in answer:
            answer += sock.recv(4096)
        return int(answer.split()[1])


@walk("HTTP, HTTP: richd in a browser: path | what | token")
def test_the_paths_ask_for_a_token_where_the_page_says_so(guarded):
    def one(row):
        wanted = {"yes": 401, "no": 200}[row[2]]
        for path in pages.quoted(row[0].replace("...", "runs")):
            if path == "/ws":
                with pytest.raises(Refused) as told:
                    WebSocket(guarded)
                assert told.value.status == wanted
                WebSocket(guarded, authorization=f"Bearer {READ}").close()
                continue
            assert status_of(guarded, path) == wanted, path
            assert status_of(guarded, path, f"Authorization: Bearer {READ}") == 200, path

    def by_post(row):
        assert status_of(guarded, "/api/v1/rpc", method="POST") == 401
        assert status_of(guarded, "/api/v1/rpc", f"Authorization: Bearer {READ}",
                         method="POST") == 415

    try_rows("HTTP, HTTP: richd in a browser: path | what | token", {
        "/api/v1/rpc": by_post,
        "/, and": one, "/ws": one, "/api/v1/...": one, "/api/v1/stream": one, "/metrics": one,
        "/metrics/runs": one, "/healthz": one, "/readyz": one})


def train(daemon, run="run"):
    """A run with all that a path may ask for."""
    with daemon.trainer(run, probe=True, spectrum={"every": 1}) as trainer:
        rows = draw(40, 6, 3)
        for step in 1, 2:
            trainer.rows(*rows)
            trainer.checkpoint(step)
        trainer.wait(trainer.log(1, loss=0.5))


@walk("HTTP, The history: path | method | CSV")
def test_the_paths_of_the_history_are_methods(web):
    train(web)

    def one(row):
        path = pages.quoted(row[0])[0].replace("RUN", "run")
        params = {"run": "run"} if "/run" in path.removeprefix("/api/v1/runs") else {}
        told, asked = request(web, path), web.rpc(row[1], **params)
        assert told.status == 200, path
        assert told.json.keys() == asked.keys(), path
        csv = request(web, f"{path}.csv")
        if not row[2]:
            assert csv.status == 404, path
            return
        assert csv.headers["content-type"].startswith("text/csv")
        front = re.search(r"`(\w+)` in front", row[2])
        assert csv.text.startswith(f"{front[1]}," if front else ""), path
        assert request(web, path, accept="text/csv").text == csv.text

    name = "HTTP, The history: path | method | CSV"
    rows = table(name).rows
    try_rows(name, {row[0].replace("`", ""): one for row in rows})
    asks = (".list", ".query", ".get", ".map", ".status")
    assert {row[1] for row in rows} == {name for name in pages.methods() if name.endswith(asks)}


#: What breaks a check, by the part of the request that it is about.
BROKEN = [("it is HTTP", {"end": "\n"}), ("its version", {"version": "HTTP/9.9"}),
          ("there is a Host", {"host": ""}), ("Host is", {"host": "Host: evil.example\r\n"}),
          ("Origin, when", {"origin": "Origin: http://evil.example\r\n"}),
          ("the method", {"method": "POST"}), ("the token", {"token": ""}),
          ("the path exists", {"path": "/nothing"})]
GOOD = {"method": "GET", "path": "/api/v1/runs", "version": "HTTP/1.1",
        "host": "Host: localhost\r\n", "origin": "",
        "token": f"Authorization: Bearer {READ}\r\n", "end": "\r\n"}


@walk("HTTP, Who may ask: check | refused with")
def test_the_checks_come_in_their_order(guarded):
    """Each request breaks one check and all behind it."""
    def broken_from(i):
        parts = {**GOOD, **{k: v for _, part in reversed(BROKEN[i:]) for k, v in part.items()}}
        if i < 6:
            parts["token"] = ""
        return "{method} {path} {version}\r\n{host}{origin}{token}{end}".format(**parts).encode()

    def one(i):
        def check(row):
            status = raw(guarded, broken_from(i) + b"\r\n").split()[1].decode()
            assert status in row[1], (BROKEN[i][0], status)
        return check

    name = "HTTP, Who may ask: check | refused with"
    elsewhere = {
        "in clear beyond": Elsewhere("test_tokens_of_people.py", "needs an address of a network"),
        "the address has not": Elsewhere("test_tokens_of_people.py", "needs twenty wrong tokens")}
    rows = [row for row in table(name).rows if not row[0].startswith(tuple(elsewhere))]
    for row, (key, _) in zip(rows, BROKEN, strict=True):
        assert row[0].replace("`", "").startswith(key), "the order"
    try_rows(name, {key: one(i) for i, (key, _) in enumerate(BROKEN)} | elsewhere)
    assert status_of(guarded, "/api/v1/runs", f"Authorization: Bearer {WRITE}") == 403


@walk("HTTP, Limits: what | limit | when full")
def test_the_limits_of_http_hold_at_the_limit_and_not_beyond(web):
    def head_of(size):
        rest = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX: \r\n\r\n"
        return rest.replace("X: ", "X: " + "a" * (size - len(rest))).encode()

    def head(row):
        assert raw(web, head_of(8192)).split()[1] == b"200"
        assert raw(web, head_of(8193)).split()[1] == row[2].encode()
        assert status_of(web, "/healthz", *["X: y"] * 99) == 200
        assert status_of(web, "/healthz", *["X: y"] * 100) == int(row[2])

    def path(row):
        assert status_of(web, "/" + "a" * 2046) == 404
        assert status_of(web, "/" + "a" * 2047) == 400
        assert status_of(web, "/healthz", "Authorization: " + "a" * 2047) == 200
        assert status_of(web, "/healthz", "Authorization: " + "a" * 2048) == 400
        assert status_of(web, "/healthz", "Accept: " + "a" * 2048) == 200

    def body(row):
        head = ["Content-Type: application/json"]
        assert status_of(web, "/api/v1/rpc", *head, "Content-Length: 1048577",
                         method="POST") == int(row[2])
        text = b'{"jsonrpc":"2.0","id":1,"method":"metric.list"}'.ljust(1 << 20)
        assert request(web, "/api/v1/rpc", "POST", text,
                       content_type="application/json").json["id"] == 1

    def query(row):
        assert status_of(web, "/healthz?" + "a" * 2047) == 200
        assert status_of(web, "/healthz?" + "a" * 2048) == int(row[2])
        assert status_of(web, "/healthz?" + "a&" * 64) == 200
        assert status_of(web, "/healthz?" + "a&" * 65) == int(row[2])

    try_rows("HTTP, Limits: what | limit | when full", {
        "connections": Elsewhere("test_http.py", "1,024 connections"),
        "a request's head": head,
        "a request's head, from its": Elsewhere("test_hostile_http.py", "takes a minute"),
        "a path": path,
        "a body": body,
        "a body, from": Elsewhere("test_hostile_http.py", "takes a minute"),
        "a connection without": Elsewhere("test_hostile_http.py", "takes a minute"),
        "output waiting": Elsewhere("test_http_api.py", "needs some MB of points"),
        "shaking hands": Elsewhere("test_http_by_tls.py", "takes 10 s"),
        "wrong tokens": Elsewhere("test_tokens_of_people.py", "needs twenty of them"),
        "a query": query,
        "a reader that takes": Elsewhere("test_outbox.c", "takes 30 s"),
        "a client that closes": Elsewhere("test_http_api.py", "needs some MB of points"),
        "one that sends": Elsewhere("test_http_api.py", "needs some MB of points")})


# ---- FEED.md -------------------------------------------------------------------------------------


def refusal(daemon, method, **params):
    with pytest.raises(RpcError) as told:
        daemon.rpc(method, **params)
    return told.value


@walk("FEED, Rules: code | means")
def test_the_codes_of_the_feed(daemon, guarded):
    def answered(line):
        def check(row):
            with Feed(daemon.endpoints["feed"]) as feed:
                assert feed.ask(line)["error"]["code"] == int(row[0])
        return check

    def method(name, **params):
        return lambda row: check_code(row, refusal(daemon, name, **params))

    def check_code(row, error):
        assert error.code == int(row[0]) and len(error.text) > 10

    def too_many(row):
        with Feed(daemon.endpoints["feed"]) as feed:
            for _ in range(64):
                feed.call("series.subscribe")
            with pytest.raises(RpcError) as told:
                feed.call("series.subscribe")
            check_code(row, told.value)

    def no_token(row):
        with WebSocket(guarded, sec_websocket_protocol="richd.token") as ws:
            with pytest.raises(RpcError) as told:
                ws.ask("run.list")
            check_code(row, told.value)

    try_rows("FEED, Rules: code | means", {
        "-32700": answered("nonsense"), "-32600": answered("{}"), "-32601": method("run.drop"),
        "-32602": method("run.list", limit=-1), "-32001": method("run.get", run="nobody"),
        "-32603": Elsewhere("test_hub.c", "needs a store that fails"),
        "-32002": too_many, "-32003": no_token})


def methods_of_the_code():
    """The table of proto/feed.c: {method: its parameters}."""
    text = (ROOT / "proto" / "feed.c").read_text()
    rows = re.findall(r'\[FEED_\w+\] =\s*\{\s*"([\w.]+)",\s*\{(.*?)\}\}', text, re.S)
    return {name: re.findall(r'"(\w+)"', params) for name, params in rows}


#: A value that is taken, for each parameter.
VALUES = {"client": "me", "token": "t" * 20, "project": "default", "group": "", "state": "open",
          "search": "r", "order": "name", "limit": 5, "offset": 0, "config": True, "run": "run",
          "layer": "head", "metrics": ["d_lr"], "scalars": ["loss"], "from": 0, "to": 9,
          "points": 4,
          "spacing": "linear", "attempts": "all", "next": "1:1", "names": ["loss"], "with": "run",
          "layers": ["head"], "step": 1, "since_seq": "0", "sub": 1,
          "tags": ["a"], "sort": "d_lr", "descending": True, "hidden": False, "name": "again",
          "note": "why", "values": ["d_lr"], "values_at": {"d_lr": "least"}, "keep_days": 1,
          "max_bytes": 1 << 40, "dry_run": False, "times": True, "query": "runs=run",
          "replace": True}
#: What a parameter cannot be without, or beside.
NEEDS = {"next": {"limit": 5, "layer": "head", "names": ["loss"]}, "sub": {},
         "values_at": {"values": ["d_lr"]}, "run": {"hidden": False}, "dry_run": {"keep_days": 1},
         **dict.fromkeys(("name", "query", "note", "replace"),
                         {"name": "again", "query": "", "replace": True})}


def test_the_methods_and_parameters_of_the_page_are_those_of_the_daemon(daemon):
    train(daemon)
    documented = pages.methods()
    assert {name: sorted(params) for name, (params, _) in documented.items()} == \
        {name: sorted(params) for name, params in methods_of_the_code().items()}
    for method, (params, result) in documented.items():
        needed = {"run": "run"} if "run" in params else {}
        for name in params:
            extra = {k: v for k, v in NEEDS.get(name, {}).items() if k in params}
            with Feed(daemon.endpoints["feed"]) as feed:
                if name == "sub":
                    feed.call(method.replace("unsubscribe", "subscribe"))
                    feed.call(method, sub=1)
                    continue
                value = VALUES[name]
                if method == "run.delete":  # an open run stays
                    with daemon.trainer("over", resume="never") as trainer:
                        trainer.finish()
                    value = "over"
                answer = feed.call(method, **{**needed, **extra, name: value})
            assert result is None or set(result) == answer.keys(), (method, name)
        if not params:
            assert set(result) == daemon.rpc(method).keys(), method
        assert refusal(daemon, method, colour="red").code == -32602, method


#: {method: {parameter: (the last values to be taken, the first not to be)}}
BOUNDS = {
    "run.list": {"limit": ([0, 1000], [-1, 1001]),
                 "state": (["open", "finished", "failed", "lost"], ["shut"]),
                 "order": (["created", "updated", "name"], ["size"]),
                 "sort": (["state", "u", "scalar:loss", "config:lr"], ["size", "scalar:"]),
                 "descending": ([True, False], ["down"]), "hidden": ([True], [1]),
                 "tags": ([["t"] * 64], [["t"] * 65, "t"]),
                 "values": ([["u"] * 32, ["scalar:none"]], [["u"] * 33, "u", ["size"]]),
                 "values_at": ([{"d_lr": w} for w in ("last", "least", "greatest", 0, 1 << 52)],
                               [{"d_lr": "best"}, {"d_lr": -1}, {"u": "least"}, "least"]),
                 "config": ([False, {"lr": {"min": 1}}], ["all", {"lr": [1]}])},
    "series.query": {"points": ([4, 100000], [3, 100001]), "limit": ([1, 100000], [0, 100001]),
                     "spacing": (["log", "linear"], ["sqrt"]), "from": ([0], [-1]),
                     "attempts": (["effective", "all"], ["some"]), "times": ([True], [1]),
                     "scalars": ([True, False], [["x"] * 1025])},
    "representation.map": {"step": ([1], [-1]), "from": ([0], [-1])},
}


@walk("FEED, Methods: parameter | default | ")
def test_parameters_hold_to_their_limits(daemon):
    found = [t for t in pages.tables("FEED") if t.name == "FEED, Methods: parameter | default | "]
    assert len(found) == len(BOUNDS)
    train(daemon)
    for of_page, (method, bounds) in zip(found, BOUNDS.items()):
        needed = {} if method == "run.list" else {"run": "run"}
        assert {p for row in of_page.rows for p in row[0].split(", ")} <= VALUES.keys()
        for name, (good, bad) in bounds.items():
            for value in good:
                daemon.rpc(method, **needed, **NEEDS.get(name, {}), **{name: value})
            for value in bad:
                error = refusal(daemon, method, **needed, **NEEDS.get(name, {}), **{name: value})
                assert error.code == -32602 and name in error.text, (method, name, value)


@walk("FEED, Objects: field | meaning")
def test_the_fields_of_the_page_are_members_of_its_objects(daemon):
    train(daemon)
    point, spectrum, event = [t for t in pages.tables("FEED") if t.header == ["field", "meaning"]]
    (layer,) = daemon.rpc("layer.list", run="run")["layers"]
    named = {name for row in point.rows for name in row[0].split(", ")}
    assert named | {"run", "layer", "attempt", "step", "time"} == layer["last"].keys()
    named = {name for row in spectrum.rows for name in row[0].split(", ")}
    assert named <= daemon.rpc("spectrum.query", run="run").keys()
    named = {name for row in event.rows for name in row[0].split(", ")}
    shown = re.search(r"^EVENT.*?```json\n(.*?)```", pages.text_of("FEED"), re.M | re.S)[1]
    # Of a real one: test_a_transition_is_reported.py compares it with this example.
    assert named <= json.loads(shown).keys()


@walk("FEED, Objects: flag | set when")
def test_the_flags_of_the_page_are_those_that_the_daemon_explains(daemon):
    rows = table("FEED, Objects: flag | set when").rows
    assert [row[0] for row in rows] == [f["name"] for f in daemon.rpc("metric.list")["flags"]]


@walk("FEED, Objects: flag | left out, because")
def test_flags_that_keep_a_point_from_detectors_exist(daemon):
    rows = table("FEED, Objects: flag | left out, because").rows
    assert {row[0] for row in rows} <= {f["name"] for f in daemon.rpc("metric.list")["flags"]}


@walk("FEED, Limits: what | limit | when full")
def test_the_limits_of_the_feed_hold(daemon):
    def line(row):
        text = b'{"jsonrpc":"2.0","id":1,"method":"run.list"'
        with Feed(daemon.endpoints["feed"]) as feed:
            assert "result" in feed.ask(text + b" " * (MIB - len(text) - 1) + b"}")
            assert feed.ask(text + b" " * (MIB - len(text)) + b"}")["error"]["code"] == -32600
            assert feed.receive() is None

    try_rows("FEED, Limits: what | limit | when full", {
        "request line": line,
        "output waiting": Elsewhere("test_malformed_requests_do_no_harm.py",
                                    "needs a reader that never reads"),
        "answers that wait": Elsewhere("test_readers_cost_little.py", "needs many readers"),
        "a reader that takes": Elsewhere("test_outbox.c", "takes 30 s"),
        "a page of updates": Elsewhere("test_history.c", "needs 1,000 points"),
        "connections": Elsewhere("test_descriptors_run_out.py", "1,024 connections"),
        "subscriptions": Elsewhere("test_pages_and_behaviour_agree.py", "with the code -32002")})


# ---- INGEST.md -----------------------------------------------------------------------------------


def nack_of(daemon, send, run="run", **fields):
    """What the daemon says of what `send` sends on an open run."""
    with daemon.trainer(run, **fields) as trainer:
        send(trainer)
        return trainer.expect("nack")


@walk("INGEST, Data messages: frame | content")
def test_the_first_frames_are_as_the_page_says(daemon):
    def with_name(name):
        return lambda t: t.send(header(1, 0, 10, 4, 2), name, bytes(160), bytes(80))

    def name(row):
        with daemon.trainer("run") as trainer:
            with_name(b"x" * 128)(trainer)
            trainer.wait(trainer.mark(1, layers={}, seq=trainer._next_seq()))
        for bad in b"", b"x" * 129, b"a\nb", b"\xff":
            assert nack_of(daemon, with_name(bad))["code"] == "EPROTO"

    def head(row):
        for frame in header(1, 0, 10, 4, 2)[:-1], header(1, 0, 10, 4, 2) + b"\0":
            nack = nack_of(daemon, lambda t, f=frame: t.send(f, b"h", bytes(160), bytes(80)))
            assert nack["code"] == "EPROTO"

    try_rows("INGEST, Data messages: frame | content", {
        "0": head, "1": name, "2...": Elsewhere("test_wire.c", "by kind, from messages.json")})


@walk("INGEST, Data messages: offset | type | field | meaning")
def test_the_header_has_no_gaps(daemon):
    """The types of the page fill the 64 bytes; wire.json holds what each field may be."""
    sizes = {"4 bytes": 4, "8 bytes": 8, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8}
    at = 0
    for offset, kind, *_ in table("INGEST, Data messages: offset | type | field | meaning").rows:
        assert int(offset) == at
        at += sizes[kind]
    assert at == 64


@walk("INGEST, Data messages: dtype | code | bytes | used for")
def test_the_formats_are_taken_for_what_they_are_for(daemon):
    rows = table("INGEST, Data messages: dtype | code | bytes | used for").rows
    for name, code, size, use in rows:
        frames = [header(1, 0, 10, 4, 2, dtypes=(int(code), F32, 0, 0)), b"head",
                  bytes(10 * 4 * int(size)), bytes(80)]
        with daemon.trainer(f"run-{name}") as trainer:
            trainer.send(*frames)
            trainer.say("checkpoint", seq=1, step=1, layers={"head": {"seq": 1, "rows": 10}})
            told = trainer.receive()
        is_real = use not in ("labels", "a frame that is absent")
        assert told["type"] == ("ack" if is_real else "nack"), name
    unknown = header(1, 0, 10, 4, 2, dtypes=(7, F32, 0, 0))
    nack = nack_of(daemon, lambda t: t.send(unknown, b"h", bytes(160), bytes(80)))
    assert nack["code"] == "EPROTO"


#: {field of open: (values that are taken, values that are not)}
OPEN = {
    "run": (["a", "A.b_c-9", "x" * 64], ["", ".a", "a/b", "x" * 65, 7]),
    "name, project, group": (["", "x" * 256], ["x" * 257, 7]),
    "tags": ([[], ["a"], ["x" * 256]], ["a", [7], ["x" * 257]]),
    "config": ([{}, {"a": [1, {"b": None}]}], ["a", [1]]),
    "resume": (["allow"], ["sometimes", 1]),
    "attempt": ([0, "0"], [-1, 1.5, 2**31, "one"]),
    "host": (["", "h" * 256], ["h" * 257, 7]),
    "writer": (["w", "w" * 64], ["", "w" * 65, 7]),
    "window": ([{"kind": "checkpoint"}, {"kind": "cumulative"},
                {"kind": "exponential", "half_life_rows": 10}],
               [{"kind": "weekly"}, {"kind": "exponential"}, "checkpoint",
                {"kind": "exponential", "half_life_rows": 0}]),
    "probe": ([True, False], ["yes", 1]),
    "replay": ([True, False], ["yes", 1]),
    "time": ([0, 1764000000.25], [-1, "noon", 253402300800]),
    "transitions": ([{"metrics": []}, {"metrics": ["d_lr", "scalar:x"]}],
                    [{"metrics": ["d_lrr"]}, {"metrics": ["d_lr", "d_lr"]}, ["d_lr"]]),
    "spectrum": ([{"every": 3, "leading": 2, "centred": False}],
                 [{"every": -1}, {"centred": 1}, 3]),
    "member": ([{"launch": "x" * 128, "rank": 0, "world": 65536}],
               [{"launch": "", "rank": 0, "world": 1}, {"launch": "x", "rank": 1, "world": 1},
                {"launch": "x" * 129, "rank": 0, "world": 1},
                {"launch": "x", "rank": 0, "world": 65537}]),
    "projector": ([{"kind": kind} for kind in ("auto", "span", "top", "ridge")],
                  [{"kind": "half"}, {"kind": "top", "energy": 0}, {"kind": "ridge", "lambda": 0}]),
}


@walk("INGEST, Control messages, trainer to daemon: field | ")
def test_the_fields_of_open_take_what_the_page_says(daemon):
    def answer(field, value, i):
        with daemon.trainer() as trainer:
            trainer.hello()
            trainer.expect("hello")
            trainer.say("open", **{"run": f"r{i}", "writer": "w", field: value})
            return trainer.receive()

    def one(row):
        good, bad = OPEN[row[0]]
        for field in row[0].split(", "):
            for value in good:
                told = answer(field, value, one.n)
                assert told["type"] == "welcome", (field, value, told)
                one.n += 1
            for value in bad:
                told = answer(field, value, one.n)
                assert told.get("code") == "EPROTO", (field, value, told)
                assert told["fatal"] is True, (field, value, told)
                assert field in told["text"] or row[0] in told["text"], (field, value, told)

    one.n = 0
    try_rows("INGEST, Control messages, trainer to daemon: field | ", {name: one for name in OPEN})
    assert answer("colour", "red", "x")["type"] == "welcome", "unknown fields are skipped"


@walk("INGEST, Control messages, daemon to trainer: code | means | the trainer")
def test_each_code_of_a_refusal(daemon):
    def opened(run, writer, **fields):
        trainer = daemon.trainer()
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run=run, writer=writer, **fields)
        return trainer

    def refused(trainer):
        with trainer:
            return trainer.expect("nack")

    def check(make):
        def one(row):
            nack = make()
            assert nack["code"] == row[0], nack
            if row[1].endswith("(fatal)") or "(fatal);" in row[1]:
                assert nack["fatal"] is True, nack
            elif "(fatal" not in row[1]:
                assert nack["fatal"] is False, nack
        return one

    def version():
        trainer = daemon.trainer()
        trainer.hello(2, 9)
        return refused(trainer)

    def not_open():
        trainer = daemon.trainer()
        trainer.say("checkpoint", seq=1, step=1, layers={})
        return refused(trainer)

    def fenced():
        with daemon.trainer("fenced") as older:
            with daemon.trainer("fenced"):
                older.log(1, x=1)
                return older.expect("nack")

    def held():
        with daemon.trainer("held") as first:
            return refused(opened("held", "another", attempt=first.attempt))

    def shape():
        def send(trainer):
            trainer.rows(*draw(10, 4, 2))
            trainer.rows(*draw(10, 5, 2))
        return nack_of(daemon, send)

    def numeric():
        rows = draw(10, 4, 2)
        rows[0][3, 1] = float("nan")
        return nack_of(daemon, lambda t: t.rows(*rows))

    def credit():
        def send(trainer):
            rows = draw(1000, 512, 8)
            daemon.signal(signal.SIGSTOP)  # else it may take them as fast as they come
            while trainer.sent_bytes <= 2 * trainer.granted:
                trainer.rows(*rows)
            daemon.signal(signal.SIGCONT)
        return nack_of(daemon, send)

    daemon.trainer("there").close()
    try_rows("INGEST, Control messages, daemon to trainer: code | means | the trainer", {
        "EPROTO": check(lambda: nack_of(daemon, lambda t: t.send(b"{}"))),
        "EVERSION": check(version), "ENOTOPEN": check(not_open), "EFENCED": check(fenced),
        "EHELD": check(held),
        "EEXIST": check(lambda: refused(opened("there", "w", resume="never"))),
        "ENOENT": check(lambda: refused(opened("not-there", "w", resume="must"))),
        "EACCES": Elsewhere("test_trainers_on_other_hosts.py", "needs a trainer with a key"),
        "EGONE": Elsewhere("test_a_deleted_run_stays_gone.py", "needs a run that is deleted"),
        "ESHAPE": check(shape), "ENUMERIC": check(numeric), "ECREDIT": check(credit),
        "EBUSY": Elsewhere("test_monitor.c", "needs a daemon without memory"),
        "EIO": Elsewhere("test_a_full_disk_delays_and_heals.py", "needs a full disk")})


@walk("INGEST, Waiting: name | time | from | then the trainer")
def test_the_times_of_the_page_are_those_of_the_vectors():
    vectors = json.loads((ROOT / "proto" / "vectors" / "waiting.json").read_text())
    rows = table("INGEST, Waiting: name | time | from | then the trainer").rows
    assert {row[0]: 1000 * int(row[1].removesuffix(" s")) for row in rows} == vectors[0]["times_ms"]


@walk("INGEST, Limits: what | limit | why")
def test_the_limits_of_ingest_hold_at_the_limit_and_not_beyond(daemon):
    def pong_or_nack(frame):
        with daemon.trainer("run") as trainer:
            trainer.send(frame)
            return trainer.receive()["type"]

    def control(row):
        text = b'{"type":"ping","id":1,"x":"%s"}'
        for size, kind in (MIB, "pong"), (MIB + 1, "nack"):
            assert pong_or_nack(text % (b"x" * (size - len(text) + 2))) == kind, size
        for depth, kind in (31, "pong"), (32, "nack"):
            assert pong_or_nack(b'{"type":"ping","id":1,"x":%s}'
                                % (b"[" * depth + b"]" * depth)) == kind, depth
        for n, kind in (199990, "pong"), (200001, "nack"):
            assert pong_or_nack(b'{"type":"ping","id":1,"x":[0%s]}' % (b",0" * n)) == kind, n

    def is_taken(**changes):
        """Whether the codec takes a header with this; what memory there is decides later."""
        fields = {"seq": 1, "rows_before": 0, "n_rows": 0, "p": 4, "c": 2,
                  "dtypes": (F32, F32, 0, 0), **changes}
        frames = [b""] * (1 + sum(dtype != 0 for dtype in fields["dtypes"][1:]))
        with daemon.trainer("run") as trainer:
            trainer.send(header(**fields), b"head", *frames)
            trainer.say("ping", id=1)
            told = trainer.receive()
            return told["type"] != "nack" or told["code"] != "EPROTO"

    def bounded(field, most, **more):
        def check(row):
            assert row[1].replace(",", "") == str(most)
            assert is_taken(**{field: most}, **more), (field, most)
            assert not is_taken(**{field: most + 1}, **more), (field, most)
        return check

    def frames(row):
        most = int(row[1])
        for n, text in (most, ""), (most + 1, f"more than {most} frames"):
            nack = nack_of(daemon, lambda t, n=n: t.send(*[header(1, 0, 1, 4, 2)] * n))
            assert text in nack["text"], nack

    def checkpoint(n):
        layers = {f"l{i}": {"seq": 0, "rows": 0} for i in range(n)}
        return json.dumps({"type": "checkpoint", "seq": 1, "step": 1, "layers": layers}).encode()

    def log(n):
        return json.dumps({"type": "log", "seq": 1, "step": 1,
                           "scalars": {f"s{i}": i for i in range(n)}}).encode()

    def counted(message):
        def check(row):
            most = int(row[1].replace(",", ""))
            for n, kind in (most + 1, "nack"), (most, "ack"):
                with daemon.trainer(f"counted-{kind}-{message.__name__}") as trainer:
                    trainer.send(message(n))
                    assert trainer.receive()["type"] == kind, n
        return check

    def watched(row):
        names = [f"scalar:{i}" for i in range(int(row[1]) + 1)]
        daemon.trainer("w1", transitions={"metrics": names[1:]}).close()
        with daemon.trainer() as trainer:
            trainer.hello()
            trainer.expect("hello")
            trainer.say("open", run="w2", writer="w", transitions={"metrics": names})
            assert trainer.expect("nack")["code"] == "EPROTO"

    def columns(row):
        bounded("c", 16384)(row)
        bounded("targets", 16384, dtypes=(F32, F32, F32, 0))(row)

    try_rows("INGEST, Limits: what | limit | why", {
        "one frame": Elsewhere("test_malformed_messages_do_no_harm.py", "by a claim of 4 GiB"),
        "bytes that wait": Elsewhere("test_gate.c", "needs 128 MiB"),
        "connections": Elsewhere("test_descriptors_run_out.py", "needs all descriptors"),
        "control frame": control, "frames of a message": frames, "p": bounded("p", 65536),
        "C, K values": columns,
        "C of a head": bounded("c", 16777216, dtypes=(F32, 0, 0, 0)),
        "K classes": bounded("targets", 16777216, dtypes=(F32, F32, I32, 0)),
        "layers a run": counted(checkpoint),
        "measures and scalars watched": watched,
        "members an attempt": Elsewhere("test_members.c", "4,096 connections"),
        "scalars a log": counted(log),
        "control messages without": Elsewhere("test_monitor.c", "needs a slow disk")})
