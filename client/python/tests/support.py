"""What the tests share: a daemon that is scripted, sessions without a socket, waiting."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path

import zmq

import richd
from richd._link import session as _session, wire as _wire
from richd._link.outbox import Batch, Control, Outbox


def wait_until(condition, timeout=5.0):
    """True as soon as `condition()` is, False after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.005)
    return bool(condition())


def connected(daemon, **options):
    """A run that is open at the fake daemon; `options` are those of `richd.init`."""
    run = richd.init(endpoint=daemon.address, **options)
    assert wait_until(lambda: run.attempt is not None)
    return run


def python(code, *arguments, timeout=120):
    """Run `code` in an interpreter of its own. Python 3.12 warns of a fork beside a thread."""
    env = {**os.environ, "PYTHONPATH": str(Path(richd.__file__).resolve().parents[1])}
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", code, *arguments],
        env=env,
        timeout=timeout,
        capture_output=True,
        text=True,
        check=False,
    )


def message(kind, **fields):
    return json.dumps({"type": kind, **fields}).encode()


def welcome(granted=1 << 20, attempt=1, **fields):
    fields = {"run": "r", "last_seq": 0, "last_step": None, **fields}
    return message("welcome", attempt=attempt, granted=granted, **fields)


def new_session(**open_fields):
    outbox = Outbox()
    identity = _session.Identity("test", "host", 1, "w" * 32, {"run": "r", **open_fields})
    return _session.Session(identity, outbox), outbox


def put_batch(outbox, size=100, seq=1):
    assert outbox.reserve(size)
    batch = Batch(1, [b"x" * size], size)
    outbox.put_batch(batch)
    return batch


def put_control(outbox, seq, kind="log"):
    return outbox.put_control(lambda: Control(kind, seq, message(kind, seq=seq)))


def drain(session, now=0.0):
    """Everything the session would send now, as (kind, frames)."""
    sent = []
    while (outgoing := session.peek(now)) is not None:
        session.sent(outgoing, now)
        sent.append((outgoing.kind, outgoing.frames))
    return sent


class Daemon:
    """A ROUTER in a thread that speaks the protocol: folds nothing, answers everything.

    `script(identity, message) -> list of answers, or None for the usual ones` overrides it.
    """

    def __init__(self, address="tcp://127.0.0.1:*", granted=64 << 20, script=None):
        self.granted = granted
        self.script = script or (lambda peer, fields: None)
        self.received = []  # control dicts, and ("batch", Header, name, frames)
        self.connections = []
        self.points = {}  # layer -> fields of its point
        self._send = deque()
        self._attempts = {}
        self._stop = False
        self._silent = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind(address)
        self.address = self._socket.getsockopt(zmq.LAST_ENDPOINT).decode().rstrip("\0")
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        self._stop = True
        self._thread.join(5.0)
        self._socket.close(0)
        self._context.term()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def silence(self):
        """As if stopped: read nothing, answer nothing."""
        self._silent.set()

    def speak(self):
        self._silent.clear()

    def say(self, kind, **fields):
        """Send something to the latest connection."""
        self._send.append((self.connections[-1], message(kind, **fields)))

    def controls(self, kind):
        return [m for m in list(self.received) if isinstance(m, dict) and m["type"] == kind]

    def batches(self):
        return [m for m in list(self.received) if not isinstance(m, dict)]

    def _serve(self):
        while not self._stop:
            while self._send:
                self._socket.send_multipart(self._send.popleft())
            if self._silent.is_set() or not self._socket.poll(5):
                time.sleep(0.002)
                continue
            self._take(self._socket.recv_multipart())

    def _take(self, frames):
        peer, first = frames[0], frames[1]
        if first[:1] == b"R":
            header = _wire.Header.decode(first)
            self.received.append(("batch", header, frames[2].decode(), frames[3:]))
            return
        fields = json.loads(first)
        self.received.append(fields)
        answers = self.script(peer, fields)
        for answer in self._usual(peer, fields) if answers is None else answers:
            self._socket.send_multipart([peer, answer])

    def _usual(self, peer, fields):
        kind = fields["type"]
        if kind == "hello":
            self.connections.append(peer)
            return [message("hello", protocol=1, server="fake 0", members=True)]
        if kind == "open":
            run = fields["run"]
            attempt = fields.get("attempt") or self._attempts.get(run, 0) + 1
            self._attempts[run] = attempt
            place = {"member": fields["member"]} if "member" in fields else {}
            return [welcome(self.granted, attempt, run=run, **place)]
        if kind == "ping":
            return [message("pong", id=fields["id"])]
        if kind == "checkpoint":
            return [message("ack", seq=fields["seq"], points=self._points(fields))]
        return [message("ack", seq=fields["seq"])]

    def _points(self, fields):
        base = {"run": "r", "attempt": 1, "step": fields["step"], "n": 8, "d_lr": 0.5}
        return [{"layer": k, **base, **self.points.get(k, {})} for k in fields["layers"]]
