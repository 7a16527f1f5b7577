import json
import math
import os
import random
import socket
import struct

import numpy as np
import pytest

from harness import F32, F64, I32, Trainer, assert_measures, draw, header, wait_until

N, P, C = 10, 4, 2
ON_THE_LOOP = pytest.mark.not_under("thread", because="the loop's thread alone refuses these")


@pytest.fixture
def witness(daemon):
    """Another trainer, whose window must come out as if nothing had happened."""
    rows = draw(60, 8, 3)
    with daemon.trainer("witness") as trainer:
        trainer.rows(*(part[:30] for part in rows))
        yield trainer
        trainer.rows(*(part[30:] for part in rows))
        assert_measures(trainer.checkpoint(1)["head"], *rows)
        assert trainer.nacks == []


def batch(**changes):
    """The frames of a good first batch, with `changes` to its header."""
    fields = {"seq": 1, "rows_before": 0, "n_rows": N, "p": P, "c": C, **changes}
    return [header(**fields), b"head", bytes(4 * N * P), bytes(4 * N * C)]


def with_frame(index, frame):
    frames = batch()
    frames[index] = frame
    return frames


BAD_BATCHES = {
    "magic": batch(magic=b"RICK"),
    "a later version": batch(version=2),
    "kind": batch(kind=3),
    "a short header": with_frame(0, batch()[0][:63]),
    "a long header": with_frame(0, batch()[0] + b"\0"),
    "an empty header": with_frame(0, b""),
    "batch number 0": batch(seq=0),
    "a negative step": batch(step=-1),
    "no features": batch(p=0),
    "no outputs": batch(c=0),
    "too many features": batch(p=65537),
    "n * p * size beyond 64 bits": batch(n_rows=2**32 - 1, p=65536),
    "more rows than bytes": batch(n_rows=N + 1),
    "fewer rows than bytes": batch(n_rows=N - 1),
    "an unknown dtype": batch(dtypes=(9, F32, 0, 0)),
    "labels as features": batch(dtypes=(I32, F32, 0, 0)),
    "another dtype than the bytes": batch(dtypes=(F64, F32, 0, 0)),
    "weights of the wrong length": [*batch(dtypes=(F32, F32, 0, F32)), bytes(4 * N - 4)],
    "targets that are announced and absent": batch(targets=3, dtypes=(F32, F32, I32, 0)),
    "a label out of range": [*batch(targets=3, dtypes=(F32, F32, I32, 0)),
                             struct.pack(f"<{N}i", *range(N))],
    "a layer without a name": with_frame(1, b""),
    "a layer's name of 129 bytes": with_frame(1, b"x" * 129),
    "a layer's name in no UTF-8": with_frame(1, b"\xff\xfe"),
    "a control character in the name": with_frame(1, b"he\nad"),
    "NUL in the name": with_frame(1, b"he\0ad"),
    "a missing frame": batch()[:3],
    "the header alone": batch()[:1],
    "a frame too many": [*batch(), b"more"],
    "frames without end": [*batch(), *[b"x"] * 500],
    "a short frame": with_frame(2, bytes(4 * N * P - 1)),
    "an empty frame": with_frame(3, b""),
    "moments of the wrong size": [header(1, 0, N, P, C, kind=2, dtypes=(F64, F32, 0, 0)), b"head",
                                  *[bytes(8)] * 6],
    "an absurd jump of the rows": batch(rows_before=2**63),
    "an absurd jump of the number": batch(seq=2**63),
}


@ON_THE_LOOP
@pytest.mark.parametrize("frames", BAD_BATCHES.values(), ids=BAD_BATCHES.keys())
def test_malformed_messages_do_no_harm(daemon, witness, frames):
    refused = daemon.rpc("server.status")["batches_refused"]
    with daemon.trainer("run") as trainer:
        trainer.send(*frames)
        nack = trainer.expect("nack")
        assert nack["code"] == "EPROTO", nack
        assert nack["text"] and nack["fatal"] is False
        good = draw(50, P, C)
        trainer.rows(*good)
        assert_measures(trainer.checkpoint(1)["head"], *good)
    assert daemon.rpc("server.status")["batches_refused"] == refused + 1
    assert "refused code=EPROTO" in daemon.output


