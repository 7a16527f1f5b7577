"""How long reading back takes from Python, on a daemon of its own, over its socket and over HTTP:
a sweep of 50 runs as a table of pandas, and a list of 10,000 runs, as objects and as a table.

    make bench ONLY=bench_reading

Where there is no pandas the tables are of arrays, and the words say so.
"""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Callable
from typing import Any

from figures import in_turns, say
from harness import Daemon, draw, wait_until
from start_time import make_history

import richd

N_RUNS, SWEEP, STEPS = 10_000, 50, 200
PANDAS = importlib.util.find_spec("pandas") is not None
TABLE = "pandas" if PANDAS else "arrays"


def train(daemon: Daemon, seed: int) -> None:
    """A run of the sweep: points, and two scalars at ten times as many steps."""
    features, outputs = draw(64, 16, 4, seed=seed)
    config = {"lr": 1e-3 * (1 + seed), "opt": "adam", "width": 16, "seed": seed}
    with richd.init(project="sweep", run_id=f"s{seed}", config=config, spool_bytes=0,
                    runtime_dir=str(daemon.runtime)) as run:
        for step in range(STEPS):
            run.observe(features, outputs, step=10 * step)
            for k in range(10):
                run.log({"loss": 1 / (1 + step), "acc": step}, step=10 * step + k)
            run.checkpoint(step=10 * step, wait=step % 50 == 49, timeout=30)
        run.finish(timeout=30)


def table(found: richd.Runs, **chosen: Any) -> Any:
    """What a reader works with."""
    return found.to_pandas(**chosen) if PANDAS else found.table(**chosen)


def measure(work: str, n: int, read: Callable[[], Any], seconds: float) -> None:
    """Read again and again, and say what came of it."""
    assert len(read()) == n
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        began = time.perf_counter()
        read()
        times.append(1e3 * (time.perf_counter() - began))
    say(in_turns(work, "ms", times, runs=n))


def main(seconds: float = 1.0) -> None:
    """Make the history, and read it."""
    with tempfile.TemporaryDirectory(prefix="richd-bench-") as folder:
        daemon = Daemon(folder, RICHD_HTTP="127.0.0.1:0")
        make_history(daemon, N_RUNS, 5)
        daemon.start()
        wait_until(lambda: daemon.rpc("server.status")["history"] == "sound", "the check")
        for seed in range(SWEEP):
            train(daemon, seed)
        socket, http = {"runtime_dir": str(daemon.runtime)}, {"feed": daemon.endpoints["http"]}
        for way, place in (("socket", socket), ("HTTP", http)):
            listed = {"limit": N_RUNS, **place}
            measure(f"sweep into {TABLE}, {way}", SWEEP,
                    lambda place=place: table(richd.runs("sweep", **place)), seconds)
            measure(f"Python lists runs, {way}", N_RUNS,
                    lambda listed=listed: richd.runs(**listed), seconds)
            measure(f"Python lists runs into {TABLE}, {way}", N_RUNS,
                    lambda listed=listed: table(richd.runs(**listed), metrics=(), scalars=False),
                    seconds)
        daemon.close()


if __name__ == "__main__":
    main()
