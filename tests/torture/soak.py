#!/usr/bin/env python3
"""A daemon under churn: does it keep what it no longer needs?

    tests/torture/soak.py MINUTES

Runs open, send rows, checkpoints and logs, and close or vanish; readers ask, subscribe and leave.
Each ten seconds the daemon's resident memory, descriptors and threads are noted. A line is fitted
to the memory after WARM_S: prints its slope with the standard error, and exits with 1 where the
slope is above SLOPE_MAX by more than two standard errors, or where threads grew.
"""

import pathlib
import random
import re
import sys
import tempfile
import threading
import time

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
from harness import Daemon, Feed, RpcError, draw  # noqa: E402

#: MiB an hour.
SLOPE_MAX = 1.0
PAUSE_S = 10.0
#: Until each kind of work was done often enough: pools, caches and stacks have their size.
WARM_S = 600.0
#: An allocator gives back what it can once a minute: the samples of a minute are one value.
MEAN_S = 60.0


def train(daemon, chance, seed):
    """One run of some checkpoints. Names come again, and a name keeps its shape, so that the store
    holds a bounded number of runs."""
    p, c = chance.randint(2, 20), 1 + seed % 4
    name = f"w{seed}-{p}"
    with daemon.trainer(name) as trainer:
        for step in range(1, chance.randint(2, 12)):
            trainer.rows(*draw(chance.randint(1, 200), p, c, seed=step), step=step)
            trainer.wait(trainer.log(step, loss=step))
            trainer.checkpoint(step)
        if chance.random() < 0.7:
            trainer.finish()


def read(daemon, chance):
    """What a page asks, and a subscription that is left."""
    with daemon.subscribe(), Feed(daemon.endpoints["feed"]) as feed:
        runs = feed.call("run.list", limit=20)["runs"]
        for run in chance.sample(runs, min(3, len(runs))):
            try:
                feed.call("series.query", run=f"{run['project']}/{run['name']}")
            except RpcError:
                pass  # it has no point yet


def churn(daemon, seed, stopping, counts):
    """Until told to stop."""
    chance = random.Random(seed)
    while not stopping.is_set():
        if seed % 4 == 0:
            read(daemon, chance)
        else:
            train(daemon, chance, seed)
        counts[seed] += 1


def look(pid):
    """Resident MiB, descriptors and threads."""
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    field = dict(re.findall(r"^(\w+):\s+(\d+)", status, re.M))
    n_open = len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
    return int(field["VmRSS"]) / 1024, n_open, int(field["Threads"])


def soak(minutes):
    """Returns the samples, a row each: seconds, MiB, descriptors, threads; and what was done."""
    daemon = Daemon(tempfile.mkdtemp(prefix="soak-")).start()
    stopping, counts = threading.Event(), [0] * 8
    workers = [threading.Thread(target=churn, args=(daemon, seed, stopping, counts))
               for seed in range(len(counts))]
    for worker in workers:
        worker.start()
    began, samples = time.monotonic(), []
    while (now := time.monotonic() - began) < 60 * minutes:
        samples.append((now, *look(daemon.pid)))
        stopping.wait(PAUSE_S)
    stopping.set()
    for worker in workers:
        worker.join()
    daemon.stop()
    return np.array(samples), sum(counts)


def fit(seconds, mib):
    """The slope of a line through the means of each MEAN_S, MiB an hour, and its standard error.
    What one mean is off by says something of the next (correlation r): n values tell as much as
    n (1 - r) / (1 + r) independent ones."""
    block = (seconds // MEAN_S).astype(int)
    means = np.array([[np.mean(seconds[block == b]) / 3600, np.mean(mib[block == b])]
                      for b in np.unique(block)])
    hours, values = means[:, 0] - means[:, 0].mean(), means[:, 1] - means[:, 1].mean()
    slope = hours @ values / (hours @ hours)
    off = values - slope * hours
    r = min(max(off[1:] @ off[:-1] / max(off @ off, 1e-12), 0.0), 0.9)
    variance = off @ off / (len(off) - 2) * (1 + r) / (1 - r)
    return slope, np.sqrt(variance / (hours @ hours))


def main():
    """Prints the samples' summary; returns the exit status."""
    minutes = float(sys.argv[1])
    if 60 * minutes < WARM_S + 5 * MEAN_S:
        sys.exit(f"{minutes:g} minutes are too few: {(WARM_S + 5 * MEAN_S) / 60:g} at least")
    samples, n = soak(minutes)
    late = samples[samples[:, 0] >= WARM_S]
    slope, error = fit(late[:, 0], late[:, 1])
    print(f"{minutes:g} minutes, {n} runs and readers: {samples[0, 1]:.1f} MiB at first, "
          f"{late[0, 1]:.1f} after {WARM_S / 60:g} minutes, {late[-1, 1]:.1f} at the end, "
          f"{slope:+.2f} +/- {error:.2f} MiB/h; "
          f"descriptors {late[:, 2].min():.0f} to {late[:, 2].max():.0f}, "
          f"threads {late[:, 3].min():.0f} to {late[:, 3].max():.0f}")
    grew = slope > SLOPE_MAX + 2 * error
    return int(grew or np.ptp(late[:, 3]) > 0)


if __name__ == "__main__":
    sys.exit(main())
