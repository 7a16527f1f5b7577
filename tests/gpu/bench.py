"""What the checks and the timings share: a case to train, a daemon that answers, a run."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "client/python/src"), str(ROOT / "client/python/tests")]

import richd  # noqa: E402
from models import Blocks, ResNet18  # noqa: E402
from support import Daemon as Scripted, wait_until  # noqa: E402

__all__ = ["Case", "Daemon", "cases", "elsewhere", "opened", "richd"]


class Daemon(Scripted):
    """The tests' daemon, with room for all that is sent; on request it keeps none of it."""

    def __init__(self, keeps=True):
        self.keeps = keeps
        super().__init__(granted=1 << 50)

    def _take(self, frames):
        super()._take(frames)
        if not self.keeps:
            self.received.clear()


def opened(address, **options):
    """A run that is open at the daemon, and whose queue takes moments of any width."""
    run = richd.init(endpoint=address, project="gpu", queue_bytes=1 << 30, **options)
    assert wait_until(lambda: run.attempt is not None, 30), "the run was not opened"
    return run


@dataclass
class Case:
    """A network, one batch for it, and what of it is watched."""

    name: str
    model: Any
    batch: Any
    watch: dict[str, Any] = field(default_factory=dict)

    def step(self, model: Any = None) -> Any:
        """One step of training in bf16; the loss, left on the device."""
        model = model or self.model
        with torch.autocast(self.batch.device.type, dtype=torch.bfloat16):
            loss = model(self.batch).float().square().mean()
        loss.backward()
        with torch.no_grad():
            for p in self.model.parameters():
                p.sub_(p.grad, alpha=1e-3)
                p.grad = None
        return loss.detach()


def cases(device: str, small: bool) -> list[Case]:
    """ResNet-18 and GPT-2's blocks of p = 768 and 4096; small ones to try the script itself."""
    torch.manual_seed(0)
    width, images, tokens = (2, 4, (2, 16)) if small else (64, 512, (8, 1024))
    resnet = ResNet18(width).to(device, memory_format=torch.channels_last)
    batch = torch.randn(images, 3, 32, 32, device=device)
    batch = batch.contiguous(memory_format=torch.channels_last)
    found = [Case("ResNet-18, CIFAR, channels last", resnet, batch)]
    for p, depth in ((32, 1), (48, 1)) if small else ((768, 12), (4096, 4)):
        blocks = Blocks(p, depth).to(device)
        embedded = torch.randn(*tokens, p, device=device)
        watch = {"rows": 16 if small else 512}
        found.append(Case(f"GPT-2's block, {depth} of p = {p}", blocks, embedded, watch))
    return found


@contextlib.contextmanager
def elsewhere():
    """A daemon in a process of its own, so that it takes no time of the training's; its address."""
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as it:
        yield it.stdout.readline().strip()
        it.stdin.close()


if __name__ == "__main__":
    with Daemon(keeps=False) as daemon:
        print(daemon.address, flush=True)
        sys.stdin.read()
