#!/usr/bin/env python3
"""Larger features improve first.

The features' covariance is decomposed at each checkpoint: eigenvalues rho_k, and the quality q_k of
each eigenfunction, the share of it in the space of the targets. In a network that learns the digits
the nine eigenfunctions that will be used become good one after the other, the largest first.

    python3 examples/feature_order.py             # a daemon that runs is found by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Optional

import numpy as np
from common import dense, digits, fit, measure, rank_correlation, squared_error
from experiment import Column, Experiment, Verdict

N_FEATURES = 9  # what ten classes need
GOOD = 0.8
LR = 0.02
GROUPS = {"e_1 to e_3": slice(0, 3), "e_4 to e_6": slice(3, 6), "e_7 to e_9": slice(6, 9)}


def step_when_good(steps: np.ndarray, quality: np.ndarray) -> np.ndarray:
    """The step from which on each feature's quality is above GOOD; (checkpoints, k) to (k,).

    A feature that is not good at the end gets twice the last step.
    """
    bad = quality <= GOOD
    last_bad = np.where(bad.any(0), len(steps) - 1 - bad[::-1].argmax(0), -1)
    return np.append(steps, 2 * steps[-1])[last_bad + 1]


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """One run with a spectrum at every checkpoint, at every seed."""
    experiment = Experiment(
        "feature-order",
        "Larger features improve first",
        [
            Column("rho/rho_1, end", "size"),
            Column("q, start", "start"),
            Column("q, middle", "middle"),
            Column("q, end", "end"),
            Column("PI_star up to it, end", "pi_star"),
            Column(f"step when q > {GOOD}", "good", "{:.0f}"),
        ],
        note="The paper shows it as eigenvalues against PI_star over time. Here: three hidden "
        "layers on digits, squared error.",
        argv=argv,
    )
    width, epochs = experiment.pick((128, 80), (256, 150), (1024, 400))
    qualities = {}
    for seed in experiment.seeds:
        spectra = {}
        with experiment.run("dense", seed, width=width, epochs=epochs, lr=LR) as run:
            train, _ = (rows.to(experiment.device) for rows in digits(seed))
            model = dense(64, width, depth=3).to(experiment.device)
            for step in fit(model, train, epochs=epochs, lr=LR, loss=squared_error, n_stops=40):
                spectra[step] = measure(run, model, train, step, spectrum=True).spectrum
        steps = np.array(list(spectra))
        quality = np.array([s.q[:N_FEATURES] for s in spectra.values()])
        qualities[seed] = steps, quality
        good = step_when_good(steps, quality)
        middle = np.abs(steps - np.median(good)).argmin()
        ended = spectra[steps[-1]]
        size = ended.rho[:N_FEATURES] / ended.rho[0]
        for setting, group in GROUPS.items():
            experiment.record(
                setting,
                seed,
                size=size[group].mean(),
                good=good[group].mean(),
                pi_star=ended.pi_star[group.stop - 1],
                start=quality[0, group].mean(),
                middle=quality[middle, group].mean(),
                end=quality[-1, group].mean(),
                order=rank_correlation(np.arange(N_FEATURES), good),
            )

    first, _, last = GROUPS
    experiment.expect(
        "the order of size is the order of getting good (rank correlation above 0.5)",
        lambda at: at(first, "order") - 0.5,
    )
    experiment.expect(
        "midway the largest three are better than the smallest three",
        lambda at: at(first, "middle") - at(last, "middle"),
    )

    def draw(axes: Any) -> None:
        steps, quality = qualities[experiment.seeds[0]]
        for k in range(N_FEATURES):
            axes.plot(
                steps + 1,
                quality[:, k],
                color=str(0.8 * k / N_FEATURES),
                lw=1.2,
                label=f"e_{k + 1}" if k % 4 == 0 else None,
            )
        axes.axhline(GOOD, color="C1", ls="--", lw=1)
        axes.set(xscale="log", xlabel="step + 1", ylabel="quality q_k (darkest: the largest rho_k)")
        axes.legend(frameon=False, fontsize=8)

    return experiment.report(draw)


if __name__ == "__main__":
    main()
