"""richd on a GPU: what has to hold, what it costs. tests/README.md says how to run it.

    python tests/gpu/run.py                          # on the GPU, under 8 minutes
    python tests/gpu/run.py --device cpu --small     # tries the script itself, in seconds

Needs torch, numpy and pyzmq, and no daemon: one of the tests' answers. Prints a table. The exit
status is 1 when something does not hold, and 0 where only a goal of speed is missed.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time

import torch

import checks
from bench import cases, elsewhere
from timing import MODES, Timing

GOAL = 1.01
failed = []


def say(name, text):
    print(f"{name:58s} {text}", flush=True)


def check(function, case, device, small):
    name = f"{function.__name__.replace('_', ' ')}: {case.name}"
    began = time.perf_counter()
    try:
        said = function(case, device, small)
    except Exception as error:
        failed.append(name)
        said = f"FAILED: {type(error).__name__}: {error}"
    say(name, f"{said} ({time.perf_counter() - began:.1f} s)")


def check_all(found, device, small):
    for function in checks.ONCE:
        check(function, found[0], device, small)
    for case in found:
        for function in checks.EVERYWHERE + (checks.ON_GPU if device == "cuda" else ()):
            check(function, case, device, small)
    for function in checks.ON_GPU_ONCE if device == "cuda" else ():
        if function is checks.compiled_models_are_watched and not hasattr(torch, "compile"):
            say(function.__name__.replace("_", " "), "this torch has no torch.compile")
        else:
            check(function, found[0], device, small)


def measure(case, device, small, address):
    timing = Timing(case, device, address)
    ratios, seconds = timing.ratios(*((1, 2) if small else (7, 30)))
    peaks = {mode: timing.peak_bytes(mode) for mode in ("none", *MODES)}
    timing.finish()
    say(f"step: {case.name}", f"{1e3 * seconds:.2f} ms without richd")
    for mode in MODES:
        is_met = "met" if ratios[mode] <= GOAL else "missed"
        more = (peaks[mode] - peaks["none"]) / 2**20
        text = f"{ratios[mode]:.3f} x (goal {GOAL}: {is_met}), {more:+.0f} MiB at the peak"
        say(f"  reduce={mode}", text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--small", action="store_true", help="small networks, few steps")
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU; --device cpu --small tries the script itself")
    name = torch.cuda.get_device_name() if options.device == "cuda" else platform.processor()
    say("torch, python, device", f"{torch.__version__}, {platform.python_version()}, {name}")
    found = cases(options.device, options.small)
    check_all(found, options.device, options.small)
    with elsewhere() as address:
        for case in found:
            measure(case, options.device, options.small, address)
    say("failed", ", ".join(failed) or "none")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
