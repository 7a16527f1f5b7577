"""What a relay says is checked as a trainer's word is: a batch that makes no sense is refused
whole, and changes nothing."""

import json
import secrets
import struct

import pytest
from relaying import has_run

from harness import Trainer

POINT_COLUMNS = ["run", "layer", "attempt", "step", "time", "d_lr"]
RUN = ["run", "name", "project", "created", "updated", "hidden", "edited", "revision"]
ATTEMPT = ["run", "attempt", "writer", "opened", "state", "first_step"]


def head(major, value):
    if value < 24:
        return bytes([major << 5 | value])
    return bytes([major << 5 | 27]) + struct.pack(">Q", value)


def cbor(value):
    """The form of proto/cbor.h."""
    if value is None:
        return b"\xf6"
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    return head(4, len(value)) + b"".join(map(cbor, value))


def a_run(run="run", **changed):
    values = {"run": run, "name": "name", "project": "p", "created": 1.0, "updated": 2.0,
              "hidden": 0, "edited": 0, "revision": 1, **changed}
    return ["run", list(values), list(values.values())]


def an_attempt(run="run", **changed):
    values = {"run": run, "attempt": 1, "writer": "w", "opened": 1.0, "state": 0,
              "first_step": 0, **changed}
    return ["attempt", list(values), list(values.values())]


def a_point(run="run", **changed):
    values = {"run": run, "layer": "head", "attempt": 1, "step": 0, "time": 1.0, "d_lr": 0.5,
              **changed}
    return ["point", list(values), list(values.values())]


LAYER = ["layer", ["run", "layer", "name", "p", "c"], ["run", 7, "head", 8, 3]]
GOOD = [a_run(), an_attempt(), LAYER, a_point()]


class Relay(Trainer):
    """A connection that relays whatever a test wants."""

    def __init__(self, daemon):
        super().__init__(daemon.endpoints["ingest"])
        self.source = secrets.token_hex(16)
        self.session = secrets.token_hex(8)
        self.batch = 0
        self.hello()
        assert self.expect("hello")["relays"] == 1

    def begin(self, **changed):
        self.say("relay", **{"source": self.source, "session": self.session, "version": 1,
                             **changed})
        return self.answer()

    def answer(self):
        frames = self.socket.recv_multipart()
        return json.loads(frames[0])

    def relay(self, tables, batch=None, feed_seq=100, rows=None):
        batch = batch or self.batch + 1
        said = {"type": "batch", "source": self.source, "session": self.session, "batch": batch,
                "feed_seq": feed_seq}
        self.send(json.dumps(said).encode(), cbor(tables) if rows is None else rows)
        told = self.answer()
        if told["type"] == "place":
            self.batch = told["batch"]
        return told


@pytest.fixture
def relayed(central):
    made = Relay(central)
    yield made
    made.close()


def test_what_is_good_is_taken(relayed, central):
    told = relayed.begin()
    assert (told["batch"], told["feed_seq"]) == (0, 0) and len(told["path"]) == 32
    assert relayed.relay(GOOD)["batch"] == 1
    assert central.series("run")["d_lr"] == [0.5]
    assert relayed.relay(GOOD, batch=1)["batch"] == 1  # once more
    assert central.rpc("run.get", run="run")["n_points"] == 1
    assert relayed.begin(again=True)["feed_seq"] == 100


