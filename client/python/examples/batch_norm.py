#!/usr/bin/env python3
"""Batch normalisation makes training rich.

A deep plain network learns the digits with and without batch norm, everything else alike.

    python3 examples/batch_norm.py                # a daemon that runs is found by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

from common import dense, digits, follow
from experiment import (
    D_LR,
    D_TARGET,
    PROBE_ACCURACY,
    TEST_ACCURACY,
    TRAIN_ACCURACY,
    Column,
    Experiment,
    Verdict,
)

WITHOUT, WITH = "without batch norm", "with batch norm"
LR = 0.1


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Train both networks at every seed."""
    experiment = Experiment(
        "batch-norm",
        "Batch norm makes training rich",
        [
            D_LR,
            D_TARGET,
            Column("u", "u"),
            Column("PR", "pr", "{:.1f}"),
            PROBE_ACCURACY,
            TRAIN_ACCURACY,
            TEST_ACCURACY,
        ],
        paper={WITHOUT: {"d": 0.66}, WITH: {"d": 0.073}},
        note="The paper: VGG-16. Here: six hidden layers of 128 on digits.",
        argv=argv,
    )
    width, depth, epochs = experiment.pick((128, 6, 20), (128, 6, 60), (512, 12, 200))
    for seed in experiment.seeds:
        for setting in (WITHOUT, WITH):
            with experiment.run(setting, seed, width=width, depth=depth, lr=LR) as run:
                train, test = (rows.to(experiment.device) for rows in digits(seed))
                model = dense(64, width, depth, batch_norm=setting == WITH).to(experiment.device)
                ended = follow(run, model, train, test, epochs=epochs, lr=LR)
            experiment.record(setting, seed, **ended)

    experiment.expect("batch norm makes it richer (D_LR lower)", lambda at: at(WITHOUT) - at(WITH))
    return experiment.report(experiment.draw_curves)


if __name__ == "__main__":
    main()
