"""What a point costs on one thread, and its decomposition beside scipy.linalg.eigh of as large a
covariance: what `bench_point` says, and behind each point with a spectrum the same beside scipy,
which computes before and after it. Of scipy the processor time is taken, so that nothing else on
the machine makes it look slow.

    make bench ONLY=bench_eigh
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import subprocess  # noqa: E402
import time  # noqa: E402

import numpy as np  # noqa: E402
import scipy.linalg  # noqa: E402
from figures import Figure, parse, say, spread  # noqa: E402
from table import command  # noqa: E402

#: (features, outputs, rows)
SHAPES = ((256, 10, 4096), (1024, 100, 8192), (2048, 100, 8192))
TURNS = 2


def eigh_ms(p: int, n: int) -> list[float]:
    """Some times of scipy, each of a covariance of its own making."""
    rows = np.random.default_rng(p).random((n, p), np.float32)
    covariance = np.cov(rows, rowvar=False)
    times = []
    for _ in range(TURNS):
        began = time.thread_time()
        scipy.linalg.eigh(covariance)
        times.append(1e3 * (time.thread_time() - began))
    return times


def point_figures(p: int, c: int, n: int) -> list[Figure]:
    """What bench_point says of the shape."""
    arguments = command(("bench_point", "--json", str(p), str(c), str(n)))
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    return [parse(line, "bench_point") for line in done.stdout.splitlines()]


def main() -> None:
    """All shapes."""
    for p, c, n in SHAPES:
        times = eigh_ms(p, n)
        for figure in point_figures(p, c, n):
            say(figure)
            if figure["work"] == "point and spectrum":
                times += eigh_ms(p, n)
                ratio, low, high = spread([ms / figure["value"] for ms in times])
                say({**figure, "work": "point and spectrum, scipy", "peer": spread(times)[0],
                     "ratio": ratio, "low": low, "high": high})


if __name__ == "__main__":
    main()
