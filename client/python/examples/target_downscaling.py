#!/usr/bin/env python3
"""Downscaling the targets moves training from rich to lazy, and D_LR follows.

Full-batch gradient descent on |f - f_0 - y / alpha|^2 until 98 % of it is gone, f_0 the untrained
network (Chizat et al., arXiv 1812.07956): a large alpha asks for small changes, which the network
makes without moving its features. D_LR is laid beside the measures that look at movement or labels.
The weights begin as He et al. (arXiv 1502.01852) have it: with torch's own, which are 2.4 times
smaller, the outputs begin smaller than targets of alpha 1, and the same happens at a tenth of the
targets.

    python3 examples/target_downscaling.py        # a daemon that runs is found by itself
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

import torch
from common import (
    Network,
    Rows,
    clusters,
    dense,
    measure,
    one_hot_centred,
    rank_correlation,
    values_of,
)
from experiment import D_LR, Column, Experiment, Verdict

ALPHAS = (0.01, 0.03, 0.1, 0.3, 1.0, 10.0)
#: Of the loss at the start: training ends when no more is left.
LEFT = 0.02
#: Larger ones are not stable with these weights.
RATE = 0.01
#: What should grow with alpha (1) or fall (-1), beside D_LR.
OTHERS = {"kernel": ("1 - S_init", -1), "param_norm": ("squared norm", -1), "nc1": ("NC1", 1)}


def descend(
    model: Network,
    rows: Rows,
    alpha: float,
    *,
    n_steps: int,
    left: float = LEFT,
    decay: float = 0.0,
    rate: float = 0.05,
) -> Iterator[int]:
    """Gradient descent on |f - f_0 - y / alpha|^2; yields 0, and the step that was the last."""
    targets = one_hot_centred(rows.y, 10) / alpha
    lr = rate * min(1.0, alpha)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, weight_decay=decay)
    with torch.no_grad():
        start = model(rows.x)
    yield 0
    step, whole = 0, targets.square().sum().item() / (2 * len(rows.x))
    while step < n_steps:
        loss = (model(rows.x) - start - targets).square().sum() / (2 * len(rows.x))
        if loss.item() < left * whole:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    yield step


def he_normal(model: Network) -> Network:
    """The same network with weights of variance 2 / n_in before a ReLU, 1 / n_in in the head."""
    with torch.no_grad():
        for layer in model.body:
            if isinstance(layer, torch.nn.Linear):
                torch.nn.init.kaiming_normal_(layer.weight)
                layer.bias.zero_()
        weight = model.head.weight
        weight.normal_(std=weight.shape[1] ** -0.5)
        weight -= weight.mean(0)
    return model


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Train at every alpha and seed."""
    experiment = Experiment(
        "target-downscaling",
        "Target downscaling moves D_LR",
        [
            D_LR,
            *(Column(title, key, "{:.4f}") for key, (title, _) in OTHERS.items()),
            Column("steps", "steps", "{:.0f}"),
        ],
        note="The paper: only D_LR follows alpha. Here: ten Gaussian clusters in 30 "
        "dimensions, two hidden layers.",
        argv=argv,
    )
    width = experiment.pick(64, 128, 512)
    alphas = experiment.pick((0.01, 0.1, 10.0), ALPHAS, ALPHAS)
    n_steps = experiment.pick(8000, 20_000, 20_000)
    settings = [f"alpha {alpha:g}" for alpha in alphas]
    for seed in experiment.seeds:
        for alpha, setting in zip(alphas, settings):
            with experiment.run(setting, seed, probe=True, alpha=alpha, width=width) as run:
                rows = clusters(seed).to(experiment.device)
                model = he_normal(dense(30, width, depth=2)).to(experiment.device)
                run.watch(model).remove()  # its parameters alone: the rows come from measure()
                for step in descend(model, rows, alpha, n_steps=n_steps, rate=RATE):
                    point = measure(run, model, rows, step)
            experiment.record(
                setting, seed, **values_of(point), kernel=max(0.0, 1 - point.s_init), steps=step
            )

    def follows(at: Callable[..., float], key: str, sign: int) -> float:
        """Rank correlation of a measure with alpha: 1, it moves as expected all the way."""
        return sign * rank_correlation(alphas, [at(setting, key) for setting in settings])

    experiment.expect(
        "D_LR follows alpha all the way (rank correlation above 0.8)",
        lambda at: follows(at, "d", 1) - 0.8,
    )
    experiment.expect(
        "it goes from below 0.2 to above 0.35",
        lambda at: min(0.2 - at(settings[0]), at(settings[-1]) - 0.35),
    )
    experiment.expect(
        "one of the others does not follow",
        lambda at: 0.8 - min(follows(at, key, sign) for key, (_, sign) in OTHERS.items()),
        otherwise="nothing but alpha varies here, in a small network without normalisation: all "
        "that moves, moves less",
    )

    def draw(axes: Any) -> None:
        for key, title in (("d", "D_LR"), ("kernel", "1 - S_init"), ("nc1", "NC1")):
            means = [sum(row[key] for row in experiment.values[s].values()) for s in settings]
            axes.plot(alphas, [m / len(experiment.seeds) for m in means], marker=".", label=title)
        axes.set(xscale="log", xlabel="alpha (targets are y / alpha)")
        axes.legend(frameon=False, fontsize=8)

    return experiment.report(draw)


if __name__ == "__main__":
    main()
