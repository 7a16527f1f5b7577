"""What the examples that reproduce the paper share: data, networks, training, measuring.

Each of those examples trains small networks at several seeds, streams them to a running richd, and
prints what it measured beside what arXiv 2410.04264 reports (`experiment`). Only richd's public API
is used. A script is a copy away from one of your own: put your data into a `Rows` and your network
into a `Network`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
import richd
import torch
from torch import nn
from torch.nn import functional

# ---- data ----------------------------------------------------------------------------------------


class Rows(NamedTuple):
    """Inputs (n, ...) and labels (n,)."""

    x: torch.Tensor
    y: torch.Tensor

    def to(self, device: str) -> Rows:
        """The same rows on that device."""
        return Rows(self.x.to(device), self.y.to(device))


def digits(seed: int, n_train: int = 1200) -> tuple[Rows, Rows]:
    """The 1,797 8x8 digits of scikit-learn, split by seed: inputs (n, 64) from -0.3 to 0.7."""
    from sklearn.datasets import load_digits

    source = load_digits()
    x = torch.tensor(source.data / 16 - 0.3, dtype=torch.float32)
    y = torch.tensor(source.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    train, test = order[:n_train], order[n_train:]
    return Rows(x[train], y[train]), Rows(x[test], y[test])


def clusters(seed: int, n: int = 400, n_classes: int = 10, n_inputs: int = 30) -> Rows:
    """Gaussian clusters of unit variance around means that are Gaussian, too: inputs (n, 30)."""
    generator = torch.Generator().manual_seed(seed)
    means = torch.randn(n_classes, n_inputs, generator=generator)
    y = torch.arange(n) % n_classes
    return Rows(means[y] + torch.randn(n, n_inputs, generator=generator), y)


# ---- networks ------------------------------------------------------------------------------------


class Network(nn.Module):
    """A body, and a linear head on its features (n, width).

    The head's rows sum to zero at the start. Both losses used here keep that sum, so the logits
    have rank C - 1, the rank of what there is to tell apart. A head with a sum has rank C, and then
    features that have collapsed onto C - 1 directions read 1 - sqrt((C-1)/C), not 0.
    """

    def __init__(self, body: nn.Module, width: int, n_classes: int = 10) -> None:
        super().__init__()
        self.body = body
        self.head = nn.Linear(width, n_classes)
        with torch.no_grad():
            self.head.weight -= self.head.weight.mean(0)
            self.head.bias.zero_()

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """What the head reads: (n, width)."""
        return self.body(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits, (n, classes)."""
        return self.head(self.body(x))


def dense(n_inputs: int, width: int, depth: int, batch_norm: bool = False) -> Network:
    """`depth` hidden layers of `width` ReLUs, each behind a batch norm when asked for."""
    layers: list[nn.Module] = []
    for i in range(depth):
        layers.append(nn.Linear(width if i else n_inputs, width))
        layers += [nn.BatchNorm1d(width)] if batch_norm else []
        layers.append(nn.ReLU())
    return Network(nn.Sequential(*layers), width)


class Residual(nn.Module):
    """relu(shortcut(x) + branch(x))."""

    def __init__(self, branch: nn.Module, shortcut: Optional[nn.Module] = None) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut or nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Like `x`, or as the shortcut shapes it."""
        return torch.relu(self.shortcut(x) + self.branch(x))


def residual_dense(n_inputs: int, width: int, n_blocks: int) -> Network:
    """Residual blocks of two dense layers with batch norm."""

    def block() -> nn.Module:
        first, second = nn.Linear(width, width), nn.Linear(width, width)
        norms = nn.BatchNorm1d(width), nn.BatchNorm1d(width)
        return Residual(nn.Sequential(first, norms[0], nn.ReLU(), second, norms[1]))

    stem = [nn.Linear(n_inputs, width), nn.BatchNorm1d(width), nn.ReLU()]
    return Network(nn.Sequential(*stem, *(block() for _ in range(n_blocks))), width)


def residual_convolutional(channels: int) -> Network:
    """Three residual blocks on 8x8 images, the mean over the image as 4 `channels` features."""

    def convolution(n_in: int, n_out: int, stride: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False), nn.BatchNorm2d(n_out)]

    def block(n_in: int, n_out: int, stride: int) -> nn.Module:
        branch = [*convolution(n_in, n_out, stride), nn.ReLU(), *convolution(n_out, n_out)]
        shortcut = nn.Conv2d(n_in, n_out, 1, stride) if stride > 1 else None
        return Residual(nn.Sequential(*branch), shortcut)

    stem = [nn.Unflatten(1, (1, 8, 8)), *convolution(1, channels), nn.ReLU()]
    blocks = [block(channels << i, channels << j, 1 + j - i) for i, j in ((0, 0), (0, 1), (1, 2))]
    body = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Network(body, 4 * channels)


# ---- training and measuring ----------------------------------------------------------------------


def one_hot_centred(labels: torch.Tensor, n_classes: int) -> torch.Tensor:
    """One-hot rows (n, n_classes) less 1 / n_classes: they sum to 0, as the head's outputs do."""
    return functional.one_hot(labels, n_classes) - 1 / n_classes


