import collections
import contextlib
import os
import random
import threading
import time

import zmq

from harness import IS_THINNED, Trainer, draw, wait_until

#: `make torture` gives more.
KILLS = int(os.environ.get("TORTURE_KILLS", 6 if IS_THINNED else 25))
#: A connection that failed before the monitor looked is silent, and so is one whose end libzmq's
#: monitor does not report; then another one is made. Twice as long after each that brought nothing:
#: a machine may be slower than the first wait.
SILENCE_S = 0.5
SILENCE_MAX_S = 8.0
#: A query with fewer rows than that gives each of them, and no bins.
POINTS_MAX = 100_000
#: Rows of a step, which are a window.
ROWS = 16


class Streamer(threading.Thread):
    """A trainer that never stops: it reconnects by itself, as the same writer, and sends again
    whatever was not acknowledged. One log and one checkpoint a step."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.daemon_ = daemon
        self.stopping = threading.Event()
        self.layers = {}
        self.kept = {}   # seq -> (kind, fields) that wait for their acknowledgement
        self.acked = {}  # seq -> points of the acknowledgement
        self.seq = self.step = self.attempt = 0
        self.writer = "streamer"
        self.failure = None
        self.patience_s = SILENCE_S
        self.story = collections.deque(maxlen=40)  # what happened last, and when, for a failure

    def run(self):
        try:
            while not self.stopping.is_set() or self.kept:
                self.connect_and_stream()
        except Exception as error:  # shown by the test
            self.failure = error

    def connect_and_stream(self):
        try:
            endpoint = self.daemon_.endpoints["ingest"]
        except OSError:
            time.sleep(0.005)
            return
        self.tell("connects")
        # Without reconnection a DEALER whose peer is gone would block in send for ever.
        with Trainer(endpoint, reconnect_ivl=-1, sndtimeo=50) as trainer:
            monitor = trainer.socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            trainer.writer, trainer.layers = self.writer, self.layers
            with contextlib.suppress(zmq.Again):
                if self.open(trainer, monitor):
                    self.stream(trainer, monitor)
            self.tell(f"leaves with {len(self.kept)} kept, {trainer.nacks[:3]}")
            trainer.socket.disable_monitor()

    def tell(self, what):
        self.story.append(f"{time.monotonic():.3f} {what}")

    def listen(self, trainer, timeout):
        """The next message in that time, if there is one; any is a sign of life."""
        message = trainer.receive(timeout)
        if message:
            self.patience_s = SILENCE_S
        return message

    def grow_patient(self, what):
        self.tell(f"heard nothing for {self.patience_s:g} s {what}")
        self.patience_s = min(2 * self.patience_s, SILENCE_MAX_S)

    def is_gone(self, monitor):
        return bool(monitor.poll(0)) or self.daemon_.process is None

    def open(self, trainer, monitor):
        trainer.hello()
        trainer.say("open", run="run", writer=self.writer, attempt=self.attempt)
        deadline = time.monotonic() + self.patience_s
        while not self.is_gone(monitor):
            message = self.listen(trainer, 0.02)
            if message and message["type"] == "nack":
                self.tell(f"is refused: {message}")
                self.stopping.wait(0.05)
                return False
            if message and message["type"] == "welcome":
                self.tell(f"is welcome: {message}")
                self.attempt = message["attempt"]
                for seq, (kind, fields) in sorted(self.kept.items()):
                    trainer.say(kind, seq=seq, **fields)
                return True
            if time.monotonic() > deadline:
                self.grow_patient("after its open")
                return False
        return False

    def keep(self, trainer, kind, **fields):
        self.seq += 1
        self.kept[self.seq] = (kind, fields)
        with contextlib.suppress(zmq.Again):  # it is kept, and sent on the next connection
            trainer.say(kind, seq=self.seq, **fields)

    def stream(self, trainer, monitor):
        heard = time.monotonic()
        while not self.is_gone(monitor) and (not self.stopping.is_set() or self.kept):
            if time.monotonic() - heard > self.patience_s:
                self.grow_patient("in its run")
                return
            if len(self.kept) < 20 and not self.stopping.is_set():
                self.step += 1
                with contextlib.suppress(zmq.Again):  # dropped, and counted in the totals
                    trainer.rows(*draw(ROWS, 4, 2, seed=self.step))
                seq, rows = self.layers["head"]
                self.keep(trainer, "log", step=self.step, scalars={"loss": self.step})
                self.keep(trainer, "checkpoint", step=self.step,
                          layers={"head": {"seq": seq, "rows": rows}})
            if self.listen(trainer, 0.001):
                heard = time.monotonic()
            assert not [n for n in trainer.nacks if n["code"] != "ENOTOPEN"], trainer.nacks
            if trainer.nacks:  # it opens again, and repeats what was not acknowledged
                return
            for seq, points in trainer.acks.items():
                self.kept.pop(seq, None)
                if points or seq not in self.acked:
                    self.acked[seq] = points
            trainer.acks.clear()


def test_kill_nine_loses_nothing_acknowledged(daemon):
    chance = random.Random(4)
    streamer = Streamer(daemon)
    streamer.start()
    for kill in range(KILLS):
        n_acked = len(streamer.acked)
        if kill % 2:  # the others come at any time, while the daemon reads and the trainer connects
            wait_until(lambda n=n_acked: streamer.failure or len(streamer.acked) > n,
                       lambda: "an ack:\n" + "\n".join(streamer.story))
        time.sleep(chance.uniform(0.0, 0.1))
        daemon.kill()
        promised = dict(streamer.acked)
        daemon.start()
        stored = daemon.rpc("scalars.query", run="run", points=POINTS_MAX)["scalars"] \
            if promised else []
        steps = set(stored[0]["columns"]["step"]) if stored else set()
        assert {(seq + 1) // 2 for seq in promised if seq % 2} <= steps, "acknowledged and lost"
    streamer.stopping.set()
    streamer.join(30)
    assert streamer.failure is None and not streamer.is_alive(), streamer.failure

    columns = daemon.series("run", points=POINTS_MAX)
    (loss,) = daemon.rpc("scalars.query", run="run", points=POINTS_MAX)["scalars"]
    assert loss["columns"]["step"] == list(range(1, streamer.step + 1)), "every log, once"
    assert sorted(set(columns["step"])) == columns["step"], "no point twice"
    stored = dict(zip(columns["step"], zip(columns["n"], columns["d_lr"])))
    acked = {point["step"]: (point["n"], point["d_lr"])
             for points in streamer.acked.values() for point in points or ()}
    assert acked == stored, "what was acknowledged is what is stored"
    before = 0  # rows of steps whose window stayed empty are missing from the next point
    for step, n, missing in zip(columns["step"], columns["n"], columns["rows_missing"]):
        assert n + missing == ROWS * (step - before), "no row twice, and what was lost is said"
        before = step
    with daemon.subscribe(since_seq="0") as subscription:
        subscription.read_until(lambda s: s.seq == daemon.rpc("server.hello")["seq"])
        assert len(subscription.points) == len(columns["step"])
        assert len(subscription.scalars) == streamer.step
