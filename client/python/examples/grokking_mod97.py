#!/usr/bin/env python3
"""Watch a transformer grok addition modulo 97, live in richd.

A two-layer pre-LayerNorm transformer learns a + b mod 97 from half of all pairs, with squared error
on one-hot targets and AdamW with weight decay 1. It memorises first, and generalises around step
800; D_LR falls from about 0.54 to below 0.12 across that transition, as the paper reports (0.51 to
0.11, arXiv 2410.04264). The task is that of Power et al., arXiv 2201.02177.

    python3 examples/grokking_mod97.py            # a daemon that runs is found by itself

The features are the final LayerNorm's output at the last token, the outputs the logits; both are
taken on the same 1,024 probe pairs, half of them never trained on, at each checkpoint. Training
goes on when there is no daemon. It ends when D_LR has stayed low for ten checkpoints: about 40 s on
one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import richd
import torch
from torch import nn
from torch.nn import functional

MODULUS = 97
EQUALS = MODULUS  # the token after the two numbers
WIDTH = 128
HEADS = 4
BATCH = 512
PROBES = 1024
WARM_UP_STEPS = 10

#: A checkpoint counts as rich and generalising below and above these.
RICH_D_LR = 0.12
GENERALISED_TEST_ACCURACY = 0.95


class Block(nn.Module):
    """Pre-LayerNorm attention and MLP on (batch, tokens, WIDTH)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_attention = nn.LayerNorm(WIDTH)
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key_value = nn.Linear(WIDTH, 2 * WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.norm_mlp = nn.LayerNorm(WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.ReLU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: torch.Tensor, last_only: bool = False) -> torch.Tensor:
        """All tokens, or the last one alone: nothing reads the others of the final block."""
        normed = self.norm_attention(x)
        if last_only:
            x = x[:, -1:]
        query = _heads(self.query(normed[:, -x.shape[1] :]))
        key, value = map(_heads, self.key_value(normed).chunk(2, dim=-1))
        scores = query @ key.transpose(-1, -2) / (WIDTH // HEADS) ** 0.5
        mixed = (scores.softmax(dim=-1) @ value).transpose(1, 2).flatten(2)
        x = x + self.mix(mixed)
        return x + self.mlp(self.norm_mlp(x))


def _heads(x: torch.Tensor) -> torch.Tensor:
    """(batch, tokens, WIDTH) to (batch, HEADS, tokens, WIDTH / HEADS)."""
    return x.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)


class Transformer(nn.Module):
    """(batch, 3) tokens a, b, = to (batch, MODULUS) logits of a + b."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Embedding(MODULUS + 1, WIDTH)
        self.position = nn.Parameter(torch.empty(3, WIDTH))
        nn.init.normal_(self.token.weight, std=0.02)
        nn.init.normal_(self.position, std=0.02)
        self.first, self.second = Block(), Block()
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, MODULUS)

    def features(self, tokens: torch.Tensor) -> torch.Tensor:
        """What the head reads: (batch, WIDTH)."""
        x = self.first(self.token(tokens) + self.position)
        return self.norm(self.second(x, last_only=True)[:, 0])

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits, (batch, MODULUS)."""
        return self.head(self.features(tokens))


class Task:
    """All pairs: tokens (9409, 3), sums (9409,), which are trained on, and which are probed."""

    def __init__(self) -> None:
        numbers = torch.arange(MODULUS)
        pairs = torch.cartesian_prod(numbers, numbers)
        self.tokens = functional.pad(pairs, (0, 1), value=EQUALS)
        self.sums = pairs.sum(1) % MODULUS
        order = torch.randperm(len(pairs))
        self.train, held_out = order.chunk(2)
        half = PROBES // 2
        self.probes = torch.cat((self.train[:half], held_out[:half]))

    def batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and one-hot sums of BATCH training pairs."""
        picked = self.train[torch.randint(len(self.train), (BATCH,))]
        return self.tokens[picked], functional.one_hot(self.sums[picked], MODULUS).float()


def is_checkpoint(step: int, last: int) -> bool:
    """True about 90 times: log-spaced, every 10 steps across the transition, every 50 after it."""
    if step >= 500:
        return step % (10 if step < 1000 else 50) == 0 or step == last
    return step == 0 or any(step == round(1.17**k) for k in range(40)) or step == last


def optimize(
    model: Transformer,
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LambdaLR]:
    """AdamW with weight decay 1, and the schedule of its warm-up."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.98), weight_decay=1.0)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP_STEPS)
    )


