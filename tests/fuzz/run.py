#!/usr/bin/env python3
"""Runs the fuzz targets side by side, and prints how many inputs each was given.

    tests/fuzz/run.py FOLDER [--seconds S] [--runs N] [TARGET...]

FOLDER has the programs fuzz_TARGET (`make fuzz-build`). Each runs for S seconds, or until N
inputs, whichever comes first (0: no limit). What a target finds is kept in FOLDER/found/TARGET and
is where the next run begins; an input that breaks a promise is FOLDER/broken-TARGET-*. Exits with 1
when there is one.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time

#: Longer inputs show nothing new: what is long is refused by its length, which unit tests see.
LONGEST = 4096
#: One allocation, and the whole process, in MiB.
MALLOC_LIMIT, MEMORY_LIMIT = 16, 2048
#: An input takes microseconds; a busy machine may not run us for some seconds.
PATIENCE_S = 120


def fuzz(folder: pathlib.Path, target: str, seconds: int, runs: int) -> tuple[str, bool]:
    """Runs one target; returns its row and whether all promises held."""
    found = folder / "found" / target
    found.mkdir(parents=True, exist_ok=True)
    limits = [f"-max_total_time={seconds}"] if seconds else []
    limits += [f"-runs={runs}"] if runs else []
    started = time.monotonic()
    ended = subprocess.run(
        [folder / f"fuzz_{target}", *limits, f"-max_len={LONGEST}", "-print_final_stats=1",
         f"-malloc_limit_mb={MALLOC_LIMIT}", f"-rss_limit_mb={MEMORY_LIMIT}",
         f"-timeout={PATIENCE_S}",
         f"-artifact_prefix={folder}/broken-{target}-", found, folder / "corpus" / target],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", check=False)
    took = time.monotonic() - started
    number = {name: re.findall(rf"stat::{name}:\s+(\d+)", ended.stdout)
              for name in ("number_of_executed_units", "new_units_added", "peak_rss_mb")}
    executed = int((number["number_of_executed_units"] or ["0"])[-1])
    edges = (re.findall(r"cov: (\d+)", ended.stdout) or ["?"])[-1]
    row = f"{target:10} {executed:12,} {executed / took:10,.0f} {edges:>7} {took:8.0f}"
    if ended.returncode:
        row += "  BROKEN\n" + "\n".join(ended.stdout.splitlines()[-40:])
    return row, ended.returncode == 0


def main() -> int:
    """Runs them; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seconds", type=int, default=0)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("targets", nargs="*")
    options = parser.parse_args()
    targets = options.targets or sorted(p.stem.removeprefix("fuzz_") for p in pathlib.Path(
        "tests/fuzz").glob("fuzz_*.c"))
    print(f"{'target':10} {'inputs':>12} {'a second':>10} {'edges':>7} {'seconds':>8}", flush=True)
    whole = True
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        jobs = [pool.submit(fuzz, options.folder, t, options.seconds, options.runs)
                for t in targets]
        for job in concurrent.futures.as_completed(jobs):
            row, held = job.result()
            whole &= held
            print(row, flush=True)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
