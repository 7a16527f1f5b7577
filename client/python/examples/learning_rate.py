#!/usr/bin/env python3
"""The best learning rate is the richest.

A small residual network learns 600 of the digits over a sweep of learning rates, and D_LR is laid
beside the test accuracy. Too small a rate does not get far, too large a one shakes.

    python3 examples/learning_rate.py             # a daemon that runs is found by itself
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Optional

from common import digits, follow, residual_convolutional
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

RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
WEIGHT_DECAY = 5e-3


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Sweep at every seed."""
    experiment = Experiment(
        "learning-rate",
        "The best learning rate is the richest",
        [D_LR, D_TARGET, Column("NC1", "nc1"), PROBE_ACCURACY, TRAIN_ACCURACY, TEST_ACCURACY],
        note="The paper: ResNet18, D_LR 0.053, 0.025, 0.039 at rates 0.005, 0.05, 0.2. Here: three "
        "residual blocks on digits, weight decay 5e-3.",
        argv=argv,
    )
    channels, epochs = experiment.pick((8, 25), (8, 40), (32, 100))
    rates = experiment.pick((0.003, 0.03, 0.3), RATES, RATES)
    settings = [f"lr {lr:g}" for lr in rates]
    for seed in experiment.seeds:
        for lr, setting in zip(rates, settings):
            with experiment.run(setting, seed, lr=lr, channels=channels, epochs=epochs) as run:
                train, test = (rows.to(experiment.device) for rows in digits(seed, n_train=600))
                model = residual_convolutional(channels).to(experiment.device)
                ended = follow(
                    run,
                    model,
                    train,
                    test,
                    epochs=epochs,
                    lr=lr,
                    batch=64,
                    weight_decay=WEIGHT_DECAY,
                    n_stops=6,
                )
            experiment.record(setting, seed, **ended)

    def draw(axes: Any) -> None:
        for key, colour, label in (("d", "C0", "D_LR"), ("test_acc", "C1", "test accuracy")):
            one = axes if key == "d" else axes.twinx()
            for seed in experiment.seeds:
                one.plot(
                    rates,
                    [experiment.values[s][seed][key] for s in settings],
                    colour,
                    marker=".",
                    lw=1.2,
                )
            one.set_ylabel(label, color=colour)
        axes.set_xscale("log")
        axes.set_xlabel("learning rate")

    def richest(at: Callable[..., float]) -> str:
        return min(settings, key=at)

    experiment.expect(
        "the smallest rate is lazier than the richest", lambda at: at(settings[0]) - at(richest(at))
    )
    if not experiment.arguments.short:  # whose largest rate is still a good one
        experiment.expect(
            "the largest rate is lazier than the richest",
            lambda at: at(settings[-1]) - at(richest(at)),
        )
    experiment.expect(
        "the richest rate is within a point of the best test accuracy",
        lambda at: 0.01 + at(richest(at), "test_acc") - max(at(s, "test_acc") for s in settings),
    )
    return experiment.report(draw)


if __name__ == "__main__":
    main()
