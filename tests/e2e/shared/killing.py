"""What loops of kill -9 have in common.

RICHD_TESTS=all takes many rounds; KILL_ROUNDS and KILL_SEED repeat what one has found."""

import os
import time

from sharing import train

ROUNDS = int(os.environ.get("KILL_ROUNDS",
                            200 if os.environ.get("RICHD_TESTS") == "all" else 5))
SEED = int(os.environ.get("KILL_SEED", 1))
LAYERS = ("head", "body")


def train_until_killed(daemon, acknowledged, first_step):
    """An attempt of the run; notes each step that was acknowledged."""
    with daemon.trainer("run") as trainer:
        for step in range(first_step, first_step + 40):
            train(trainer, [step], LAYERS)
            acknowledged.append((trainer.attempt, step))
            yield


def go_on(attempt, until):
    """Trains until the time has come, or the attempt is over."""
    while time.monotonic() < until:
        if next(attempt, StopIteration) is StopIteration:
            time.sleep(max(0, until - time.monotonic()))
