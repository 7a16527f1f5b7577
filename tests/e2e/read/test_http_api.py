"""The history over HTTP (proto/HTTP.md): JSON, CSV, streams of events, metrics."""

import csv
import http.client
import io
import json
import os
import re
import shutil
import socket
import subprocess
import urllib.parse

import pytest

from fall import advance, all_steps
from harness import PATIENCE_S, ROOT, Feed, draw, free_port, wait_until
from httpclient import READ, WebSocket, connect, port_of, request

GRAFANA = ROOT / "client" / "grafana"
#: Where `make tools` puts what is not installed.
TOOLS = f"{os.environ['PATH']}:{ROOT / 'build/tools/usr/bin'}"


@pytest.fixture
def daemon(new_daemon):
    return new_daemon("--http", "127.0.0.1:0").start()


def train(daemon, run="run", steps=3, layers=("a", "b")):
    """A run with points of each layer and a scalar at steps 0, 1..."""
    with daemon.trainer(run) as trainer:
        for step in range(steps):
            for layer in layers:
                trainer.rows(*draw(40, 6, 3, seed=step), layer=layer)
            trainer.mark(step)
            trainer.log(step, loss=1.0 / (step + 1), accuracy=None)
        trainer.finish()


def rows_of(answer):
    assert answer.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(answer.text)))


class Stream:
    """A stream of server-sent events, read as a browser reads it."""

    def __init__(self, daemon, path, **headers):
        self.sock = connect(daemon)
        lines = [f"GET {path} HTTP/1.1", "Host: localhost",
                 *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items()), "", ""]
        self.sock.sendall("\r\n".join(lines).encode())
        self.file = self.sock.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = {}
        while line := self.file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name] = value

    def event(self):
        """The next event as {"id", "event", "data"}; comments are passed over."""
        fields = {}
        while True:
            line = self.file.readline().decode().rstrip("\n")
            if line and not line.startswith(":"):
                name, _, value = line.partition(": ")
                fields[name] = value
            elif "data" in fields:
                return {**fields, "data": json.loads(fields["data"])}

    def close(self):
        self.file.close()
        self.sock.close()


class FeedReader(Feed):
    """A subscriber to all that there is, from the beginning: over the feed's own socket."""

    def __init__(self, daemon):
        super().__init__(daemon.endpoints["feed"])
        self.first = self.call("series.subscribe", since_seq="0")

    def update(self):
        return self.receive()["params"]

    def read(self, n_points, n_scalars):
        """All of them, in the order in which they came; closes the connection."""
        rows = {"points": [], "scalars": []}
        update = self.first
        while True:
            for name, seen in rows.items():
                seen += update[name]
            if len(rows["points"]) >= n_points and len(rows["scalars"]) >= n_scalars:
                self.close()
                return rows
            update = self.update()


class SocketReader(FeedReader):
    """The same over a WebSocket."""

    def __init__(self, daemon):
        self.messages = WebSocket(daemon)
        self.first = self.messages.ask("series.subscribe", since_seq="0")

    def update(self):
        return self.messages.update()["params"]

    def close(self):
        self.messages.close()


class StreamReader(FeedReader):
    """The same as a stream of events."""

    def __init__(self, daemon):
        self.stream = Stream(daemon, "/api/v1/stream?since_seq=0")
        self.first = self.update()

    def update(self):
        return self.stream.event()["data"]

    def close(self):
        self.stream.close()


