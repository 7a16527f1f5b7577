"""The codec against the golden bytes of proto/vectors, which the C codec is held to as well."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from richd._link import wire as _wire
from richd._link.session import State
from support import new_session, welcome

VECTORS = Path(__file__).resolve().parents[3] / "proto" / "vectors"


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text("utf-8"))


def named(rows):
    return pytest.mark.parametrize("row", rows, ids=[row["name"] for row in rows])


WIRE = vectors("wire")
MESSAGES = vectors("messages")
TO_TRAINER = [row for row in vectors("control") if row["direction"] == "to_trainer"]


@named([row for row in WIRE if row["valid"]])
def test_header_has_the_golden_bytes(row):
    assert _wire.Header(**row["header"]).encode().hex() == row["hex"]


@named([row for row in WIRE if row["valid"] and row["header"]["n_rows"]])
def test_a_form_and_its_numbers_are_the_golden_bytes(row):
    fields = dict(row["header"])
    numbers = [fields.pop(name) for name in ("seq", "step", "rows_before", "n_rows")]
    assert _wire.Form(**fields).encode(*numbers).hex() == row["hex"]


def test_a_form_that_breaks_the_protocol_is_refused():
    with pytest.raises(_wire.WireError, match="n_features"):
        _wire.Form(kind=_wire.KIND_ROWS, n_features=0, n_outputs=1)


@named([row for row in WIRE if row["valid"]])
def test_header_reads_back_the_golden_fields(row):
    assert _wire.Header.decode(bytes.fromhex(row["hex"])) == _wire.Header(**row["header"])


@named([row for row in WIRE if not row["valid"]])
def test_malformed_header_is_refused(row):
    with pytest.raises(_wire.WireError):
        _wire.Header.decode(bytes.fromhex(row["hex"]))


def is_of_one_layer(row):
    return "layer" in row["name"] and "layers" not in row["name"] and len(row["frames"]) > 2


@named([row for row in MESSAGES if is_of_one_layer(row)])
def test_layer_names_are_accepted_as_the_daemon_does(row):
    frame = bytes.fromhex(row["frames"][1])
    try:
        name = frame.decode("utf-8")
        accepted = _wire.check_layer_name(name) == frame
    except ValueError:
        accepted = False
    assert accepted == row["valid"]


@named([row for row in TO_TRAINER if row["valid"]])
def test_golden_answers_of_the_daemon_do_what_they_say(row):
    session, _ = new_session()
    session.begin(0.0)
    message = json.loads(row["text"])
    if message["type"] != "welcome":
        session.receive(welcome(granted=0), 0.0)
    session.receive(row["text"].encode(), 1.0)
    assert session._heard_at == 1.0
    if message["type"] == "welcome":
        assert session.state is State.OPEN and session.attempt == message["attempt"]
    if message["type"] == "progress":
        assert session._granted == message["granted"]


@named([r for r in TO_TRAINER if not r["valid"] and '"welcome"' in r["text"]])
def test_malformed_welcome_opens_nothing(row):
    session, _ = new_session()
    session.begin(0.0)
    assert session.receive(row["text"].encode(), 1.0) == []
    assert session.state is State.OPENING