def test_a_refused_batch_is_named_in_text_and_log(daemon):
    with daemon.trainer("run") as trainer:
        trainer.send(*BAD_BATCHES["a label out of range"])
        assert trainer.expect("nack")["text"] == \
            "layer head, batch 1: row 3: the label is 3, expected 0 to 2, or below 0 for none"
    assert "refused code=EPROTO layer head, batch 1: row 3" in daemon.output


BAD_CONTROLS = {
    "no JSON": b"{]",
    "cut off": b'{"type":"ping"',
    "something behind it": b'{"type":"ping","id":1} {}',
    "a NUL": b'{"type":"ping",\0"id":1}',
    "no UTF-8": b'{"type":"ping","id":1,"x":"\xff"}',
    "no type": b'{"id":1}',
    "an unknown type": b'{"type":"dance"}',
    "a message of the daemon": b'{"type":"welcome","run":"x"}',
    "a number beyond doubles": b'{"type":"ping","id":1e999}',
    "a number beyond 2^53": b'{"type":"ping","id":9007199254740993}',
    "a fraction": b'{"type":"ping","id":1.5}',
    "a negative id": b'{"type":"ping","id":-1}',
    "a word for a number": b'{"type":"ping","id":"one"}',
    "32 levels and more": b'{"type":"ping","id":1,"x":' + b"[" * 40 + b"]" * 40 + b"}",
    "a thousand levels": b'{"type":"ping","id":1,"x":' + b"[" * 5000 + b"]" * 5000 + b"}",
    "more than 1 MiB": b'{"type":"ping","id":1,"x":"' + b"x" * (1 << 20) + b'"}',
    "a key twice": b'{"type":"ping","id":1,"id":2}',
    "a checkpoint without step": b'{"type":"checkpoint","seq":1,"layers":{}}',
    "a checkpoint of number 0": b'{"type":"checkpoint","seq":0,"step":1,"layers":{}}',
    "a log with words": b'{"type":"log","seq":1,"step":1,"scalars":{"loss":"low"}}',
    "a log of too much": json.dumps({"type": "log", "seq": 1, "step": 1, "scalars":
                                     {f"s{i}": i for i in range(1025)}}).encode(),
    "a scalar without a name": b'{"type":"log","seq":1,"step":1,"scalars":{"":1}}',
    "a close with another word": b'{"type":"close","seq":1,"status":"bored"}',
}


@ON_THE_LOOP
@pytest.mark.parametrize("frame", BAD_CONTROLS.values(), ids=BAD_CONTROLS.keys())
def test_control_garbage_is_refused(daemon, witness, frame):
    with daemon.trainer("run") as trainer:
        trainer.send(frame)
        nack = trainer.expect("nack")
        assert (nack["code"], nack["fatal"]) == ("EPROTO", False), nack
        trainer.say("ping", id=7)
        assert trainer.expect("pong")["id"] == 7
        trainer.wait(trainer.log(1, loss=0.5))


#: Messages with the number 1 that no codec takes.
REFUSED_BY_THE_CODEC = {
    "a value of another kind": b'{"type":"log","seq":1,"step":"one","scalars":{}}',
    "a time that no clock shows": b'{"type":"log","seq":1,"step":1,"time":1e300,"scalars":{}}',
    "a layer's name too long": json.dumps({"type": "checkpoint", "seq": 1, "step": 1, "layers":
                                           {"x" * 129: {"seq": 0, "rows": 0}}}).encode(),
    "a number beyond doubles": b'{"type":"log","seq":1,"step":1,"scalars":{"loss":1e999}}',
    "a name twice": b'{"type":"log","seq":1,"step":1,"scalars":{"loss":1,"loss":2}}',
    "too deep": b'{"type":"config","seq":1,"config":{"x":' + b"[" * 40 + b"]" * 40 + b"}}",
    "too long": b'{"type":"config","seq":1,"config":{"x":"' + b"x" * (1 << 20) + b'"}}',
    "too many values": b'{"type":"config","seq":1,"config":{"x":[0' + b",0" * 200000 + b"]}}",
    "no UTF-8": b'{"type":"summary","seq":1,"summary":{"x":"\xff"}}',
    "another status": b'{"type":"close","seq":1,"status":"bored"}',
    "a measure that is none": b'{"type":"checkpoint","seq":1,"step":1,"layers":{},'
                              b'"metrics":{"x":1}}',
}