# ---- JSON -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, method, params", [
    ("measures", "metric.list", {}),
    ("runs", "run.list", {}),
    ("runs?project=default&state=finished&limit=1", "run.list",
     {"project": "default", "state": "finished", "limit": 1}),
    ("runs?config=true", "run.list", {"config": True}),
    ("runs?search=ru&order=name&offset=0", "run.list", {"search": "ru", "order": "name"}),
    ("runs/run", "run.get", {"run": "run"}),
    ("runs/default/run", "run.get", {"run": "default/run"}),
    ("runs/default%2Frun/layers", "layer.list", {"run": "default/run"}),
    ("runs/run/series", "series.query", {"run": "run"}),
    ("runs/run/series?layer=a&from=1&to=2&points=4&spacing=linear&attempts=all&metrics=d_lr"
     "&metrics=u", "series.query",
     {"run": "run", "layer": "a", "from": 1, "to": 2, "points": 4, "spacing": "linear",
      "attempts": "all", "metrics": ["d_lr", "u"]}),
    ("runs/run/scalars?names=loss", "scalars.query", {"run": "run", "names": ["loss"]}),
    ("runs/run/events", "event.query", {"run": "run"}),
])
def test_a_path_answers_as_its_method_does(daemon, path, method, params):
    train(daemon)
    answer = request(daemon, f"/api/v1/{path}")
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json == daemon.rpc(method, **params)
    assert answer.headers["cache-control"] == "no-store"


def test_status_is_told(daemon):
    told = request(daemon, "/api/v1/status").json
    assert told["pid"] == daemon.pid
    assert told["http"] == daemon.endpoints["http"]


def test_what_the_feed_refuses_is_refused_with_a_status(daemon):
    train(daemon)
    for path, status, code in [("runs/none", 404, -32001), ("runs/run/series?layer=c", 404, -32001),
                               ("runs/run/spectrum", 400, -32602), ("runs?limit=x", 400, -32602),
                               ("runs?colour=red", 400, -32602), ("runs?limit=1001", 400, -32602),
                               ("runs/run/series?metrics=nope", 400, -32602),
                               ("stream?run=none", 404, -32001)]:
        answer = request(daemon, f"/api/v1/{path}")
        assert (answer.status, answer.json["error"]["code"]) == (status, code), path
        assert answer.headers["content-type"] == "application/json"


def test_a_parameter_twice_or_without_a_value_is_refused(daemon):
    for query in ("limit=1&limit=2", "limit", "=1", "limit=%ff", "&".join(["a=1"] * 65),
                  "search=" + "x" * 4000):
        assert request(daemon, f"/api/v1/runs?{query}").status in (400, 403), query
    assert request(daemon, "/api/v1/runs/run?run=other").status == 400


def test_paths_that_are_nearly_right_are_not_there(daemon):
    train(daemon)
    for path in ("/api", "/api/v1", "/api/v1/", "/api/v1/run", "/api/v2/runs", "/api/v1/status.csv",
                 "/api/v1/runs/", "/metrics/", "/metrics.csv", "/api/v1/stream.csv", "/API/v1/runs"):
        assert request(daemon, path).status == 404, path


