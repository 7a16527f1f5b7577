"""kill -9 of the relay and of the daemon behind it, at random instants: what the relay acknowledged
is at the central one, once."""

import random
import time

from killing import LAYERS, ROUNDS, SEED, go_on, train_until_killed
from relaying import assert_same, await_level
from sharing import answers


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
