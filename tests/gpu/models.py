"""The networks that are measured: ResNet-18 for CIFAR's shapes, and a stack of GPT-2's blocks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Basic(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016)."""

    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList((nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)))
        self.short = None
        if stride != 1 or n_in != n_out:
            self.short = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, x):
        y = F.relu(self.norms[0](self.first(x)))
        y = self.norms[1](self.second(y))
        return F.relu(y + (x if self.short is None else self.short(x)))


class ResNet18(nn.Module):
    """Images (n, 3, 32, 32) to 10 logits; features of the head are 8 `width`, 512 by default."""

    def __init__(self, width=64):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        blocks, n_in = [], width
        for stage in range(4):
            n_out = width << stage
            blocks += [Basic(n_in, n_out, 1 if stage == 0 else 2), Basic(n_out, n_out, 1)]
            n_in = n_out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(n_in, 10)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class Block(nn.Module):
    """GPT-2's block: causal attention with heads of 64, then a perceptron four times as wide."""

    def __init__(self, p):
        super().__init__()
        self.n_heads = max(1, p // 64)
        self.norms = nn.ModuleList((nn.LayerNorm(p), nn.LayerNorm(p)))
        self.qkv = nn.Linear(p, 3 * p)
        self.out = nn.Linear(p, p)
        self.up = nn.Linear(p, 4 * p)
        self.down = nn.Linear(4 * p, p)

    def forward(self, x):
        n, t, p = x.shape
        heads = self.qkv(self.norms[0](x)).reshape(n, t, 3, self.n_heads, -1)
        attended = attend(*heads.permute(2, 0, 3, 1, 4))
        x = x + self.out(attended.transpose(1, 2).reshape(n, t, p))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


def attend(q, k, v):
    """Causal attention (n, heads, t, d)."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)
    t = q.shape[-2]
    hidden = torch.ones(t, t, dtype=torch.bool, device=q.device).triu(1)
    scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).masked_fill(hidden, float("-inf"))
    return scores.softmax(-1) @ v


class Blocks(nn.Module):
    """Embedded tokens (n, t, p) through `depth` blocks to (n, t, 256); the head has p features."""

    def __init__(self, p, depth):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(p) for _ in range(depth)))
        self.norm = nn.LayerNorm(p)
        self.head = nn.Linear(p, min(256, p // 2))

    def forward(self, x):
        return self.head(self.norm(self.blocks(x)))