def test_head_of_a_query_has_no_body(daemon):
    answer = request(daemon, "/api/v1/runs", "HEAD")
    assert (answer.status, answer.raw) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_every_path_asks_for_the_token(new_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    tokens.write_text(f"read {READ}\n")
    tokens.chmod(0o600)
    daemon = new_daemon("--http", "127.0.0.1:0", "--token-file", tokens).start()
    for path in ("/api/v1/status", "/api/v1/runs", "/api/v1/runs.csv", "/api/v1/runs/x", "/metrics",
                 "/metrics/runs", "/api/v1/stream", "/api/v1/stream/events"):
        assert request(daemon, path).status == 401
        if "stream" not in path:
            assert request(daemon, path, authorization=f"Bearer {READ}").status in (200, 404)


# ---- CSV ------------------------------------------------------------------------------------------


def test_a_series_as_csv_holds_what_the_columns_hold(daemon):
    train(daemon, steps=5)
    rows = rows_of(request(daemon, "/api/v1/runs/run/series.csv"))
    assert [(r["layer"], r["step"]) for r in rows] == [(x, str(s)) for x in "ab" for s in range(5)]
    for layer in daemon.rpc("series.query", run="run")["layers"]:
        mine = [r for r in rows if r["layer"] == layer["layer"]]
        for name, values in layer["columns"].items():
            told = [r[name] for r in mine]
            if name == "flags":
                assert told == [" ".join(flags) for flags in values]
            else:
                assert [float(t) if t else None for t in told] == values, name


def test_a_series_in_bins_has_three_columns_a_measure(daemon):
    train(daemon, steps=40, layers=("a",))
    path = "/api/v1/runs/run/series.csv?points=8&metrics=d_lr"
    rows = rows_of(request(daemon, path))
    assert 1 < len(rows) <= 8
    for row in rows:
        assert float(row["d_lr_min"]) <= float(row["d_lr_last"]) <= float(row["d_lr_max"])
    assert sum(int(row["count"]) for row in rows) == 40


def test_csv_is_what_accept_asks_for_as_well(daemon):
    train(daemon)
    by_name = request(daemon, "/api/v1/runs/run/scalars.csv?names=loss")
    by_header = request(daemon, "/api/v1/runs/run/scalars?names=loss", accept="text/csv")
    assert by_name.body == by_header.body
    assert [float(r["value"]) for r in rows_of(by_name)] == [1, 1 / 2, 1 / 3]


def test_texts_with_commas_and_quotes_survive_csv(daemon):
    name = 'a "quoted", long\tname'
    with daemon.trainer("run", name=name, tags=["x,y"]) as trainer:
        trainer.wait(trainer.log(0, loss=1))
    (row,) = rows_of(request(daemon, "/api/v1/runs.csv"))
    assert row["name"] == name
    assert json.loads(row["tags"]) == ["x,y"]


# ---- streams --------------------------------------------------------------------------------------


def test_a_stream_resumes_where_it_was_left(daemon):
    train(daemon, steps=2)
    stream = Stream(daemon, "/api/v1/stream?run=run&since_seq=0")
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    first = stream.event()
    assert first["event"] == "series.update"
    seen = [(p["layer"], p["step"]) for p in first["data"]["points"]]
    assert seen == [(x, s) for s in (0, 1) for x in "ab"]
    with daemon.trainer("run", attempt=0) as trainer:
        trainer.rows(*draw(40, 6, 3), layer="a")
        trainer.checkpoint(7)
        live = stream.event()
        assert [p["step"] for p in live["data"]["points"]] == [7]
        stream.close()
        trainer.rows(*draw(40, 6, 3), layer="a")
        trainer.checkpoint(8)
        again = Stream(daemon, "/api/v1/stream?run=run&since_seq=0", last_event_id=live["id"])
        assert [p["step"] for p in again.event()["data"]["points"]] == [8]
        again.close()


def test_a_stream_of_events_opens_with_the_latest(daemon):
    stream = Stream(daemon, "/api/v1/stream/events")
    assert stream.event() == {"id": "0", "event": "event.update", "retry": "2000",
                              "data": {"sub": 1, "seq": "0", "events": []}}
    stream.close()


def test_a_stream_whose_reader_left_is_forgotten(daemon):
    streams = [Stream(daemon, "/api/v1/stream") for _ in range(20)]
    for stream in streams:
        stream.event()
    assert daemon.rpc("server.status")["subscriptions"] == 20
    for stream in streams:
        stream.close()
    wait_until(lambda: daemon.rpc("server.status")["subscriptions"] == 0, "them to be forgotten",
               timeout=PATIENCE_S / 3)


@pytest.mark.parametrize("way", [FeedReader, SocketReader, StreamReader])
def test_what_comes_live_is_what_is_read_later(daemon, way):
    """Points and scalars, of a trainer alone and of ranks, with the run that they belong to."""
    live = way(daemon)
    train(daemon, steps=3)
    ranks = [daemon.trainer("job", member={"launch": "host:1", "rank": rank, "world": 2})
             for rank in range(2)]
    for trainer in ranks:
        trainer.rows(*draw(40, 6, 3), layer="a")
        trainer.mark(4)
    ranks[1].log(4, loss=.1)
    for trainer in ranks:
        trainer.finish()
    told, later = live.read(7, 7), way(daemon).read(7, 7)
    assert told == later
    assert {s["run"] for s in told["scalars"]} == {p["run"] for p in told["points"]} == {"run",
                                                                                         "job"}


def test_the_websocket_sees_every_point_once(daemon):
    with WebSocket(daemon) as ws:
        answer = ws.ask("series.subscribe", since_seq="0")
        train(daemon, steps=30)
        seen = [(p["layer"], p["step"]) for p in answer["points"]]
        while len(seen) < 60:
            seen += [(p["layer"], p["step"]) for p in ws.update()["params"]["points"]]
    assert seen == [(layer, step) for step in range(30) for layer in "ab"]


@pytest.mark.long
@pytest.mark.not_under("thread", because="the loop alone cuts them")
def test_readers_that_take_nothing_do_not_grow_the_daemon_and_are_cut(daemon):
    train(daemon, steps=1500, layers="abcd")
    before = daemon.resident_bytes()
    socket_reader = WebSocket(daemon, receive_buffer=4096)
    ask = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "series.query",
                      "params": {"run": "run"}}).encode()
    for _ in range(100):
        socket_reader.send(ask)
    page_readers = [stalled_reader(daemon, "/api/v1/runs/run/series.csv") for _ in range(8)]
    assert request(daemon, "/healthz").status == 200
    wait_until(lambda: daemon.rpc("server.status")["connections"] == 1, "them to be cut", 60)
    daemon.assert_grew_less(before, 64e6)
    for reader in (socket_reader, *page_readers):
        reader.close()