def train_step(
    model: Transformer,
    task: Task,
    optimizer: torch.optim.Optimizer,
    criterion: Callable[..., torch.Tensor] = functional.mse_loss,
) -> float:
    """One step of AdamW; returns the loss, by default a mean square over batch and classes."""
    tokens, targets = task.batch()
    loss = criterion(model(tokens), targets)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def probe(model: Transformer, task: Task) -> tuple[torch.Tensor, torch.Tensor, float, float]:
    """Features and logits of the probes, accuracy on those trained on and on the held-out ones."""
    features = model.features(task.tokens[task.probes])
    logits = model.head(features)
    hits = (logits.argmax(1) == task.sums[task.probes]).float()
    train, test = hits.chunk(2)
    return features, logits, train.mean().item(), test.mean().item()


def describe(step: int, train: float, test: float, point: richd.Point | None) -> str:
    """One line of the table; dashes for what is not known."""
    measures = (point.d_lr, point.d_debiased, point.u, point.pr) if point else (None,) * 4
    cells = [f"{m:8.4g}" if m is not None else f"{'-':>8}" for m in measures]
    return f"{step:6d} {train:9.3f} {test:9.3f} " + " ".join(cells)


def train(arguments: argparse.Namespace, run: richd.Run) -> None:
    """Train, and have each checkpoint measured, logged and printed."""
    torch.manual_seed(arguments.seed)
    task, model = Task(), Transformer()
    optimizer, warm_up = optimize(model)
    print("  step train acc  test acc     D_LR debiased        u       PR", flush=True)
    loss, is_heard, settled = None, True, 0
    for step in range(arguments.steps + 1):
        if is_checkpoint(step, arguments.steps):
            features, logits, train_accuracy, test_accuracy = probe(model, task)
            run.observe(features, logits, step=step, labels=task.sums[task.probes])
            run.log({"train_acc": train_accuracy, "test_acc": test_accuracy}, step=step)
            if loss is not None:
                run.log({"loss": loss}, step=step)
            point = (run.checkpoint(step=step, wait=True) or {}).get("head")
            if point is None and is_heard:
                print("no answer from richd; training goes on without D_LR", flush=True)
            is_heard = point is not None
            print(describe(step, train_accuracy, test_accuracy, point), flush=True)
            settled = settled + 1 if is_over(point, test_accuracy) else 0
            if arguments.settled and settled == arguments.settled:
                return
        if step < arguments.steps:
            loss = train_step(model, task, optimizer)
            warm_up.step()


def is_over(point: richd.Point | None, test_accuracy: float) -> bool:
    """True behind the transition."""
    is_rich = point is None or point.d_lr is None or point.d_lr < RICH_D_LR
    return is_rich and test_accuracy > GENERALISED_TEST_ACCURACY


def main() -> None:
    """Read the arguments, open a run, train."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=2000, help="end at this step at the latest")
    parser.add_argument(
        "--settled",
        type=int,
        default=16,
        help="end after so many checkpoints in a row behind the transition (0: never); it is told "
        "some 11 points behind its end",
    )
    # Steps are small: on a busy machine two threads wait for each other five times as long.
    parser.add_argument("--threads", type=int, default=1, help="for torch; 0: as it likes")
    parser.add_argument("--runtime-dir", help="the daemon's runtime folder (default: found)")
    parser.add_argument("--name", help="the run's name (default: wd1-seedN)")
    parser.add_argument(
        "--quick", action="store_true", help="end at the first of them, as --settled 1"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.settled = 1
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    began = time.monotonic()
    config = {"modulus": MODULUS, "lr": 1e-3, "weight_decay": 1.0, "seed": arguments.seed}
    with richd.init(
        project="mod97",
        name=arguments.name or f"wd1-seed{arguments.seed}",
        config=config,
        tags=["example"],
        spectrum_every=1,
        runtime_dir=arguments.runtime_dir,
    ) as run:
        print(f"run {run.id}", flush=True)
        train(arguments, run)
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