@ON_THE_LOOP
@pytest.mark.parametrize("frame", REFUSED_BY_THE_CODEC.values(), ids=REFUSED_BY_THE_CODEC.keys())
def test_a_message_that_no_codec_takes_is_refused_by_its_number(daemon, frame):
    with daemon.trainer("run") as trainer:
        trainer.send(frame)
        nack = trainer.expect("nack")
        assert (nack["code"], nack["fatal"], nack.get("seq")) == ("EPROTO", False, 1), nack


def test_a_message_of_several_frames_is_refused_by_its_number(daemon):
    with daemon.trainer("run") as trainer:
        trainer.send(b'{"type":"log","seq":1,"step":1,"scalars":{}}', b"more")
        assert trainer.expect("nack")["seq"] == 1


@ON_THE_LOOP
@pytest.mark.parametrize("greeting", [
    b'{"type":"hello","protocol_min":2,"protocol_max":1}', b'{"type":"hello"}',
    b'{"type":"open","run":"r"}', b'{"type":"open","run":"r","writer":"w","config":{"x":1e999}}',
    b'{"type":"open","run":"r","writer":"w","transitions":{"metrics":["d_lrr"]}}'])
def test_a_greeting_that_no_codec_takes_ends_the_attempt(daemon, greeting):
    with daemon.trainer() as trainer:
        trainer.send(greeting)
        nack = trainer.expect("nack")
        assert (nack["code"], nack["fatal"]) == ("EPROTO", True), nack
    assert daemon.rpc("run.list")["total"] == 0


@ON_THE_LOOP
@pytest.mark.parametrize("run", ["", "../../etc/passwd", "a/b", "%2e%2e", ".hidden", "x" * 65,
                                 "x" * 10000, "zwölf", "a b", "a\0b", "a\nb"])
def test_a_run_id_never_becomes_a_path(daemon, run):
    before = sorted(os.listdir(daemon.state))
    with daemon.trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run=run, writer="w")
        assert trainer.expect("nack")["code"] == "EPROTO"
    assert daemon.rpc("run.list")["total"] == 0
    assert sorted(os.listdir(daemon.state)) == before


def test_versions_that_do_not_meet_are_named(daemon):
    with daemon.trainer() as trainer:
        trainer.hello(2, 9)
        nack = trainer.expect("nack", code="EVERSION")
        assert nack["fatal"] is True
        assert "2 to 9" in nack["text"] and "1 to 1" in nack["text"]


def test_data_before_open_is_refused(daemon):
    with daemon.trainer() as trainer:
        trainer.rows(*draw(10, 4, 2))
        trainer.expect("nack", code="ENOTOPEN")
        trainer.say("checkpoint", seq=1, step=1, layers={})
        trainer.expect("nack", code="ENOTOPEN")
    assert daemon.rpc("server.status")["batches_refused"] == 1


def test_a_peer_with_its_own_routing_id_is_ignored(daemon, witness):
    for name in (b"mine", b"\0", b"x" * 255):
        with Trainer(daemon.endpoints["ingest"], routing_id=name) as trainer:
            trainer.hello()
            assert trainer.receive(0.1) is None
    assert "chose its own routing id" in daemon.output


def test_sent_twice_is_stored_once(daemon):
    rows = draw(50, 4, 2)
    with daemon.trainer("run") as trainer:
        frames = [header(1, 0, 50, 4, 2), b"head", *(part.tobytes() for part in rows)]
        trainer.number("head", 50)
        trainer.send_batch(frames)
        trainer.send_batch(frames)
        point = trainer.checkpoint(1)["head"]
        assert_measures(point, *rows)
        trainer.acks.clear()
        again = trainer.wait(trainer.mark(2, seq=1))  # the same number with another step
        assert again.get("head", point)["step"] == 1
        trainer.send_batch(frames)  # after its checkpoint
        assert trainer.checkpoint(2) == {}
    assert daemon.series("run")["step"] == [1]


def test_a_gap_is_said(daemon):
    rows = draw(50, 4, 2)
    with daemon.trainer("run") as trainer:
        trainer.number("head", 30)  # never sent
        trainer.rows(*rows)
        trainer.number("head", 20)
        point = trainer.checkpoint(1)["head"]
    assert_measures(point, *rows)
    assert (point["rows_missing"], point["flags"]) == (50, ["partial"])


def raw_connection(daemon):
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(daemon.endpoints["ingest"].removeprefix("ipc://"))
    return connection


