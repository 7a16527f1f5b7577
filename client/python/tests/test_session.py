"""The conversation, without sockets, threads or clocks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from richd._link import session as _session
from richd._link.session import Answered, Reconnect, Refused, Starved, State, Stopped, Welcomed
from support import drain, message, new_session, put_batch, put_control, welcome


WAITING = json.loads((Path(__file__).parents[3] / "proto/vectors/waiting.json").read_text())


def test_times_are_those_of_the_vectors():
    for name, time_ms in WAITING[0]["times_ms"].items():
        assert 1000 * getattr(_session, f"{name.upper()}_S") == time_ms, name


class Script:
    """A case of proto/vectors/waiting.json, and the session that lives through it."""

    def __init__(self):
        self.session, self.outbox = new_session()
        self.seq = self.dropped = 0
        self.absent = False

    def act(self, step, now):
        if "connect" in step:
            self.session.begin(now)
        elif "disconnect" in step:
            self.session.lost()
        elif "batch" in step:
            put_batch(self.outbox, step["batch"])
        elif "checkpoint" in step:
            self.seq += 1
            put_control(self.outbox, self.seq, "checkpoint")
        elif "receive" in step:
            return self.session.receive(json.dumps(step["receive"]).encode(), now)
        return []

    def play(self, step):
        now = step["at_ms"] / 1000
        events = self.act(step, now) + self.session.tick(now)
        self.dropped += sum(isinstance(event, Starved) for event in events)
        delays = [round(1000 * e.delay_s) for e in events if isinstance(e, Reconnect)]
        if delays:
            self.session.lost()
        self.session.note_stall(step.get("stalled_ms", 0) / 1000)
        self.absent = self.session.note_absence(now) or (
            self.absent and self.session.state is not State.OPEN)
        sent = [self.type_of(kind, frames) for kind, frames in drain(self.session, now)]
        assert sent == step.get("sent", []), step
        assert delays == ([step["reconnect_ms"]] if "reconnect_ms" in step else []), step
        assert step.get("state", self.session.state.name.lower()) == self.session.state.name.lower()
        assert step.get("dropped", self.dropped) == self.dropped, step
        assert step.get("absent", self.absent) == self.absent, step

    @staticmethod
    def type_of(kind, frames):
        return "batch" if kind == "batch" else json.loads(frames[0])["type"]


@pytest.mark.parametrize("case", WAITING[1:], ids=lambda case: case["name"])
def test_waits_as_the_vectors_say(case):
    script = Script()
    for step in case["steps"]:
        script.play(step)


def open_session(granted=1 << 20):
    session, outbox = new_session()
    session.begin(0.0)
    drain(session)
    session.receive(welcome(granted), 0.0)
    return session, outbox


def kinds(sent):
    return [kind for kind, _ in sent]


def test_says_hello_then_open_and_nothing_else_before_the_welcome():
    session, outbox = new_session(config={"lr": 1})
    put_batch(outbox)
    session.begin(0.0)
    sent = [json.loads(frames[0]) for _, frames in drain(session)]
    assert [m["type"] for m in sent] == ["hello", "open"]
    assert sent[0]["protocol_min"] == sent[0]["protocol_max"] == 1
    assert sent[1]["run"] == "r" and sent[1]["config"] == {"lr": 1} and sent[1]["writer"]
    assert "attempt" not in sent[1]


def test_welcome_opens_and_what_waited_goes_out():
    session, outbox = new_session()
    put_batch(outbox)
    session.begin(0.0)
    drain(session)
    assert session.receive(welcome(attempt=3, last_step=910), 0.0) == [Welcomed("r", 3, 910)]
    assert session.attempt == 3
    assert kinds(drain(session)) == ["batch"]


def test_batches_beyond_the_credit_wait_for_progress():
    session, outbox = open_session(granted=250)
    for seq in (1, 2, 3):
        put_batch(outbox, 100, seq)
    assert kinds(drain(session)) == ["batch", "batch"]
    session.receive(message("progress", granted=299), 0.0)
    assert drain(session) == []
    session.receive(message("progress", granted=300), 0.0)
    assert kinds(drain(session)) == ["batch"]


def test_credit_never_shrinks():
    session, outbox = open_session(granted=100)
    session.receive(message("progress", granted=10), 0.0)
    put_batch(outbox, 100)
    assert kinds(drain(session)) == ["batch"]


def test_checkpoint_waits_for_earlier_batches():
    session, outbox = open_session(granted=150)
    put_batch(outbox, 100, 1)
    put_batch(outbox, 100, 2)
    put_control(outbox, 1, "checkpoint")
    put_batch(outbox, 10, 3)
    assert kinds(drain(session)) == ["batch"]
    session.receive(message("progress", granted=1000), 0.0)
    assert kinds(drain(session)) == ["batch", "control", "batch"]


def test_control_is_kept_until_acknowledged():
    session, outbox = open_session()
    control = put_control(outbox, 1)
    drain(session)
    assert outbox.controls == 1
    assert session.receive(message("ack", seq=1), 0.0) == [Answered(control, True, [])]
    assert outbox.controls == 0
    assert session.receive(message("ack", seq=1), 0.0) == []


def test_kept_controls_go_out_again_in_order_before_anything_new():
    session, outbox = open_session()
    for seq in (1, 2, 3):
        put_control(outbox, seq)
    drain(session)
    session.receive(message("ack", seq=2), 0.0)
    session.lost()
    put_batch(outbox)
    session.begin(1.0)
    drain(session, 1.0)
    session.receive(welcome(), 1.0)
    sent = drain(session, 1.0)
    assert kinds(sent) == ["resend", "resend", "batch"]
    assert [json.loads(frames[0])["seq"] for _, frames in sent[:2]] == [1, 3]


def test_reconnection_opens_the_same_attempt_as_the_same_writer():
    session, _ = new_session(resume="never")
    session.begin(0.0)
    first = json.loads(drain(session)[1][1][0])
    session.receive(welcome(attempt=4), 0.0)
    session.lost()
    session.begin(1.0)
    again = json.loads(drain(session, 1.0)[1][1][0])
    assert again["attempt"] == 4 and again["writer"] == first["writer"]
    assert first["resume"] == "never" and again["resume"] == "allow"


def test_credit_starts_afresh_with_each_connection():
    session, outbox = open_session(granted=100)
    put_batch(outbox, 100)
    drain(session)
    session.lost()
    session.begin(1.0)
    drain(session, 1.0)
    session.receive(welcome(granted=100), 1.0)
    put_batch(outbox, 100, 2)
    assert kinds(drain(session, 1.0)) == ["batch"]


def test_pings_every_second_and_takes_silence_for_a_lost_connection():
    session, _ = open_session()
    assert drain(session, 0.5) == []
    assert kinds(drain(session, 1.0)) == ["ping"]
    assert drain(session, 1.5) == []
    session.receive(message("pong", id=1), 1.6)
    assert session.tick(6.5) == []
    (event,) = session.tick(6.6)
    assert isinstance(event, Reconnect)


def test_enotopen_asks_for_a_new_connection():
    session, _ = open_session()
    (event,) = session.receive(message("nack", code="ENOTOPEN"), 0.0)
    assert isinstance(event, Reconnect) and event.delay_s == 0


def test_fatal_ebusy_tries_again_later():
    session, _ = open_session()
    (event,) = session.receive(message("nack", code="EBUSY", fatal=True), 0.0)
    assert isinstance(event, Reconnect) and event.delay_s == _session.RETRY_S


@pytest.mark.parametrize("code", ["EBUSY", "EIO"])
def test_a_run_that_cannot_open_now_is_opened_later(code):
    session, _ = new_session()
    session.begin(0.0)
    drain(session)
    (event,) = session.receive(message("nack", code=code, fatal=False, text="later"), 0.0)
    assert isinstance(event, Reconnect)
    assert event.delay_s > 0
    assert session.state is not State.ENDED


@pytest.mark.parametrize(
    "code", ["EFENCED", "EHELD", "EVERSION", "EEXIST", "ENOENT", "EGONE", "EACCES"])
def test_fatal_nack_ends_it_for_good(code):
    session, outbox = open_session()
    put_batch(outbox)
    answer = session.receive(message("nack", code=code, text="so", fatal=True), 0.0)
    assert answer == [Stopped(code, "so")]
    assert session.state is State.ENDED
    session.begin(9.0)
    assert drain(session, 9.0) == [] and session.tick(99.0) == []


def test_open_that_is_refused_ends_it():
    session, _ = new_session()
    session.begin(0.0)
    drain(session)
    session.receive(message("nack", code="EPROTO", text="name", fatal=False), 0.0)
    assert session.state is State.ENDED


def test_eio_holds_everything_and_sends_again_in_order():
    session, outbox = open_session()
    for seq in (1, 2, 3):
        put_control(outbox, seq)
    drain(session)
    session.receive(message("ack", seq=1), 0.0)
    assert session.receive(message("nack", code="EIO", seq=2), 0.0) == []
    put_batch(outbox)
    assert drain(session, 0.5) == []
    sent = [s for s in drain(session, 1.0) if s[0] != "ping"]
    assert kinds(sent) == ["resend", "resend", "batch"]
    assert [json.loads(frames[0])["seq"] for _, frames in sent[:2]] == [2, 3]


def test_refused_control_is_gone_and_its_waiter_is_told():
    session, outbox = open_session()
    control = put_control(outbox, 1)
    drain(session)
    events = session.receive(message("nack", code="EPROTO", text="bad", seq=1), 0.0)
    assert events == [Refused("EPROTO", "bad", False), Answered(control, False)]
    assert outbox.controls == 0


def test_refused_batch_is_reported():
    session, _ = open_session()
    fields = {"code": "ENUMERIC", "text": "row 3", "layer": "head", "batch": 41}
    assert session.receive(message("nack", **fields), 0.0) == [Refused("ENUMERIC", "row 3", True)]


def test_batches_starved_of_credit_are_dropped_so_that_checkpoints_pass():
    session, outbox = open_session(granted=10)
    first, second = put_batch(outbox, 100, 1), put_batch(outbox, 100, 2)
    put_control(outbox, 1, "checkpoint")
    small = put_batch(outbox, 10, 3)
    assert drain(session, 0.0) == []
    session._heard_at = _session.CREDIT_S  # alive all the while
    assert session.tick(_session.CREDIT_S - 0.1) == []
    assert session.tick(_session.CREDIT_S) == [Starved(first), Starved(second)]
    sent = [s for s in drain(session, _session.CREDIT_S) if s[0] != "ping"]
    assert kinds(sent) == ["control", "batch"] and sent[1][1] == small.frames


@pytest.mark.parametrize("junk", [b"", b"{", b"[1]", b"7", b'{"type":[1]}', b"[" * 5000, b"\xff"])
def test_junk_changes_nothing(junk):
    session, outbox = open_session()
    put_batch(outbox)
    assert session.receive(junk, 0.0) == []
    assert session.state is State.OPEN
    assert kinds(drain(session)) == ["batch"]


def test_a_batch_that_is_still_computed_holds_up_what_is_behind_it():
    session, outbox = open_session()
    is_there = []
    put_batch(outbox).is_ready = lambda: bool(is_there)
    put_control(outbox, 1)
    assert drain(session) == []
    assert kinds(drain(session, _session.PING_S)) == ["ping"]
    is_there.append(True)
    assert kinds(drain(session)) == ["batch", "control"]
