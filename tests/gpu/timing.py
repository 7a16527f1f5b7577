"""Step times with and without richd, side by side on one model, and the memory of each."""

from __future__ import annotations

import statistics
import time

import torch

from bench import opened

#: What is compared with no richd at all.
MODES = ("rows", "device")
#: Steps between two checkpoints.
EVERY = 10


def synchronize(device):
    if device == "cuda":
        torch.cuda.synchronize()


class Timing:
    """One case in all modes, interleaved; a round trains `steps` steps in each."""

    def __init__(self, case, device, address):
        self.case, self.device = case, device
        self.runs = {mode: opened(address, name=f"{case.name} {mode}") for mode in MODES}
        self.taps = {}
        self.number = 0

    def train(self, mode, steps):
        """Seconds a step."""
        run = self.runs.get(mode)
        tap = run and run.watch(self.case.model, layer="head", reduce=mode, **self.case.watch)
        synchronize(self.device)
        began = time.perf_counter()
        for i in range(steps):
            self.case.step()
            self.number += 1
            if run is not None and i % EVERY == EVERY - 1:
                run.checkpoint(step=self.number)
        synchronize(self.device)
        seconds = (time.perf_counter() - began) / steps
        if tap is not None:
            tap.remove()
        return seconds

    def peak_bytes(self, mode):
        """The most that torch had allocated on the device."""
        if self.device != "cuda":
            return 0
        torch.cuda.reset_peak_memory_stats()
        self.train(mode, 2 * EVERY)
        return torch.cuda.max_memory_allocated()

    def ratios(self, rounds, steps):
        """{mode: median of the rounds' ratios to no richd}, and the step without, in seconds."""
        for mode in ("none", *MODES):
            self.train(mode, 2 * EVERY if self.device == "cuda" else 1)
        times = [{m: self.train(m, steps) for m in ("none", *MODES)} for _ in range(rounds)]
        ratios = {m: statistics.median(t[m] / t["none"] for t in times) for m in MODES}
        return ratios, statistics.median(t["none"] for t in times)

    def finish(self):
        for run in self.runs.values():
            run.finish()
