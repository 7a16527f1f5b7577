"""How long a training waits for a point: from the last batch of a window to `checkpoint(wait=True)`
with the point on disk, error bars included, by the Python client on a daemon of its own. The peer
keeps the window's rows and computes D_LR of them in numpy, in single precision and without error
bars, with all cores. A training computes between its batches, so those before the last have been
folded when the clock starts.

    make bench ONLY=bench_checkpoint
"""

from __future__ import annotations

import tempfile
import time

import numpy as np
import richd
from figures import in_turns, say
from harness import Daemon, wait_until

BATCH_ROWS = 512
#: (rows, features, outputs)
SHAPES = ((4096, 256, 10), (8192, 1024, 100))


def recompute(rows: np.ndarray, outputs: np.ndarray) -> float:
    """D_LR of the rows, (n, p) and (n, C): 1 - CKA of T and T_MP (arXiv 2410.04264)."""
    x, y = rows - rows.mean(0), outputs - outputs.mean(0)
    s, b, g = x.T @ x, x.T @ y, y.T @ y
    values, vectors = np.linalg.eigh(g)
    kept = values > 1e-6 * values[-1]
    q = b @ (vectors[:, kept] / np.sqrt(values[kept]))
    return float(1 - np.sum(q * q) / (np.sqrt(kept.sum()) * np.linalg.norm(s)))


class Window:
    """Rows of one window, and the run that they are sent to, again and again."""

    def __init__(self, daemon: Daemon, shape: tuple[int, int, int]) -> None:
        n, p, c = shape
        generator = np.random.default_rng(p)
        self.rows = generator.standard_normal((n, p), np.float32) + 1
        self.outputs = self.rows[:, :c] + generator.standard_normal((n, c), np.float32)
        self.daemon = daemon
        self.run = richd.init("bench", runtime_dir=str(daemon.runtime), raise_errors=True)
        self.step = 0
        self.point: richd.Point
        self.connect()

    def observe(self, begin: int) -> None:
        """Offer the batch that begins there."""
        part = slice(begin, begin + BATCH_ROWS)
        self.run.observe(self.rows[part], self.outputs[part], step=self.step)

    def connect(self) -> None:
        """Wait for a point of one batch: what is offered before the daemon has answered goes to a
        file where it is more than the queue holds."""
        self.observe(0)
        assert self.run.checkpoint(step=0, wait=True)

    def is_folded(self, n_rows: int) -> bool:
        """Whether the daemon has had so many rows in all, and holds none of them any more."""
        status = self.daemon.rpc("server.status")
        return status["rows"] == n_rows and status["buffered_bytes"] == 0

    def checkpoint_s(self) -> float:
        """Seconds from the last batch to the point."""
        last, before = len(self.rows) - BATCH_ROWS, self.daemon.rpc("server.status")["rows"]
        self.step += 1
        for begin in range(0, last, BATCH_ROWS):
            self.observe(begin)
        wait_until(lambda: self.is_folded(before + last), "the rows to be folded")
        began = time.perf_counter()
        self.observe(last)
        points = self.run.checkpoint(step=self.step, wait=True)
        took = time.perf_counter() - began
        (self.point,) = (points or {}).values()
        assert self.point.n == len(self.rows), self.point
        assert self.point.extra["d_lr_se"] > 0, self.point
        return took

    def recompute_s(self) -> float:
        """Seconds of the peer, which has to find the same."""
        began = time.perf_counter()
        d_lr = recompute(self.rows, self.outputs)
        took = time.perf_counter() - began
        assert abs(d_lr - (self.point.d_lr or 0)) < 1e-4, (d_lr, self.point)
        return took


def bench(daemon: Daemon, shape: tuple[int, int, int], seconds: float) -> None:
    """Take turns for so long, and say what came of it."""
    window = Window(daemon, shape)
    window.checkpoint_s()
    ours: list[float] = []
    peers: list[float] = []
    end = time.perf_counter() + seconds
    while len(ours) < 5 or time.perf_counter() < end:
        ours.append(1e3 * window.checkpoint_s())
        peers.append(1e3 * window.recompute_s())
    window.run.finish()
    n, p, c = shape
    say(in_turns("checkpoint(wait) from Python", "ms", ours, peers, p=p, c=c, n=n))


def main(seconds: float = 5.0) -> None:
    """All shapes, on one daemon."""
    with tempfile.TemporaryDirectory(prefix="richd-bench-") as folder:
        daemon = Daemon(folder).start()
        try:
            for shape in SHAPES:
                bench(daemon, shape, seconds)
        finally:
            daemon.close()


if __name__ == "__main__":
    main()
