"""One daemon for all inputs of a file, and a training beside them that must not notice any."""

import contextlib

import numpy as np
import pytest

from harness import Daemon, draw

#: What a point says of when it was made, and not of its rows.
WHEN = ("step", "time", "seq", "rows_from", "rows_to")


class Healthy:
    """A trainer whose windows all hold the same rows: its points are equal, bit for bit.

    A window is one message, as the daemon puts together what it finds, and sums of other blocks
    are rounded in another way.
    """

    def __init__(self, daemon):
        self.trainer = daemon.trainer("healthy")
        self.rows = draw(60, 8, 3, seed=5)
        self.step = 0
        self.first = None

    def train(self):
        """Sends a window's rows."""
        self.step += 1
        self.trainer.rows(*self.rows, step=self.step)

    def measure(self):
        """Ends the window; its point is the first one once more."""
        point = self.trainer.checkpoint(self.step)["head"]
        said = {name: value for name, value in point.items() if name not in WHEN}
        self.first = self.first or said
        assert said == self.first
        assert self.trainer.nacks == []


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = Daemon(tmp_path_factory.mktemp("hostile"), "--http", "127.0.0.1:0").start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def healthy(daemon):
    training = Healthy(daemon)
    training.train()
    training.measure()
    yield training
    training.trainer.close()


@pytest.fixture(autouse=True)
def the_training_beside_it_is_unharmed(daemon, healthy):
    """The test happens between a window's rows and its checkpoint."""
    pid = daemon.pid
    healthy.train()
    yield
    healthy.measure()
    assert daemon.process.poll() is None and daemon.pid == pid
    rows = daemon.series("healthy")
    assert rows["step"] == list(range(1, healthy.step + 1))
    assert np.ptp(rows["d_lr"]) == 0


def leave(trainer):
    """Ends the run, so that its credit is free for others, however far the connection came."""
    trainer.say("close", seq=2**53 - 1, status="failed")
    trainer.say("ping", id=100)
    while trainer.receive() not in (None, {"type": "pong", "id": 100}):
        pass


@pytest.fixture
def connect(daemon):
    """Makes trainers as `daemon.trainer` does; their runs end with the test."""
    with contextlib.ExitStack() as stack:
        def make(run=None, **fields):
            trainer = stack.enter_context(daemon.trainer())
            stack.callback(leave, trainer)
            if run:
                trainer.open(run, **fields)
            return trainer
        yield make


@pytest.fixture
def run_id(request):
    """A run of the test's own."""
    return f"r{abs(hash(request.node.name)) % 10**12}"
