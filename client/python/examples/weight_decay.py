#!/usr/bin/env python3
"""Weight decay moves a lazy network's kernel and norm, and not its D_LR.

First, lazy by construction: two tanh layers are never trained, weight decay shrinks them from
saturation towards linearity, and the head is the least-squares solution on what they give. Second,
a network all of whose layers learn small targets, with and without decay. How far a measure moves
is counted as a share of its way to the same network trained richly.

    python3 examples/weight_decay.py              # a daemon that runs is found by itself
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Optional

import numpy as np
import torch
from common import Network, Rows, clusters, dense, measure, one_hot_centred, values_of
from experiment import D_LR, Column, Experiment, Verdict
from target_downscaling import descend
from torch import nn

#: Lazy, the same with decay, and rich.
FIXED = ("solved head", "solved head, decay", "tanh, alpha 0.1")
LEARNT = ("alpha 10", "alpha 10, decay", "alpha 0.1")
#: What is left of the body's weights under a solved head, and the decay where all layers learn.
SHRUNK, N_SHRINKS = 0.3, 10
DECAY = 1e-3


def saturated(n_inputs: int, width: int) -> Network:
    """Two tanh layers with weights three times what keeps their scale."""
    layers: list[nn.Module] = []
    for n in (n_inputs, width):
        layers += [nn.Linear(n, width), nn.Tanh()]
        nn.init.normal_(layers[-2].weight, std=3 / n**0.5)
        nn.init.normal_(layers[-2].bias)
    return Network(nn.Sequential(*layers), width)


@torch.no_grad()
def solve_head(model: Network, rows: Rows, shrunk: float) -> Iterator[int]:
    """The head by least squares, while the body decays to `shrunk` of its weights; yields steps."""
    targets = one_hot_centred(rows.y, 10).double()
    for step in range(N_SHRINKS + 1):
        features = model.features(rows.x).double()
        mean = features.mean(0)
        solution = torch.linalg.lstsq(features - mean, targets).solution
        model.head.weight.copy_(solution.T)
        model.head.bias.copy_(-mean @ solution)
        yield step
        for parameter in model.body.parameters():
            parameter.mul_(shrunk ** (1 / N_SHRINKS))


def build(setting: str, width: int) -> Network:
    """The network of that setting, untrained."""
    return saturated(30, width) if setting in FIXED else dense(30, width, depth=2)


def train(setting: str, model: Network, rows: Rows, n_steps: int) -> Iterator[int]:
    """As the setting says; yields the steps to measure at."""
    if setting == FIXED[0]:
        return solve_head(model, rows, shrunk=1.0)
    if setting == FIXED[1]:
        return solve_head(model, rows, shrunk=SHRUNK)
    alpha = 0.1 if setting in (FIXED[2], LEARNT[2]) else 10.0
    decay = DECAY if setting == LEARNT[1] else 0.0
    return descend(model, rows, alpha, n_steps=n_steps, decay=decay)


def main(argv: Optional[Sequence[str]] = None) -> list[Verdict]:
    """Train every way at every seed."""
    experiment = Experiment(
        "weight-decay",
        "Weight decay fools the kernel and the norm",
        [
            D_LR,
            Column("1 - S_init", "kernel", "{:.4f}"),
            Column("squared norm", "param_norm", "{:.0f}"),
            Column("NC1", "nc1"),
        ],
        note="The paper: S_init and the norm misclassify. Here: ten Gaussian clusters, two hidden "
        "layers.",
        argv=argv,
    )
    width = experiment.pick(64, 128, 512)
    n_steps = experiment.pick(500, 3000, 10_000)
    for seed in experiment.seeds:
        rows = clusters(seed).to(experiment.device)
        for setting in FIXED + LEARNT:
            with experiment.run(setting, seed, probe=True, width=width) as run:
                model = build(setting, width).to(experiment.device)
                run.watch(model).remove()  # its parameters alone: the rows come from measure()
                for step in train(setting, model, rows, n_steps):
                    point = measure(run, model, rows, step)
            experiment.record(setting, seed, **values_of(point), kernel=max(0.0, 1 - point.s_init))

    def share(at: Callable[..., float], settings: tuple[str, str, str], key: str) -> float:
        """How far decay takes a measure from lazy, on its way to rich."""
        lazy, decayed, rich = (at(setting, key) for setting in settings)
        return (decayed - lazy) / (rich - lazy)

    for settings, what, otherwise in (
        (FIXED, "under a solved head", ""),
        (
            LEARNT,
            "where all layers learn",
            "decay makes the features smaller, so the same targets need larger changes of them: "
            "the network leaves the lazy regime, and D_LR is the first to say so",
        ),
    ):
        experiment.expect(
            f"{what}, decay takes 1 - S_init further towards rich than D_LR",
            lambda at, s=settings: share(at, s, "kernel") - abs(share(at, s, "d")),
            otherwise,
        )
        experiment.expect(
            f"{what}, it takes away more of the norm than of D_LR",
            lambda at, s=settings: (
                1 - at(s[1], "param_norm") / at(s[0], "param_norm") - abs(1 - at(s[1]) / at(s[0]))
            ),
        )

    def draw(axes: Any) -> None:
        for i, (key, title) in enumerate((("d", "D_LR"), ("kernel", "1 - S_init"))):
            for j, seeds in enumerate(experiment.values.values()):
                value = statistics.fmean(row[key] for row in seeds.values())
                axes.barh(j + 0.4 * i, value, 0.35, color=f"C{i}", label=None if j else title)
        axes.set_yticks(np.arange(len(experiment.values)) + 0.2, experiment.values)
        axes.invert_yaxis()
        axes.legend(frameon=False, fontsize=8)

    return experiment.report(draw)


if __name__ == "__main__":
    main()
