"""Reading back: one request over a socket, and points and spectra made of the answer."""

import functools
import json
import pickle
import socket
import threading

import numpy as np
import pytest

import richd
from richd._link import endpoint as _endpoint, feed as _feed
from richd._values.point import Point
from richd._values.spectrum import Spectrum

SPECTRUM = {"run": "r", "layer": "head", "attempt": 1, "step": 3, "n": 9.0, "p": 3, "rank": 1,
            "rank_targets": 0, "centred": True, "few_rows": False, "total": 3.5,
            "rho": [3.0, 0.5, 0.0], "u": [1.0, 0.25, None], "q": None, "pi_hat": [1.0, 1.25, 1.25],
            "pi_star": None, "newer": 1}


@pytest.fixture
def feed(tmp_path):
    """A feed that answers each connection's line with the next of `answers` (bytes), or ends it."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / "feed"))
    server.listen()
    answers, requests = [], []

    def serve():
        while True:
            try:
                link, _ = server.accept()
            except OSError:
                return
            with link:
                requests.append(json.loads(link.makefile().readline()))
                if answers:
                    link.sendall(answers.pop(0))

    threading.Thread(target=serve, daemon=True).start()
    yield lambda: f"unix:{tmp_path / 'feed'}", answers, requests
    server.close()


def result(value):
    return json.dumps({"jsonrpc": "2.0", "id": 1, "result": value}).encode() + b"\n"


def test_a_request_is_one_line_and_so_is_its_answer(feed):
    find, answers, requests = feed
    answers.append(result({"x": 1}))
    assert _feed.call(find, "spectrum.query", {"run": "r"}) == {"x": 1}
    assert requests == [{"jsonrpc": "2.0", "id": 1, "method": "spectrum.query",
                         "params": {"run": "r"}}]


@pytest.mark.parametrize("answer, text", [
    (b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"no run \\"r\\""}}\n', "no run"),
    (b'{"jsonrpc":"2.0"', "breaks off"),
    (b"nonsense\n", "Expecting value"),
])
def test_what_is_no_result_is_an_error_with_its_sentence(feed, answer, text):
    find, answers, _ = feed
    answers.append(answer)
    with pytest.raises(richd.RichdError, match=text):
        _feed.call(find, "run.get", {})


def test_an_absent_daemon_is_an_error_at_once(tmp_path):
    for address in (f"unix:{tmp_path}/nobody", "tcp:127.0.0.1:1", "carrier pigeon"):
        with pytest.raises(richd.RichdError):
            _feed.call(lambda: address, "run.get", {})
    nowhere = functools.partial(_endpoint.find_feed, _endpoint.Places(None, [str(tmp_path)]))
    with pytest.raises(richd.RichdError, match="endpoints.json: No such file"):
        _feed.call(nowhere, "run.get", {})


def test_a_spectrum_is_arrays_and_null_is_nan():
    s = Spectrum.from_json(SPECTRUM)
    assert s.rho.dtype == np.float64 and list(s.rho) == [3.0, 0.5, 0.0]
    assert np.isnan(s.u[2]) and s.u[1] == 0.25
    assert s.q is None and s.pi_star is None


def test_a_point_fetches_its_spectrum_once():
    calls = []
    point = Point.from_json({"run": "r", "layer": "head", "step": 3, "d_lr": 0.5, "nc1": None,
                             "stable_rank": 1.5, "flags": ["partial"]})
    point.with_fetch(lambda p: calls.append(p.step) or Spectrum.from_json(SPECTRUM))
    assert point.spectrum is point.spectrum and calls == [3]
    assert point.companions == {"nc1": None, "stable_rank": 1.5}
    assert pickle.loads(pickle.dumps(point)).spectrum.total == 3.5
    assert Point().spectrum is None and Point().companions == {}


def page(steps, values, next_page):
    return {"layer": "head", "binned": False, "columns": {"step": steps, "d_lr": values},
            "next": next_page}


def test_a_series_is_two_arrays_of_every_page(feed, tmp_path):
    find, answers, requests = feed
    (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": "ipc:///nobody",
                                                         "feed": find()}))
    first, last = page([1, 5], [0.5, None], "1:5"), page([7], [0.25], None)
    answers += [result({"run": "r", "layers": layers}) for layers in ([first], [last], [last] * 2)]
    run = richd.init(run_id="r", runtime_dir=str(tmp_path), mode="disabled")
    steps, values = run.series("d_lr")
    assert steps.dtype == np.int64 and list(steps) == [1, 5, 7]
    assert values[0] == 0.5 and np.isnan(values[1]) and values[2] == 0.25
    asked = {"run": "r", "metrics": ["d_lr"], "limit": _feed.PAGE_ROWS}
    assert requests[0]["params"] == asked
    assert requests[1]["params"] == {**asked, "layer": "head", "next": "1:5"}
    with pytest.raises(richd.RichdError, match="head, head"):
        run.series("d_lr")


@pytest.mark.parametrize("debiased, shown", [([0.4, None], [0.4, None]), ([None] * 2, [0.5, 0.6])])
def test_a_series_without_a_name_is_the_value_that_is_right_at_this_n(feed, tmp_path, debiased,
                                                                      shown):
    find, answers, requests = feed
    (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": "ipc:///nobody",
                                                         "feed": find()}))
    answers += [result({"run": "r", "layers": [{
        "layer": "head", "next": None,
        "columns": {"step": [1, 2], "d_lr": [0.5, 0.6], "d_debiased": debiased}}]})] * 2
    run = richd.init(run_id="r", runtime_dir=str(tmp_path), mode="disabled")
    _, values = run.series()
    assert [None if np.isnan(v) else v for v in values] == shown
    assert requests[0]["params"]["metrics"] == ["d_debiased"]


def test_measures_and_flags_are_the_daemons(feed, tmp_path):
    find, answers, requests = feed
    (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": "ipc:///nobody",
                                                         "feed": find()}))
    rows = [{"name": "d_lr", "unit": "1", "needs": "nothing", "description": "0 is rich",
             "read_as": "compare it", "corrected": "d_debiased", "newer": 1},
            {"name": "nc1", "unit": "1", "needs": "labels", "description": "x", "read_as": "y",
             "low_end": "collapsed", "high_end": "spread", "formula": "tr(S_W S_B^+) / C"}]
    answers += [result({"metrics": rows, "flags": [{"name": "biased", "description": "few"}]})] * 2
    found = richd.measures(runtime_dir=str(tmp_path))
    assert list(found) == ["d_lr", "nc1"] and found["d_lr"].corrected == "d_debiased"
    assert found["nc1"] == richd.Measure("nc1", "1", "labels", "x", "y", None, "collapsed",
                                         "spread", formula="tr(S_W S_B^+) / C")
    assert richd.flags(runtime_dir=str(tmp_path)) == {"biased": "few"}
    assert [r["method"] for r in requests] == ["metric.list"] * 2
    with pytest.raises(richd.RichdError):
        richd.measures(runtime_dir=str(tmp_path / "nowhere"))


def test_the_feed_is_that_of_the_daemon_rows_go_to(tmp_path):
    (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": "ipc://a", "feed": "unix:b"}))
    assert _endpoint.find_feed(_endpoint.Places(None, [str(tmp_path)])) == "unix:b"
    assert _endpoint.find_feed(_endpoint.Places("ipc://a", [str(tmp_path)])) == "unix:b"
    with pytest.raises(_endpoint.NotFoundError, match="does not listen at ipc://other"):
        _endpoint.find_feed(_endpoint.Places("ipc://other", [str(tmp_path)]))


@pytest.mark.parametrize("wrong", [{"spectrum_every": -1}, {"spectrum_every": 1.5},
                                   {"spectrum_leading": True}])
def test_a_malformed_policy_is_an_argument_error(wrong):
    with pytest.raises(ValueError, match="spectrum_"):
        richd.init(mode="disabled", **wrong)


EVENT = {"run": "r", "layer": "head", "attempt": 1, "step": 990, "time": 1764000000.25,
         "kind": "transition", "metric": "d_debiased", "direction": "fall", "start": 620,
         "end": 880, "from": 0.5, "to": 0.125, "size": 0.375, "n_from": 512, "n_to": 1024,
         "returned": None, "agrees": True, "accuracy": {"name": "test_acc", "from": 0, "to": 1},
         "newer": 1}


def test_events_are_those_of_the_feed(feed):
    find, answers, requests = feed
    run = richd.init(mode="disabled", run_id="r")
    run._find_feed = find
    scalar = {**EVENT, "layer": None, "metric": "test_acc", "returned": 1200}
    answers += [result({"run": "r", "events": [EVENT, scalar, {"kind": "later"}]}),
                result({"run": "r", "events": []})]
    first, second = run.events()
    assert (first.layer, first.metric, first.start_level, first.end_level) == \
        ("head", "d_debiased", 0.5, 0.125)
    assert (first.returned, first.agrees, first.n_to) == (None, True, 1024)
    assert (second.layer, second.returned) == (None, 1200)
    assert run.events(layer="head") == []
    assert [r["params"] for r in requests] == [{"run": "r"}, {"run": "r", "layer": "head"}]
