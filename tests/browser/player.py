"""A trainer that the browser tests hold by a string: one JSON command a line on stdin, one JSON
answer a line on stdout. Everything goes through the Python package and the daemon's real ingest.

Commands, each with `run` (an id):

    {"do": "open", "run", "name", "project", "config", "tags", "group", "layers"}
    {"do": "replay", "run", "csv", "until"}    a recorded curve of tests/data, point by point
    {"do": "checkpoint", "run", "step", "d_lr", "test_acc", "spectrum"}
    {"do": "observe", "run", "step", "d_lr"}   rows alone
    {"do": "stream", "run", "count", "rate"}   checkpoints at `rate` a second; 0: as fast as it goes
    {"do": "close", "run"}

A checkpoint is answered when it is on the daemon's disk, with the time of that in ms since 1970.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
from typing import Any, Optional

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "client" / "python" / "src"))

import richd  # noqa: E402

N, P, C = 96, 24, 5
#: A layer below the last one moves by this share of what the last one does.
SHALLOW = 0.5


def orthonormal(seed: int) -> np.ndarray:
    """(N, P) columns without mean, of unit variance and uncorrelated."""
    rows = np.random.default_rng(seed).normal(size=(N, P))
    return np.linalg.qr(rows - rows.mean(0))[0] * np.sqrt(N)


BASIS = orthonormal(0)
LABELS = BASIS[:, :C].argmax(1)


def features_of(d_lr: float) -> np.ndarray:
    """Features (N, P) whose D_LR against the outputs BASIS[:, :C] is `d_lr`.

    With variance 1 in the C output directions and e^2 in the others, u sqrt(PR / C) is
    C / (sqrt(C) sqrt(C + (P - C) e^4)), so e^4 = C (1 / (1 - d_lr)^2 - 1) / (P - C).
    """
    fourth = C * (1 / (1 - d_lr) ** 2 - 1) / (P - C)
    # No two alike, so that the spectrum has a slope. It is even in both groups, so that D_LR moves
    # by its square alone, 1e-4.
    slope = np.r_[np.linspace(1.01, 0.99, C), np.linspace(1.01, 0.99, P - C)]
    return BASIS * np.r_[np.ones(C), np.full(P - C, fourth**0.25)] * slope


class Player:
    """The runs that are open, and what their layers are called."""

    def __init__(self, runtime_dir: str) -> None:
        self.runtime_dir = runtime_dir
        self.runs: dict[str, tuple[richd.Run, list[str]]] = {}
        self.steps: dict[str, int] = {}

    def open(self, run: str, layers: Optional[list[str]] = None, **init: Any) -> dict[str, Any]:
        opened = richd.init(run_id=run, runtime_dir=self.runtime_dir, **init)
        self.runs[run] = (opened, layers or ["head"])
        self.steps[run] = -1
        return {}

    def checkpoint(self, run: str, step: int, d_lr: float, spectrum: bool = False,
                   **scalars: float) -> dict[str, Any]:
        opened, layers = self.runs[run]
        for depth, layer in enumerate(layers, start=1):
            share = SHALLOW ** (len(layers) - depth)
            opened.observe(features_of(0.6 + (d_lr - 0.6) * share), BASIS[:, :C], step=step,
                           layer=layer, labels=LABELS)
        if scalars:
            opened.log(scalars, step=step)
        point = opened.checkpoint(step=step, wait=True, timeout=30, spectrum=spectrum)
        self.steps[run] = step
        return {"acked_ms": time.time() * 1000, "layers": sorted(point or {}),
                "d_lr": point[layers[-1]].d_lr if point else None,
                "d_debiased": point[layers[-1]].d_debiased if point else None}

    def observe(self, run: str, step: int, d_lr: float) -> dict[str, Any]:
        """Rows that no checkpoint follows yet; a pause, so that they are on their way."""
        opened, layers = self.runs[run]
        for layer in layers:
            opened.observe(features_of(d_lr), BASIS[:, :C], step=step, layer=layer, labels=LABELS)
        time.sleep(0.5)
        return {}

    def replay(self, run: str, csv: str, until: int = 10**9) -> dict[str, Any]:
        lines = (ROOT / "tests" / "data" / csv).read_text().splitlines()
        rows = [line.split(",") for line in lines if line[:1].isdigit()]
        steps = [int(step) for step, _, _ in rows if int(step) <= until]
        for i, (step, d_lr, test_acc) in enumerate(rows[: len(steps)]):
            self.checkpoint(run, int(step), float(d_lr), spectrum=i % 5 == 0,
                            test_acc=float(test_acc), loss=1 / (1 + int(step)))
        return {"steps": steps}

    def stream(self, run: str, count: int, rate: float = 0) -> dict[str, Any]:
        opened, layers = self.runs[run]
        began = time.monotonic()
        for i in range(count):
            step = self.steps[run] = self.steps[run] + 1
            d_lr = 0.5 + 0.2 * np.sin(step / 200) + 0.02 * np.sin(step * 1.7)
            for layer in layers:
                opened.observe(features_of(d_lr), BASIS[:, :C], step=step, layer=layer)
            opened.checkpoint(step=step, wait=i == count - 1, timeout=60)
            if rate:
                time.sleep(max(0.0, began + (i + 1) / rate - time.monotonic()))
            elif i % 200 == 199:
                opened.checkpoint(step=step, wait=True, timeout=60)
        return {"step": self.steps[run]}

    def close(self, run: str) -> dict[str, Any]:
        self.runs.pop(run)[0].finish()
        return {}


def main() -> None:
    """Obey until stdin ends."""
    player = Player(sys.argv[1])
    for line in sys.stdin:
        command = json.loads(line)
        do = command.pop("do")
        try:
            answer = getattr(player, do)(**command)
        except Exception as error:  # the test has to hear of it
            answer = {"error": f"{do}: {error!r}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
