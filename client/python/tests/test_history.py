"""Reading back: tables, filters that an older daemon lacks, and many requests on a connection."""

import http.server
import json
import socket
import sys
import threading

import numpy as np
import pytest

import richd
from richd._history.filters import Filters
from richd._history.runs import Runs
from richd._history.stored import StoredRun
from richd._history.table import Table, table_of, times
from richd._link import feed as _feed, feed_http as _http


def facts(k, **more):
    return {"run": f"r{k}", "name": f"n{k}", "project": "p", "group": "", "tags": [f"t{k}", "a"],
            "config": {"lr": 0.1 * k, "deep": [1, k]}, "summary": {}, "state": "finished",
            "attempt": 1, "ranks": None, "created": 10.0 + k, "updated": 20.0 - k,
            "last_step": None, "n_points": 0, "layers": [], **more}


class OldDaemon:
    """Answers run.list as daemons did that know neither tags nor a search of the configuration."""

    KNOWN = ("project", "group", "state", "search", "config", "limit", "offset")

    def __init__(self, runs):
        self.runs, self.asked = runs, []

    def ask(self, method, **params):
        assert method == "run.list"
        self.asked.append({name: value for name, value in params.items() if value is not None})
        unknown = set(self.asked[-1]) - set(self.KNOWN)
        if unknown or params["config"] is not True:
            raise richd.RichdError("EINVAL", f"unknown parameter {unknown}")
        return {"runs": self.runs[params["offset"]:][:params["limit"]]}


def filters(**given):
    plain = {"project": None, "group": None, "tags": (), "config": {}, "state": None,
             "search": None, "sort": "created", "descending": True, "hidden": False}
    return Filters(**{**plain, **given})


@pytest.mark.parametrize("given, found", [
    ({"tags": ("t1",)}, ["r1"]),
    ({"config": {"lr": 0.0}}, ["r0"]),
    ({"config": {"lr": False}}, []),
    ({"config": {"lr": (0.05, 0.15)}}, ["r1"]),
    ({"config": {"deep": [1, 2]}}, ["r2"]),
    ({"config": {"deep": (0, 9)}}, []),
    ({"sort": "updated"}, ["r0", "r1", "r2"]),
    ({"sort": "config:lr", "descending": False}, ["r0", "r1", "r2"]),
])
def test_what_an_older_daemon_lacks_is_done_here(given, found):
    daemon = OldDaemon([facts(k) for k in (2, 1, 0)])
    assert [run["run"] for run in filters(**given).ask(daemon, None)] == found
    assert [run["run"] for run in filters(**given).ask(daemon, 1)] == found[:1]
    daemon.asked.clear()
    filters().ask(daemon, None)
    assert set(daemon.asked[0]) == {"config", "limit", "offset"}


def test_a_refusal_that_has_another_reason_is_passed_on():
    class Away:
        def ask(self, method, **params):
            raise richd.RichdError("EFEED", "no answer")

    with pytest.raises(richd.RichdError, match="no answer"):
        filters(tags=("a",)).ask(Away(), None)
    with pytest.raises(richd.RichdError, match="sort by 'pr': unknown parameter"):
        filters(sort="pr").ask(OldDaemon([facts(0)]), None)


def test_a_run_that_begins_meanwhile_is_no_second_one(monkeypatch):
    from richd._history import filters as module

    monkeypatch.setattr(module, "PAGE_RUNS", 2)
    daemon = OldDaemon([facts(k) for k in (3, 2, 1)])
    ask = daemon.ask

    def ask_while_another_begins(method, **params):
        answer = ask(method, **params)
        daemon.runs = [facts(9), *daemon.runs]
        return answer

    daemon.ask = ask_while_another_begins
    assert [run["run"] for run in filters().ask(daemon, None)] == ["r3", "r2", "r1"]


def test_a_filter_with_a_letter_wrong_is_no_answer_to_another_question():
    with pytest.raises(TypeError, match="tag"):
        richd.runs(tag="a")
    with pytest.raises(TypeError, match="layer"):
        richd.run("r", layer="head")


# ---- tables --------------------------------------------------------------------------------------


def test_a_table_knows_the_types_of_its_columns():
    table = table_of([{"a": 1, "b": 1.5, "c": "x", "d": True, "e": [1], "f": 1, "g": None},
                      {"a": 2, "b": None, "d": False, "e": [2], "f": "y", "h": 1 << 70}])
    kinds = {name: column.dtype.kind for name, column in table.columns.items()}
    assert kinds == {"a": "i", "b": "f", "c": "O", "d": "b", "e": "O", "f": "O", "g": "f", "h": "f"}
    assert np.isnan(table["b"][1]) and table["c"][1] is None and table["e"][0] == [1]
    assert len(table) == 2 and "a, b, c" in repr(table)
    assert len(Table({})) == 0 and len(table_of([])) == 0
    with pytest.raises(ValueError, match="one length"):
        Table({"a": [1], "b": [1, 2]})


def test_a_sweep_without_runs_has_the_columns_of_every_sweep():
    class Asked:
        def ask_all(self, requests):
            return iter([{"layers": [], "scalars": []} for _ in requests])

    some = Runs(Asked(), [StoredRun(None, facts(1))]).table(metrics="pr")
    none = Runs(Asked(), []).table()
    assert len(none) == 0
    assert none.columns.keys() == set(some.columns) - {"config:lr", "config:deep"}