def test_bytes_that_are_not_zeromq_are_cut(daemon, witness):
    chance = random.Random(1)
    for size in (1, 9, 10, 11, 64, 1000, 100000):
        with raw_connection(daemon) as connection:
            try:
                connection.sendall(chance.randbytes(size))
            except OSError:
                pass


def test_a_claim_of_four_gigabytes_is_cut(daemon, witness):
    before = daemon.resident_bytes()
    greeting = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0NULL" + bytes(16) + b"\0" + bytes(31)
    ready = b"\5READY\x0bSocket-Type\0\0\0\6DEALER"
    with raw_connection(daemon) as connection:
        connection.sendall(greeting + b"\4" + bytes([len(ready)]) + ready)
        connection.sendall(b"\2" + struct.pack(">Q", 1 << 32) + b"R" * 4096)
        try:
            while connection.recv(4096):
                pass
        except ConnectionError:
            pass
    daemon.assert_grew_less(before, 16 << 20)


def test_200_connections_that_never_speak_harm_nobody(daemon, witness):
    idle = [raw_connection(daemon) for _ in range(200)]
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(50, 4, 2))
        assert trainer.checkpoint(1)["head"]["n"] == 50
    for connection in idle:
        while connection.recv(4096):
            pass  # the daemon ends them after its handshake time
        connection.close()


def test_scalars_that_are_not_finite_are_null(daemon):
    with daemon.trainer("run") as trainer:
        trainer.wait(trainer.log(1, loss=None, accuracy=0.5))
    found = daemon.rpc("scalars.query", run="run")["scalars"]
    assert {s["name"]: s["columns"]["value"] for s in found} == \
        {"loss": [None], "accuracy": [0.5]}


def test_the_package_sends_what_is_not_finite_as_null(daemon, new_run):
    run = new_run()
    run.log({"nan": math.nan, "inf": -math.inf, "one": 1}, step=1)
    wait_until(lambda: len(daemon.rpc("scalars.query", run="run")["scalars"]) == 3
               if daemon.rpc("run.list")["total"] else False, "the scalars")
    found = daemon.rpc("scalars.query", run="run")["scalars"]
    assert {s["name"]: s["columns"]["value"] for s in found} == \
        {"nan": [None], "inf": [None], "one": [1]}


def reduced(xx):
    """The frames of moments of N rows; their X'X is what the trainer says it is."""
    head = header(1, 0, N, P, C, kind=2, dtypes=(F64, F64, 0, 0))
    parts = (np.zeros(P), np.zeros(C), xx, np.ones((P, C)), np.eye(C), np.ones(1 + P))
    return [head, b"head", *(part.astype("f8").tobytes() for part in parts)]


def weighted(weight):
    """The frames of N rows that all have this weight."""
    features, outputs = draw(N, P, C)
    return [*batch(dtypes=(F32, F32, 0, F64))[:2], features.tobytes(), outputs.tobytes(),
            np.full(N, weight).tobytes()]


EXTREMES = {
    "weights of 0": (weighted(0.0), {}),
    "the oldest rows forgotten, the newest without weight":
        ([*weighted(1.0)[:-1], np.r_[np.ones(N - 1), 0].tobytes()],
         {"window": {"kind": "exponential", "half_life_rows": 1e-3}}),
    "a ridge that leaves nothing": (weighted(1.0),
                                    {"projector": {"kind": "ridge", "lambda": 1e200}}),
    "moments of a negative variance": (reduced(-np.eye(P)), {}),
    "moments that no rows have": (reduced(np.diag([1.0, -3.0, 0.0, 0.0])), {}),
}


@pytest.mark.parametrize("weight", [1e-200, 1e200])
def test_weights_without_squares_are_refused(daemon, witness, weight):
    with daemon.trainer("extreme") as trainer:
        trainer.send(*weighted(weight))
        refusal = trainer.expect("nack")
        assert refusal["code"] == "ENUMERIC" and "row 0" in refusal["text"]


@pytest.mark.parametrize(("frames", "fields"), EXTREMES.values(), ids=EXTREMES.keys())
def test_numbers_that_no_training_has_do_no_harm(daemon, witness, frames, fields):
    with daemon.trainer("extreme", **fields) as trainer:
        trainer.send(*frames)
        trainer.say("checkpoint", seq=1, step=1, layers={"head": {"seq": 1, "rows": N}})
        trainer.wait(1)
