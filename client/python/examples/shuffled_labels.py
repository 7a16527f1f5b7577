#!/usr/bin/env python3
"""Rich without generalisation: shuffled labels are learnt as richly as true ones.

A residual network fits the digits, once with their labels and once with the labels shuffled, so
that there is nothing to generalise. Weight decay and the end of the schedule bring the features of
both into the few directions of the classes.

    python3 examples/shuffled_labels.py           # a daemon that runs is found by itself
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import torch
from common import Rows, digits, follow, residual_dense
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

TRUE, SHUFFLED = "true labels", "shuffled labels"
LR, WEIGHT_DECAY = 0.1, 5e-3


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Train on both kinds of labels at every seed."""
    experiment = Experiment(
        "shuffled-labels",
        "Rich without generalisation: true and shuffled labels",
        [
            D_LR,
            D_TARGET,
            Column("u", "u"),
            Column("NC1", "nc1"),
            PROBE_ACCURACY,
            TRAIN_ACCURACY,
            TEST_ACCURACY,
        ],
        paper={
            TRUE: {"d": 0.031, "test_acc": 0.95},
            SHUFFLED: {"d": 0.034, "test_acc": 0.095},
        },
        note="The paper: CIFAR-10. Here: a residual network on digits, weight decay 5e-3.",
        argv=argv,
    )
    width, epochs = experiment.pick((128, 60), (128, 100), (512, 200))
    for seed in experiment.seeds:
        for setting in (TRUE, SHUFFLED):
            with experiment.run(setting, seed, width=width, epochs=epochs, lr=LR) as run:
                train, test = (rows.to(experiment.device) for rows in digits(seed))
                if setting == SHUFFLED:
                    train = Rows(train.x, train.y[torch.randperm(len(train.y))])
                model = residual_dense(64, width, n_blocks=3).to(experiment.device)
                ended = follow(
                    run, model, train, test, epochs=epochs, lr=LR, weight_decay=WEIGHT_DECAY
                )
            experiment.record(setting, seed, **ended)

    experiment.expect(
        "shuffled labels end within 0.03 of the true ones' D_LR",
        lambda at: 0.03 - abs(at(SHUFFLED) - at(TRUE)),
    )
    experiment.expect(
        "all of them are learnt (training accuracy above 95 %)",
        lambda at: at(SHUFFLED, "train_acc") - 0.95,
    )
    experiment.expect(
        "and nothing is generalised (test accuracy below 20 %)",
        lambda at: 0.2 - at(SHUFFLED, "test_acc"),
    )
    return experiment.report(experiment.draw_curves)


if __name__ == "__main__":
    main()