def stalled_reader(daemon, path):
    """A connection that asks and reads nothing."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port_of(daemon)))
    sock.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    return sock


def test_who_asks_and_leaves_does_not_hold_up_the_others(daemon):
    train(daemon, steps=1500, layers="abcd")
    left = [stalled_reader(daemon, "/api/v1/runs/run/series.csv") for _ in range(400)]
    for sock in left:
        sock.close()
    wait_until(lambda: daemon.rpc("server.status")["connections"] == 1, "them to be forgotten")
    before = daemon.cpu_seconds()
    assert daemon.rpc("run.list")["total"] == 1
    assert daemon.cpu_seconds() - before < 1.0, "what nobody waits for is not read"


def test_requests_sent_at_once_are_answered_in_order(daemon):
    with connect(daemon) as sock:
        for i in range(20):
            sock.sendall(f"GET /api/v1/runs?limit={i} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                         .encode() + b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answers = b""
        while answers.count(b"alive") < 20:
            answers += sock.recv(65536)
        assert answers.count(b'"total":0') == 20


def test_a_slow_reader_reads_the_store_and_misses_nothing(daemon):
    with WebSocket(daemon, receive_buffer=4096) as slow:
        answer = slow.ask("series.subscribe", since_seq="0")
        train(daemon, steps=500, layers="abcd")  # some MB, more than all buffers hold
        seen = [(p["layer"], p["step"]) for p in answer["points"]]
        while len(seen) < 2000:
            seen += [(p["layer"], p["step"]) for p in slow.update()["params"]["points"]]
    assert seen == [(layer, step) for step in range(500) for layer in "abcd"]


# ---- metrics --------------------------------------------------------------------------------------


def samples(text):
    """{name: value} of the samples without labels."""
    return {m[1]: float(m[2]) for m in re.finditer(r"^(\w+) (\S+)$", text, re.M)}


def test_metrics_tell_what_status_tells(daemon):
    train(daemon)
    answer = request(daemon, "/metrics")
    assert answer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    told, status = samples(answer.text), daemon.rpc("server.status")
    for name, member in [("richd_points_total", "points"), ("richd_commits_total", "commits"),
                         ("richd_received_bytes_total", "bytes"),
                         ("richd_budget_bytes", "budget_bytes")]:
        assert told[name] == status[member] > 0
    assert answer.text.endswith("# EOF\n")


def test_open_runs_are_a_gauge_a_layer(daemon):
    train(daemon, run="over")
    with daemon.trainer("open", name='q"u\\o') as trainer:
        trainer.rows(*draw(40, 6, 3), layer="a")
        trainer.checkpoint(1)
        text = request(daemon, "/metrics/runs").text
        (line,) = [x for x in text.splitlines() if x.startswith("richd_d_lr_ratio{")]
        value = daemon.rpc("layer.list", run="open")["layers"][0]["last"]["d_lr"]
        labels, _, number = line.rpartition(" ")
        assert labels == ('richd_d_lr_ratio{run="open",project="default",name="q\\"u\\\\o",'
                          'layer="a"}')
        assert float(number) == value
        assert "richd_d_lr_ratio{" not in request(daemon, "/metrics/runs?limit=0").text


def prometheus_config(folder, target):
    """The example's configuration, for this daemon and in a hurry."""
    text = (GRAFANA / "prometheus.yml").read_text().replace("127.0.0.1:8080", target)
    config = folder / "prometheus.yml"
    config.write_text("global: {scrape_interval: 1s}\n" + text)
    return config