def squared_error(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Half the squared distance to one_hot_centred targets, a mean over rows."""
    return (logits - one_hot_centred(labels, logits.shape[1])).square().sum(1).mean() / 2


def stops(n_steps: int, n: int) -> list[int]:
    """About `n` steps at which to measure: 0, then log-spaced, n_steps the last."""
    return sorted({0, n_steps} | {round(n_steps ** (k / n)) for k in range(n + 1)})


def fit(
    model: nn.Module,
    rows: Rows,
    *,
    epochs: int,
    lr: float,
    weight_decay: float = 0.0,
    loss: Callable[..., torch.Tensor] = functional.cross_entropy,
    parameters: Optional[Iterator[nn.Parameter]] = None,
    batch: int = 100,
    n_stops: int = 12,
) -> Iterator[int]:
    """Train by SGD with momentum 0.9 and a cosine schedule; yields the steps to measure at.

    The first of them is 0, before any training, the last comes after all of it. Only `parameters`
    are trained where they are given.
    """
    optimizer = torch.optim.SGD(
        parameters or model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay
    )
    n_steps = epochs * math.ceil(len(rows.x) / batch)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, n_steps)
    at, step = stops(n_steps, n_stops), 0
    yield 0
    for _ in range(epochs):
        for picked in torch.randperm(len(rows.x)).to(rows.x.device).split(batch):
            optimizer.zero_grad()
            loss(model(rows.x[picked]), rows.y[picked]).backward()
            optimizer.step()
            schedule.step()
            step += 1
            if step in at:
                yield step


@torch.no_grad()
def accuracy(model: nn.Module, rows: Rows) -> float:
    """The share of rows whose largest logit is their label's, in eval mode."""
    model.eval()
    hits = (model(rows.x).argmax(1) == rows.y).float().mean().item()
    model.train()
    return hits


@torch.no_grad()
def measure(
    run: richd.Run, model: Network, rows: Rows, step: int, spectrum: bool = False
) -> richd.Point:
    """Have richd measure the head at these rows, in eval mode; returns the point it stored."""
    model.eval()
    features = model.features(rows.x)
    run.observe(features, model.head(features), step=step, labels=rows.y)
    model.train()
    return checkpoint(run, step, spectrum)


def checkpoint(run: richd.Run, step: int, spectrum: bool = False) -> richd.Point:
    """The point of the head's rows since the last one; ends the program when there is no daemon.

    Training would go on without: it is the figures that are wanted here.
    """
    points = run.checkpoint(step=step, wait=True, timeout=60, spectrum=spectrum)
    if not points:
        raise SystemExit("no answer from richd: is it running? (richd, or make reproduce)")
    return points["head"]


def follow(
    run: richd.Run, model: Network, train: Rows, test: Rows, **how: Any
) -> dict[str, Optional[float]]:
    """Train as `fit` does, measured and logged on the way; returns where it ended.

    That is the last point's measures (d, d_lr, u, pr, nc1, ...), train_acc and test_acc, by name.
    """
    for step in fit(model, train, **how):
        point = measure(run, model, train, step)
        scores = {"train_acc": accuracy(model, train), "test_acc": accuracy(model, test)}
        run.log(scores, step=step)
    return {**values_of(point), **scores}


def values_of(point: richd.Point) -> dict[str, Optional[float]]:
    """The measures of a point, by name; "d" is D_LR in the form that is right at its n."""
    own = {name: getattr(point, name) for name in ("d_lr", "d_debiased", "u", "pr", "rank")}
    return {"d": point.shown().value, **own, **point.companions}


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's, of two sequences without ties to speak of."""
    ranks = [np.argsort(np.argsort(values)) for values in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])
