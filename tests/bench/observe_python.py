"""What `Run.observe` costs a training loop, beside bare copies of the same bytes.

    PYTHONPATH=client/python/src /usr/bin/python3 tests/bench/observe_python.py [SECONDS]

Copies and calls take turns in one loop, so that both meet the same machine. Before each stands a
step of about 2 ms, most of it in BLAS, which takes the rows out of the caches. The daemon is
$RICHD_BUILD/richd (build/), in folders of its own: answering, stopped by SIGSTOP, or not there.
"alone" has no sender thread: what is left is the call's own work, and what the machine does to any
code. A call during which the kernel gave the core to somebody else (an involuntary switch) says
more of the machine than of us; the last columns are the calls without one. Waiting for the
interpreter's lock is a voluntary switch, and stays in.
"""

from __future__ import annotations

import logging
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np  # noqa: E402
import richd  # noqa: E402
from richd._link.outbox import Batch  # noqa: E402
from richd._link.sender import Sender  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
RICHD = pathlib.Path(os.environ.get("RICHD_BUILD", ROOT / "build")).resolve() / "richd"
#: (rows, features, outputs): addition mod 97's probe rows, 1 MiB, and a wide layer that makes 2
#: batches.
SHAPES = ((512, 128, 97), (1024, 246, 10), (1024, 1024, 10))
STEP_S = 2e-3


@contextmanager
def daemon(folder: pathlib.Path) -> Iterator[subprocess.Popen[bytes]]:
    """A richd whose runtime folder is `folder`; ended when the block is."""
    process = subprocess.Popen(
        [RICHD, "--runtime-dir", folder, "--state-dir", folder / "state", "--log-level", "error"]
    )
    try:
        while not (folder / "endpoints.json").exists():
            time.sleep(0.01)
        yield process
    finally:
        process.send_signal(signal.SIGCONT)
        process.terminate()
        process.wait()


def without_thread(sender: Any) -> None:
    """In place of Sender.start: nobody takes what is queued, so that it is dropped here."""

    def forget() -> None:
        while sender._outbox.head() is not None:
            item = sender._outbox.pop()
            if isinstance(item, Batch):
                sender._outbox.release(item.size_bytes)
            else:
                item.done = True
                sender._outbox.control_done()

    sender.wake = forget


def timed(call: Callable[[], Any]) -> tuple[float, int]:
    """Microseconds, and how often the kernel took the core away."""
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw
    began = time.perf_counter()
    call()
    took = time.perf_counter() - began
    return 1e6 * took, resource.getrusage(resource.RUSAGE_THREAD).ru_nivcsw - before


def measure(run: richd.Run, shape: tuple[int, int, int], seconds: float) -> np.ndarray:
    """(calls, 2, 2): of the bare copies and of observe, as `timed` has it."""
    n, p, c = shape
    generator = np.random.default_rng(0)
    features = generator.standard_normal((n, p)).astype(np.float32)
    outputs = generator.standard_normal((n, c)).astype(np.float32)
    matrix = generator.standard_normal((384, 384)).astype(np.float32)
    times: list[Any] = []
    end = time.perf_counter() + seconds

    def step() -> None:
        step_end = time.perf_counter() + STEP_S
        while time.perf_counter() < step_end:
            matrix @ matrix

    while time.perf_counter() < end:
        step()
        copied = timed(lambda: (features.copy(), outputs.copy()))
        step()
        times.append((copied, timed(lambda: run.observe(features, outputs, step=len(times)))))
        if len(times) % 100 == 0:
            run.checkpoint(step=len(times))
    return np.array(times[len(times) // 10 :])  # the first calls connect


def say(label: str, shape: tuple[int, int, int], times: np.ndarray, run: richd.Run) -> None:
    all_copied, all_observed = (times[:, i, 0] for i in (0, 1))
    copied, observed = (times[times[:, i, 1] == 0, i, 0] for i in (0, 1))
    columns = [
        f"{np.quantile(a, q):6.0f} {np.quantile(b, q):6.0f}"
        for a, b, quantiles in (
            (all_copied, all_observed, (0.5, 0.99, 0.999)),
            (copied, observed, (0.99, 0.999, 1)),
        )
        for q in quantiles
    ]
    ratio = np.median(all_observed) / np.median(all_copied)
    dropped = run.stats.rows_dropped / max(1, run.stats.rows_offered)
    print(
        f"{label:8}{shape!s:16}{len(times):6}  {'  '.join(columns)}  {ratio:5.2f}  {dropped:4.0%}",
        flush=True,
    )


def bench(label: str, shape: tuple[int, int, int], seconds: float) -> None:
    with tempfile.TemporaryDirectory(prefix="rb") as name:
        folder = pathlib.Path(name)
        environment = {"absent": None, "alone": None}.get(label, daemon)
        with daemon(folder) if environment else tempfile.TemporaryFile() as process:
            run = richd.init("bench", runtime_dir=str(folder))
            if label == "stopped":
                while run.attempt is None:
                    time.sleep(0.01)
                process.send_signal(signal.SIGSTOP)
            times = measure(run, shape, seconds)
            say(label, shape, times, run)
            if label == "stopped":
                process.send_signal(signal.SIGCONT)
            run.finish()


def main(seconds: float) -> None:
    columns = ("median", "p99", "p99.9", "undisturbed p99", "p99.9", "max")
    print("microseconds of bare copies and of observe, side by side; their medians' ratio")
    titles = "".join(f"{title:>15}" for title in columns)
    print(f"{'daemon':8}{'rows, p, C':16}{'calls':>6}{titles}  ratio  drop")
    start = Sender.start
    for shape in SHAPES:
        for label in ("healthy", "stopped", "absent", "alone"):
            Sender.start = without_thread if label == "alone" else start
            bench(label, shape, seconds)
    Sender.start = start


if __name__ == "__main__":
    logging.disable()
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
