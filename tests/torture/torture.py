#!/usr/bin/env python3
"""Everything that the daemon promises to bear, for hours: prints a table of what was tried.

    make torture [PARTS="kills proxy ..."] [SHARE=0.01]

SHARE scales every count: 1 is what is done before a release, some hours of two cores.
"""

import argparse
import os
import re
import subprocess
import sys
import time

PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
HOSTILE = "tests/e2e/hostile"
PROXY = f"{HOSTILE}/test_a_bad_connection_loses_and_doubles_nothing.py"
KILLS = "tests/e2e/durable/test_kill_nine_loses_nothing_acknowledged.py"


def run(command, **variables):
    """Runs it; returns whether it succeeded, and what it said."""
    ended = subprocess.run(list(map(str, command)), env={**os.environ, **variables}, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return ended.returncode == 0, ended.stdout


def kills(n):
    """kill -9 at random instants, a trainer beside it."""
    return run([*PYTEST, KILLS], TORTURE_KILLS=str(n))


def proxy(n):
    """Rounds of each fault of a connection, for each client."""
    return run([*PYTEST, PROXY], TORTURE_ROUNDS=str(n))


def hostile(n):
    """All bad inputs, again and again."""
    for _ in range(n):
        held, said = run([*PYTEST, HOSTILE])
        if not held:
            break
    return held, said


def soak(n):
    """Minutes of churn."""
    return run([sys.executable, "tests/torture/soak.py", n])


def simulation(n):
    """Seeds of the monitor with one trainer a run, and a quarter as many with several."""
    for program, seeds in (("test_monitor", n), ("test_members", max(1, n // 4))):
        held, said = run([f"build/tests/sim/{program}"], SIM_SEEDS=str(seeds))
        if not held:
            break
    return held, said


def fuzz(n):
    """Inputs of each target."""
    return run([sys.executable, "tests/fuzz/run.py", "build/fuzz", "--runs", n])


#: The parts, and the count of each before a release.
PARTS = {kills: 10_000, proxy: 100, hostile: 100, soak: 30, simulation: 1_000_000,
         fuzz: 100_000_000}


def last_line(said):
    """What a part said of itself, without pytest's lines around it."""
    lines = [line.strip("= ") for line in said.splitlines() if line.strip("= ")]
    return re.sub(r"\s+", " ", lines[-1])[:100] if lines else ""


def main():
    """Prints a row a part; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("parts", nargs="*", help=", ".join(part.__name__ for part in PARTS))
    options = parser.parse_args()
    whole = True
    print(f"{'part':12} {'count':>12} {'seconds':>8}  result", flush=True)
    for part, n in PARTS.items():
        if options.parts and part.__name__ not in options.parts:
            continue
        n = max(1, round(n * options.share))
        began = time.monotonic()
        held, said = part(n)
        whole &= held
        print(f"{part.__name__:12} {n:12,} {time.monotonic() - began:8.0f}  "
              f"{'held' if held else 'BROKEN'}: {last_line(said)}", flush=True)
        if not held:
            print(said[-4000:], flush=True)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
