#!/usr/bin/env python3
"""Rich is not better: a network that may learn a shortcut becomes rich, and fails.

Digits come with a strip of ten pixels that holds their label, in training only; in testing it holds
a random one. Full training moves the features to the strip: as rich as can be, and at chance.
Training the last layer alone cannot: its random features keep the digit, and it classifies.

    python3 examples/spurious_label.py            # a daemon that runs is found by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from common import Rows, dense, digits, follow, squared_error
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
from torch.nn import functional

FULL, LAST = "full training", "last layer only"


def with_strip(rows: Rows, strip: torch.Tensor) -> Rows:
    """Inputs (n, 74): the pixels, then the one-hot label that the strip says."""
    return Rows(torch.cat((rows.x, functional.one_hot(strip, 10).float()), 1), rows.y)


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Train both ways at every seed."""
    experiment = Experiment(
        "spurious-label",
        "Rich is not better: the label is in the input, in training only",
        [
            D_LR,
            D_TARGET,
            Column("u", "u"),
            Column("PR", "pr", "{:.1f}"),
            PROBE_ACCURACY,
            TRAIN_ACCURACY,
            TEST_ACCURACY,
        ],
        paper={FULL: {"d": 0.0087, "test_acc": 0.100}, LAST: {"d": 0.63, "test_acc": 0.744}},
        note="The paper: MNIST. Here: three hidden layers on digits and a strip of ten pixels.",
        argv=argv,
    )
    width, epochs = experiment.pick((128, 30), (256, 60), (1024, 200))
    for seed in experiment.seeds:
        for setting, lr in ((FULL, 0.1), (LAST, 0.2)):
            with experiment.run(setting, seed, width=width, epochs=epochs, lr=lr) as run:
                train, test = digits(seed)
                train = with_strip(train, train.y).to(experiment.device)
                test = with_strip(test, torch.randint(10, test.y.shape)).to(experiment.device)
                model = dense(74, width, depth=3).to(experiment.device)
                learns = (model.head if setting == LAST else model).parameters()
                ended = follow(
                    run,
                    model,
                    train,
                    test,
                    epochs=epochs,
                    lr=lr,
                    loss=squared_error,
                    parameters=learns,
                )
            experiment.record(setting, seed, **ended)

    experiment.expect("full training is richer (D_LR lower)", lambda at: at(LAST) - at(FULL))
    experiment.expect(
        "and generalises worse (test accuracy lower)",
        lambda at: at(LAST, "test_acc") - at(FULL, "test_acc"),
    )
    return experiment.report(experiment.draw_curves)


if __name__ == "__main__":
    main()
