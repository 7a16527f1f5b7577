"""How fast the wheel's code is beside the build of `make`: both take turns, in one run.

    speed.py NATIVE WHEEL INSTALLED

NATIVE and WHEEL are build folders with tests/bench/bench_fold, INSTALLED is the daemon as pip put
it down. For each work a line: both medians, and the ratio (above 1: the wheel is faster) with its
quartiles over the turns. The way from a trainer's call to a point has one driver, of NATIVE.
"""

from __future__ import annotations

import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

TURNS = 5
SHAPES = (("512", "10"), ("1024", "10"))


def figures(*command: object) -> dict[str, float]:
    """What a benchmark prints, by work; as a speed."""
    done = subprocess.run([str(part) for part in command], check=True, text=True,
                          stdout=subprocess.PIPE, timeout=120)
    found = {}
    for line in done.stdout.splitlines():
        one = json.loads(line)
        name = f"{one['work']}, p = {one['p']}"
        found[name] = one["value"] if one["unit"].endswith("/s") else 1 / one["value"]
    return found


def in_turns(native: list[object], wheel: list[object]) -> None:
    """Runs both TURNS times, and prints what that says of each work."""
    pairs = [(figures(*native), figures(*wheel)) for _ in range(TURNS)]
    for work in pairs[0][0]:
        ratios = [theirs[work] / ours[work] for ours, theirs in pairs]
        low, _, high = statistics.quantiles(ratios, n=4)
        print(f"{work:28s} wheel/native {statistics.median(ratios):.3f} ({low:.3f} to {high:.3f})",
              flush=True)


def way_with(driver: pathlib.Path, daemon: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The driver where it finds `daemon` as that of its build."""
    (folder / "tests" / "bench").mkdir(parents=True)
    (folder / "richd").symlink_to(daemon.resolve())
    return pathlib.Path(shutil.copy(driver, folder / "tests" / "bench"))


def kernels(daemon: pathlib.Path) -> str:
    """What its OpenBLAS chose here, as its log says at the start."""
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(
            [daemon, "--state-dir", folder, "--runtime-dir", folder, "--http", "off"],
            stderr=subprocess.PIPE, text=True) as started:
        for line in started.stderr:
            found = re.search(r" kernels=(\S+)", line)
            if found and " instead_of=" not in line:
                break
        started.terminate()
        started.communicate()
    return found[1] if found else "?"


def main(native: pathlib.Path, wheel: pathlib.Path, installed: pathlib.Path) -> None:
    """All of it, in about a minute."""
    print(f"kernels: native {kernels(native / 'richd')}, wheel {kernels(installed)}")
    for shape in SHAPES:
        in_turns([native / "tests/bench/bench_fold", "--json", *shape],
                 [wheel / "tests/bench/bench_fold", "--json", *shape])
    driver = native / "tests" / "bench" / "bench_way"
    with tempfile.TemporaryDirectory() as folder:
        drivers = [way_with(driver, daemon, pathlib.Path(folder, name))
                   for name, daemon in (("native", native / "richd"), ("wheel", installed))]
        in_turns(*([path, "--json", "--seconds", "2", "--p", "512"] for path in drivers))


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:4]))