def test_a_measure_may_be_named_without_a_list():
    asked = []

    class Asked:
        def ask_all(self, requests):
            asked.extend(requests)
            return iter([{"layers": [{"layer": "h", "columns": {"pr": [1.0, 2.0]}}]}])

    table = Runs(Asked(), [StoredRun(None, facts(1))]).table(metrics="pr", scalars=False)
    assert asked[0][1]["metrics"] == ["pr"]
    assert table["h:pr"].tolist() == [2.0]


def test_times_are_of_microseconds_and_may_be_absent():
    found = times([0.25, None])
    assert found[0] == np.datetime64("1970-01-01T00:00:00.250000") and np.isnat(found[1])


def test_nothing_is_needed_until_it_is_asked_for(monkeypatch):
    for name in ("pandas", "pyarrow", "polars"):
        monkeypatch.setitem(sys.modules, name, None)
    table = Table({"a": [1]})
    with pytest.raises(ImportError):
        table.to_pandas()
    with pytest.raises(ImportError, match="pyarrow or polars"):
        table.__arrow_c_stream__()


# ---- many requests -------------------------------------------------------------------------------


@pytest.fixture
def echo(tmp_path):
    """A feed that answers each line with its parameters; it keeps what came on each connection."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "feed"))
    server.listen()
    connections = []

    def serve():
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            lines = []
            connections.append(lines)
            with link, link.makefile("rwb") as stream:
                for line in stream:
                    lines.append(json.loads(line))
                    answer = {"id": 1, "result": lines[-1]["params"]}
                    if "fail" in lines[-1]["params"]:
                        answer = {"id": 1, "error": {"code": -32602, "message": "no"}}
                    stream.write(json.dumps(answer).encode() + b"\n")
                    stream.flush()

    threading.Thread(target=serve, daemon=True).start()
    yield lambda: f"unix:{tmp_path / 'feed'}", connections
    server.close()


def test_many_requests_go_over_one_connection_and_come_back_in_order(echo):
    find, connections = echo
    requests = [("m", {"k": k, "text": "x" * (k * 997 % 70000)}) for k in range(100)]
    answers = list(_feed.calls(find, iter(requests), 5.0))
    assert answers == [params for _, params in requests] and len(connections) == 1


def test_one_that_is_refused_ends_the_rest(echo):
    find, _ = echo
    answers = _feed.calls(find, [("m", {}), ("m", {"fail": 1}), ("m", {})], 5.0)
    assert next(answers) == {}
    with pytest.raises(richd.RichdError) as refusal:
        next(answers)
    assert refusal.value.code == "EINVAL"
    assert list(answers) == []


# ---- http ----------------------------------------------------------------------------------------


@pytest.fixture
def web():
    """An HTTP server that says what it is told to; it keeps paths and tokens."""
    asked, answers = [], []

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):  # noqa: N802
            asked.append((self.path, self.headers.get("Authorization")))
            status, body = answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked, answers
    server.shutdown()
    server.server_close()


def test_a_method_is_a_path_and_its_parameters_the_query(web):
    base, asked, answers = web
    answers += [(200, b'{"x":1}')] * 2
    find = lambda: f"{base}/hub/#token=T0&runs=r"  # noqa: E731
    params = {"run": "p/n \u00e9?", "metrics": ["u", "pr"], "limit": 5, "config": {"lr": 1},
              "no": None}
    requests = [("series.query", params), ("run.list", {"config": True})]
    assert list(_feed.calls(find, requests, 5.0)) == [{"x": 1}] * 2
    assert asked == [("/hub/api/v1/runs/p/n%20%C3%A9%3F/series?metrics=u&metrics=pr&limit=5"
                      "&config=%7B%22lr%22%3A+1%7D", "Bearer T0"),
                     ("/hub/api/v1/runs?config=true", "Bearer T0")]


@pytest.mark.parametrize("status, body, code, text", [
    (404, b'{"error":{"code":-32001,"message":"no run"}}', "ENOENT", "no run"),
    (400, b"\"metrics\" is not name=value\n", "EINVAL", "HTTP 400: \"metrics\""),
    (401, b"a token is needed\n", "EFEED", "richctl open"),
    (500, b"[]", "EFEED", "HTTP 500"),
    (200, b"nonsense", "EFEED", "Expecting value"),
])
def test_what_is_no_result_is_an_error_with_its_sentence(web, status, body, code, text):
    base, _, answers = web
    answers.append((status, body))
    with pytest.raises(richd.RichdError, match=text) as refusal:
        _feed.call(lambda: base, "run.get", {"run": "r"})
    assert refusal.value.code == code


def test_what_does_not_speak_http_is_an_error(echo):
    find, _ = echo
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()

    def answer():
        link, _ = listener.accept()
        link.recv(100)
        link.sendall(b"RICH\n\n")
        link.close()

    threading.Thread(target=answer, daemon=True).start()
    with pytest.raises(richd.RichdError, match="EFEED"):
        _feed.call(lambda: f"http://127.0.0.1:{listener.getsockname()[1]}", "run.get", {"run": "r"})
    listener.close()
    with pytest.raises(richd.RichdError, match="not answered by HTTP"):
        _feed.call(lambda: "http://127.0.0.1:1", "series.subscribe", {})


@pytest.mark.parametrize("address, is_one", [
    ("http://127.0.0.1:24104/#token=x", True), ("https://hub/user/me/richd/", True),
    ("http://", False), ("http://host:port", False), ("ftp://host", False), ("unix:/feed", False),
])
def test_which_addresses_are_of_http(address, is_one):
    assert _http.is_http(address) is is_one
