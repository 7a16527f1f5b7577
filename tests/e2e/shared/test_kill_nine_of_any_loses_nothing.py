"""kill -9 of the daemon that writes, of the one that reads and of PostgreSQL (fsync on), at random
instants: what was acknowledged is in the history once, and the reader has it once."""

import random
import time

from killing import LAYERS, ROUNDS, SEED, go_on, train_until_killed
from sharing import assert_same, await_level

#: A trainer that says nothing for a minute is taken for lost.
SILENT_S = 30


def test_nothing_acknowledged_is_lost_or_doubled(new_daemon, own_server):
    rng = random.Random(SEED)
    database = own_server.new_database()
    partitions = str(SEED % 2 * 8)
    writer = new_daemon("--history", database.url, "--history-partitions", partitions).start()
    reader = new_daemon("--history", database.url, "--read-only", "on").start()
    acknowledged = []
    attempt = train_until_killed(writer, acknowledged, 0)
    for _ in range(ROUNDS):
        go_on(attempt, time.monotonic() + rng.uniform(0, 0.4))
        victim = rng.choice((writer, reader, own_server))
        victim.kill()
        began = time.monotonic()
        if victim is writer:
            attempt.close()
        if victim is own_server and rng.random() < 0.5:
            go_on(attempt, time.monotonic() + 0.2)  # while it is away
        victim.start()
        if victim is writer or time.monotonic() - began > SILENT_S:
            attempt.close()
            step = acknowledged[-1][1] + 1 if acknowledged else 0
            attempt = train_until_killed(writer, acknowledged, step)
    next(attempt, None)
    attempt.close()
    await_level(writer)
    assert_in_history(database, acknowledged)
    assert database.count("point") == writer.rpc("run.get", run="run")["n_points"]
    assert_same(reader, writer, "run")


def assert_in_history(database, acknowledged):
    """Each step of each attempt, with its layers and values, once."""
    told = [[str(attempt), str(step), layer] for attempt, step in acknowledged for layer in LAYERS]
    kept = database.sql("SELECT attempt, step, layer_name FROM richd.series")
    assert len(kept) == len(set(map(tuple, kept)))
    assert not {*map(tuple, told)} - {*map(tuple, kept)}
    logged = database.sql("SELECT attempt, step FROM richd.logged WHERE name = 'loss'")
    assert not {(str(a), str(s)) for a, s in acknowledged} - {*map(tuple, logged)}
