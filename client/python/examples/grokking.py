#!/usr/bin/env python3
"""Grokking is a fall of D_LR; how deep it falls depends on the loss.

The transformer of grokking_mod97.py learns addition modulo 97, with squared error and with
cross-entropy. D_LR is computed without labels and without the accuracy.

    python3 examples/grokking.py                  # a daemon that runs is found by itself
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Optional

from common import checkpoint, values_of
from experiment import D_LR, TEST_ACCURACY, TRAIN_ACCURACY, Column, Experiment, Verdict
from grokking_mod97 import Task, Transformer, is_checkpoint, optimize, probe, train_step
from torch.nn import functional

SQUARED, CROSS = "squared error", "cross-entropy"
LOSSES = {SQUARED: functional.mse_loss, CROSS: functional.cross_entropy}
#: Test accuracies that count as before and after; the paper's network is at 5.2 and 99.8 %.
STAGES = {"before": (0.0, 0.052), "after": (0.95, 1.0)}


def medians(history: Sequence[dict[str, float]], stage: str) -> dict[str, float]:
    """Each value's median over a stage's checkpoints: weight decay 1 makes single ones leap."""
    least, most = STAGES[stage]
    of_stage = [at for at in history if least <= at["test_acc"] <= most] or history[-1:]
    return {
        key: statistics.median(at[key] for at in of_stage)
        for key in ("d", "d_lr", "nc1", "train_acc", "test_acc", "step")
    }


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Train with both losses at every seed."""
    experiment = Experiment(
        "grokking",
        "Grokking is a fall of D_LR",
        [
            D_LR,
            Column("plain", "d_lr", "{:.4f}"),
            Column("NC1", "nc1"),
            TRAIN_ACCURACY,
            TEST_ACCURACY,
            Column("step", "step", "{:.0f}"),
        ],
        paper={
            f"{SQUARED}, before": {"d": 0.51, "test_acc": 0.052},
            f"{SQUARED}, after": {"d": 0.11, "test_acc": 0.998},
        },
        note="Addition modulo 97, two-layer transformer. Medians over the checkpoints "
        "with a test accuracy up to 5.2 % (before) and from 95 % on (after).",
        argv=argv,
    )
    n_steps = experiment.pick(1000, 1300, 3000)
    for seed in experiment.seeds:
        for setting, loss in LOSSES.items():
            with experiment.run(setting, seed, steps=n_steps) as run:
                history = []
                task, model = Task(), Transformer()
                optimizer, warm_up = optimize(model)
                for step in range(n_steps + 1):
                    if is_checkpoint(step, n_steps):
                        features, logits, train_acc, test_acc = probe(model, task)
                        run.observe(features, logits, step=step, labels=task.sums[task.probes])
                        scores = {"train_acc": train_acc, "test_acc": test_acc}
                        run.log(scores, step=step)
                        point = checkpoint(run, step)
                        history.append({**values_of(point), **scores, "step": step})
                    train_step(model, task, optimizer, loss)
                    warm_up.step()
            for stage in STAGES:
                experiment.record(f"{setting}, {stage}", seed, **medians(history, stage))

    def fall(at: Callable[..., float], setting: str) -> float:
        return at(f"{setting}, before") - at(f"{setting}, after")

    experiment.expect(
        "squared error: D_LR falls by more than 0.3 (paper: by 0.40)",
        lambda at: fall(at, SQUARED) - 0.3,
    )
    experiment.expect(
        "cross-entropy: D_LR falls by more than 0.3",
        lambda at: fall(at, CROSS) - 0.3,
        otherwise="cross-entropy asks for order among logits, not for equal ones, so the features "
        "need not become isotropic in the function space",
    )
    return experiment.report(experiment.draw_curves)


if __name__ == "__main__":
    main()
