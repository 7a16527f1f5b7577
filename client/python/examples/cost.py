#!/usr/bin/env python3
"""What the measures cost as a network grows wider.

Each measure is computed by itself in numpy, from the same 512 rows of the same untrained network of
three hidden layers, and the tangent kernel by `richd.NTK` from 16 of them in 2 directions; an
exponent of width is fitted to the seconds at the four largest widths. Beside them, what training
waits for (`observe`), and the time until richd has the whole point on disk: D_LR with its error
bar, S_init, NC1, NC2 and the rest. OPENBLAS_NUM_THREADS=1 keeps it to one core.

    python3 examples/cost.py                      # a daemon that runs is found by itself
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Optional

import numpy as np
import richd
import torch
from common import Network, checkpoint, dense
from experiment import Column, Experiment, Verdict

N_ROWS, N_CLASSES = 512, 10
NTK_ROWS, NTK_DIRECTIONS = 16, 2
MEASURES = {"d_lr": "D_LR", "s_init": "S_init", "nc1": "NC1", "ntk": "NTK"}


def d_lr(x: np.ndarray, f: np.ndarray, *_: np.ndarray) -> float:
    """1 - |Q'X|^2 / (sqrt r |X'X|), of features (n, p) and outputs (n, C): n p (min(n, p) + C)."""
    x, f = x - x.mean(0), f - f.mean(0)
    left, values, _ = np.linalg.svd(f, full_matrices=False)
    basis = left[:, values > 1e-5 * values[0]]
    return 1 - np.linalg.norm(basis.T @ x) ** 2 / (basis.shape[1] ** 0.5 * _gram_norm(x))


def s_init(x: np.ndarray, _: Any, before: np.ndarray, __: Any) -> float:
    """CKA of the features with those before: three products where D_LR has one."""
    x, before = x - x.mean(0), before - before.mean(0)
    return np.linalg.norm(before.T @ x) ** 2 / (_gram_norm(before) * _gram_norm(x))


def nc1(x: np.ndarray, _: Any, __: Any, labels: np.ndarray) -> float:
    """tr(S_W S_B^+) / C, by the definition: a pseudo-inverse of p x p, p^3."""
    means = np.array([x[labels == c].mean(0) for c in range(N_CLASSES)])
    within, between = x - means[labels], means - means.mean(0)
    s_w, s_b = within.T @ within / len(x), between.T @ between / N_CLASSES
    return np.trace(s_w @ np.linalg.pinv(s_b, rcond=1e-6, hermitian=True)) / N_CLASSES


def _gram_norm(x: np.ndarray) -> float:
    """|X'X| = |X X'|, by the smaller of the two."""
    return float(np.linalg.norm(x.T @ x if x.shape[1] < len(x) else x @ x.T))


def seconds(work: Callable[[], Any], repeats: int) -> float:
    """The least of some repetitions: what else runs on the machine only adds."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Measure the seconds at every width and seed, and fit."""
    experiment = Experiment(
        "cost",
        "What the measures cost (milliseconds; exponent of width)",
        [
            *(Column(title, key, "{:.2f}") for key, title in MEASURES.items()),
            Column("richd: observe()", "wait", "{:.2f}"),
            Column("richd: on disk", "point", "{:.2f}"),
        ],
        note="The paper: D_LR takes O(p^2 C), the tangent kernel much more. Here: 512 rows, and "
        "for the NTK, whose cost is proportional to them, 16 rows and 2 directions.",
        argv=argv,
    )
    widths = experiment.pick(
        (128, 256, 512), (64, 128, 256, 512, 1024, 2048), (64, 128, 256, 512, 1024, 2048, 4096)
    )
    repeats = experiment.pick(1, 3, 5)
    for seed in experiment.seeds:
        generator = np.random.default_rng(seed)
        for width in widths:
            with experiment.run(f"p = {width}", seed, probe=True) as run:
                found = time_measures(run, dense(64, width, depth=3), generator, repeats)
            experiment.record(f"p = {width}", seed, **{k: 1e3 * v for k, v in found.items()})
        by_width = [experiment.values[f"p = {width}"][seed] for width in widths]
        experiment.record("exponent", seed, **exponents(widths[-4:], by_width[-4:]))
    largest = f"p = {widths[-1]}"
    experiment.expect(
        f"at {largest} D_LR is the cheapest (times less than the next)",
        lambda at: min(at(largest, k) for k in ("s_init", "nc1", "ntk")) / at(largest, "d_lr") - 1,
    )
    experiment.expect(
        "its exponent is below those of NC1 and of the NTK",
        lambda at: min(at("exponent", k) for k in ("nc1", "ntk")) - at("exponent", "d_lr"),
    )

    def draw(axes: Any) -> None:
        for key, title in {**MEASURES, "point": "richd, on disk"}.items():
            times = [[row[key] for row in experiment.values[f"p = {w}"].values()] for w in widths]
            axes.plot(widths, [statistics.fmean(t) for t in times], marker=".", label=title)
        axes.set(xscale="log", yscale="log", xlabel="width p", ylabel="milliseconds")
        axes.legend(frameon=False, fontsize=8)

    return experiment.report(draw)


def exponents(widths: Sequence[int], times: Sequence[dict[str, float]]) -> dict[str, float]:
    """By what was timed, b of the least-squares fit time = a width^b."""
    return {
        key: np.polyfit(np.log(widths), np.log([at[key] for at in times]), 1)[0] for key in times[0]
    }


def time_measures(
    run: richd.Run, model: Network, generator: np.random.Generator, repeats: int
) -> dict[str, float]:
    """Seconds by what was timed: each measure, `wait` and `point`."""
    inputs = torch.randn(N_ROWS, 64)
    with torch.no_grad():
        features = model.features(inputs)
        outputs = model.head(features).numpy()
    features = features.numpy()
    labels = generator.integers(N_CLASSES, size=N_ROWS)
    rows = (features, outputs, features[::-1], labels)  # S_init needs others, whichever
    ntk = richd.NTK(inputs, directions=NTK_DIRECTIONS, rows=NTK_ROWS)
    found = {f.__name__: seconds(partial(f, *rows), repeats) for f in (d_lr, s_init, nc1)}
    found["ntk"] = seconds(partial(ntk.measure, model), repeats)
    found["wait"], found["point"] = time_point(run, features, outputs, labels, repeats)
    return found


def time_point(
    run: richd.Run, features: np.ndarray, outputs: np.ndarray, labels: np.ndarray, repeats: int
) -> tuple[float, float]:
    """The least seconds until observe() returns, and until the point is on disk."""
    waits, totals = [], []
    for step in range(repeats):
        began = time.perf_counter()
        run.observe(features, outputs, step=step, labels=labels)
        waits.append(time.perf_counter() - began)
        checkpoint(run, step)
        totals.append(time.perf_counter() - began)
    return min(waits), min(totals)


if __name__ == "__main__":
    main()
