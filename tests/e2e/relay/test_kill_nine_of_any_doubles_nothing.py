"""kill -9 of the relay and of the daemon behind it, at random instants: what the relay acknowledged
is at the central one, once.

RICHD_TESTS=all takes many rounds; KILL_ROUNDS and KILL_SEED repeat what one has found."""

import os
import random
import time

from relaying import assert_same, await_level
from sharing import answers, train

ROUNDS = int(os.environ.get("KILL_ROUNDS",
                            200 if os.environ.get("RICHD_TESTS") == "all" else 5))
SEED = int(os.environ.get("KILL_SEED", 1))
LAYERS = ("head", "body")


def train_until_killed(relay, acknowledged, first_step):
    """An attempt of the run; notes each step that was acknowledged."""
    with relay.trainer("run") as trainer:
        for step in range(first_step, first_step + 40):
            train(trainer, [step], LAYERS)
            acknowledged.append((trainer.attempt, step))
            yield


def go_on(attempt, until):
    """Trains until the time has come, or the attempt is over."""
    while time.monotonic() < until:
        if next(attempt, StopIteration) is StopIteration:
            time.sleep(max(0, until - time.monotonic()))


def assert_once(daemon, acknowledged):
    """Each acknowledged step of each attempt, with its layers and values, once."""
    said = answers(daemon, "run")
    for layer in said["series"]:
        kept = list(zip(layer["columns"]["attempt"], layer["columns"]["step"]))
        assert len(kept) == len(set(kept))
        assert not set(acknowledged) - set(kept)
    assert {layer["layer"] for layer in said["series"]} == set(LAYERS)


def test_nothing_acknowledged_is_lost_or_doubled(relay, central):
    rng = random.Random(SEED)
    acknowledged, step = [], 0
    attempt = train_until_killed(relay, acknowledged, step)
    for _ in range(ROUNDS):
        go_on(attempt, time.monotonic() + rng.uniform(0, 0.4))
        victim = rng.choice((relay, central))
        victim.kill()
        if victim is relay:
            attempt.close()
            step = acknowledged[-1][1] + 1 if acknowledged else 0
        elif rng.random() < 0.5:
            go_on(attempt, time.monotonic() + 0.2)  # while it is away
        victim.start()
        if victim is relay:
            attempt = train_until_killed(relay, acknowledged, step)
    next(attempt, None)
    attempt.close()
    await_level(relay)
    assert_same(relay, central, "run")
    assert_once(central, acknowledged)