@pytest.mark.long
@pytest.mark.not_under("address", "thread", because="it asks for what the tests above ask for")
def test_prometheus_scrapes_it(daemon, tmp_path):
    program = shutil.which("prometheus", path=TOOLS)
    assert program, "`make tools` fetches it"
    config = prometheus_config(tmp_path, f"127.0.0.1:{port_of(daemon)}")
    subprocess.run([shutil.which("promtool", path=TOOLS), "check", "config", config], check=True,
                   capture_output=True)
    port = free_port()
    with daemon.trainer("run") as trainer, (tmp_path / "prometheus.log").open("wb") as log:
        trainer.rows(*draw(40, 6, 3), layer="a")
        trainer.checkpoint(1)
        process = subprocess.Popen(
            [program, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
        try:
            def value(query):
                """The value that Prometheus has for it by now, or None."""
                path = "/api/v1/query?query=" + urllib.parse.quote(query)
                try:
                    found = request_json(port, path)["data"]["result"]
                except (OSError, KeyError, ValueError):
                    return None
                return float(found[0]["value"][1]) if found else None

            wait_until(lambda: value("sum(up)") == 2, "both scrapes")
            assert value("richd_points_total") == 1
            d_lr = daemon.rpc("layer.list", run="run")["layers"][0]["last"]["d_lr"]
            assert value('richd_d_lr_ratio{run="run",layer="a"}') == d_lr
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def request_json(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def targets(dashboard):
    """All queries of a Grafana dashboard, those of its variables included."""
    for panel in dashboard["panels"]:
        yield from panel["targets"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["infinityQuery"]


def test_the_grafana_dashboard_asks_for_what_there_is(daemon):
    dashboard = json.loads((GRAFANA / "richd.json").read_text())
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps(), accuracy="test_acc")
    metrics = request(daemon, "/metrics").text + request(daemon, "/metrics/runs").text
    families = set(re.findall(r"^# TYPE (\w+)", metrics, re.M))
    n_metrics = n_paths = 0
    for target in targets(dashboard):
        if "expr" in target:
            for name in re.findall(r"richd_\w+", target["expr"]):
                assert name.removesuffix("_total") in families, name
                n_metrics += 1
            continue
        url = target["url"].replace("${run}", "run")
        # As it is, and as it will be when the series is long.
        answers = [request(daemon, u) for u in {url, url.replace("points=2000", "points=4")}]
        columns = {name for a in answers for name in rows_of(a)[0]}
        assert {c["selector"] for c in target["columns"]} <= columns, url
        n_paths += 1
    assert (n_metrics, n_paths) == (5, 5)