WRONG = {
    "nothing": b"",
    "no array": cbor("x"),
    "cut off": cbor(GOOD)[:-1],
    "something behind": cbor(GOOD) + b"\x00",
    "an array of more than there is": b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
    "an array that says nothing of its length": b"\x9f\xff",
    "no UTF-8": cbor(GOOD).replace(b"head", b"h\xff\xffd"),
    "half a row": cbor([a_run(), ["point", POINT_COLUMNS, ["run"]]]),
    "cells without columns": cbor([["run", [], ["run"]]]),
    "a table twice": cbor([a_run(), a_run("other"), an_attempt()]),
    "a run twice": cbor([["run", RUN, 2 * a_run()[2]]]),
    "an attempt twice": cbor([a_run(), ["attempt", ATTEMPT, 2 * an_attempt()[2]]]),
    "a run without id": cbor([a_run(None)]),
    "a run of another id": cbor([a_run("../../etc/x")]),
    "a run of a long id": cbor([a_run("x" * 65)]),
    "a row of no run": cbor([an_attempt()]),
    "a point of no attempt": cbor([a_run(), a_point()]),
    "attempt 0": cbor([a_run(), an_attempt(attempt=0)]),
    "an attempt of many": cbor([a_run(), an_attempt(attempt=2**31)]),
    "a state that is none": cbor([a_run(), an_attempt(state=9)]),
    "an attempt without a writer": cbor([a_run(), an_attempt(writer=None)]),
    "a writer of many": cbor([a_run(), an_attempt(writer="w" * 65)]),
    "a point without a step": cbor([a_run(), an_attempt(), a_point(step=None)]),
    "a point before all": cbor([a_run(), an_attempt(), a_point(step=-1)]),
    "a layer without a name": cbor([a_run(), an_attempt(), a_point(layer="")]),
    "a layer of a long name": cbor([a_run(), an_attempt(), a_point(layer="x" * 129)]),
    "a layer with a control character": cbor([a_run(), an_attempt(), a_point(layer="a\nb")]),
    "a text for a number": cbor([a_run(), an_attempt(), a_point(d_lr="0.5")]),
    "an integer for a number": cbor([a_run(), an_attempt(), a_point(d_lr=1)]),
    "an array for a cell": cbor([a_run(), an_attempt(), a_point(d_lr=[1])]),
    "a name of 10 kB": cbor([a_run(name="x" * 10000)]),
}


def test_what_makes_no_sense_is_refused_whole(relayed, central):
    relayed.begin()
    for what, rows in WRONG.items():
        told = relayed.relay(None, rows=rows)
        assert (told["type"], told["code"]) == ("nack", "EPROTO"), (what, told)
        assert told["text"], what
    assert central.rpc("run.list")["runs"] == []
    assert relayed.relay(GOOD)["batch"] == 1  # and nobody else is in the way


def test_what_a_newer_relay_has_more_is_passed_over(relayed, central):
    relayed.begin()
    more = ["new_table", ["run", "x"], ["run", 1, "run", None]]
    told = relayed.relay([a_run(new="x"), an_attempt(new=1.5), LAYER, a_point(new=None), more])
    assert told["batch"] == 1
    assert central.series("run")["d_lr"] == [0.5]


def test_a_number_that_leaves_one_out_is_refused(relayed):
    relayed.begin()
    assert relayed.relay(GOOD, batch=3)["code"] == "EPROTO"
    assert relayed.relay(GOOD)["batch"] == 1
    assert relayed.relay(GOOD, feed_seq=99)["code"] == "EPROTO"  # the feed does not go back


def test_a_relay_that_did_not_begin_or_lost_its_source_is_fenced(relayed, central):
    relayed.begin()
    assert relayed.relay(GOOD)["batch"] == 1
    other = Relay(central)
    other.source = relayed.source
    assert other.begin()["batch"] == 1
    assert relayed.relay(GOOD)["code"] == "EFENCED"
    assert relayed.begin(again=True)["code"] == "EFENCED"
    other.close()


def test_a_newer_version_is_told(relayed):
    told = relayed.begin(version=2)
    assert told["code"] == "EVERSION" and "update it" in told["text"]


def test_rows_belong_to_a_batch_alone(relayed, central):
    relayed.send(b'{"type":"ping","id":1}', b"more")
    assert relayed.expect("nack")["code"] == "EPROTO"
    relayed.say("batch", source="s", session="t", batch=1, feed_seq=1)
    assert "second frame" in relayed.expect("nack")["text"]
    assert not has_run(central, "run")
