"""How many instructions the hot paths take, beside how many they took: counts do not depend on what
else the machine does, so a change of a few per cent is seen.

    make counts            compares with tests/bench/counts.json
    make counts UPDATE=1   writes it, after a change that is meant

`paths` (paths.c) runs each path under valgrind's callgrind, with OpenBLAS's kernels for Haswell.
`ours` are the instructions of richd's own code, `all` those of SQLite, cJSON, and the C library as
well. BLAS and LAPACK are left out of both: they are others' work, and vary by version. A rise of
more than 5 % is told, in capitals. It fails the run above 50 % only, because another compiler or C
library makes other code of the same source; the table names those that it was made with.

Loops that are compiled for several processors run as valgrind's has it: it has AVX2 where the
machine has, and never AVX-512. So counts are the same on all machines with AVX2. On another one
nothing is compared, and that is said.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from typing import Optional

from figures import WrongError

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RICHD_BUILD", ROOT / "build")).resolve()
TABLE = ROOT / "tests" / "bench" / "counts.json"
PROGRAM = BUILD / "tests" / "bench" / "paths"
TOLD, FAILED = 0.05, 0.5
LIMIT_S = 300
LEFT_OUT = re.compile(r"blas|lapack|gfortran|quadmath")

#: By path: instructions of `ours` and of `all`.
Counts = dict[str, dict[str, int]]


def count(lines: Iterable[str], program: str) -> Optional[tuple[str, dict[str, int]]]:
    """The path and the counts of one part that callgrind wrote; None: it has no name.

    A line of cost is a position and a number; the one behind `calls=` is what was called, whose
    instructions stand with it. Names of objects are given once, and then by number.
    """
    name, in_program, counted, is_call = None, False, False, False
    objects: dict[str, str] = {}
    ours = total = 0
    for line in lines:
        if trigger := re.match(r"desc: Trigger: Client Request: (.*)", line):
            name = trigger[1]
        elif found := re.match(r"ob=(\(\d+\))(?: (.*))?", line):
            path = objects.setdefault(found[1], found[2] or "")
            in_program = path == program
            counted = not LEFT_OUT.search(pathlib.PurePath(path).name)
        elif named := re.match(r"cob=(\(\d+\)) (.*)", line):
            objects[named[1]] = named[2]
        elif line.startswith("calls="):
            is_call = True
        elif cost := re.match(r"\d+ (\d+)$", line):
            if not is_call and counted:
                total += int(cost[1])
                ours += int(cost[1]) if in_program else 0
            is_call = False
    return None if name is None else (name, {"ours": ours, "all": total})


def measure() -> Counts:
    """All paths, under callgrind."""
    if not PROGRAM.exists():
        raise WrongError(f"{PROGRAM} is not built")
    with tempfile.TemporaryDirectory(prefix="richd-counts-") as folder:
        out = pathlib.Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--dump-line=no",
                   "--compress-pos=no", f"--callgrind-out-file={out}", str(PROGRAM)]
        environment = {**os.environ, "OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True,
                                  timeout=LIMIT_S, check=False)
        except OSError as error:
            raise WrongError(f"valgrind: {error.strerror}") from None
        if done.returncode != 0:
            raise WrongError(f"paths ended with {done.returncode}:\n{done.stderr}")
        parts = (count(path.read_text().splitlines(), str(PROGRAM))
                 for path in sorted(pathlib.Path(folder).iterdir()))
        return dict(part for part in parts if part is not None)


def change(now: int, was: int) -> float:
    """By which share it grew."""
    return now / was - 1 if was else float(now > 0)


def report(now: Counts, was: Counts) -> tuple[list[str], bool]:
    """A line for each path, and whether all is well enough."""
    lines = [f"{'instructions':24} {'ours':>12} {'was':>12} {'all':>12} {'was':>12}"]
    is_well = True
    for path in [*now, *(path for path in was if path not in now)]:
        if path not in was or path not in now:
            where = "not in the table" if path not in was else "not measured any more"
            lines.append(f"{path:24} FAILED: {where}; `make counts UPDATE=1` writes the table")
            is_well = False
            continue
        changes = [change(now[path][kind], was[path][kind]) for kind in ("ours", "all")]
        row = " ".join(f"{counts[path][kind]:12,}" for kind in ("ours", "all")
                       for counts in (now, was))
        lines.append(f"{path:24} {row}  {verdict(changes)}".rstrip())
        is_well &= max(changes) <= FAILED
    return lines, is_well


def verdict(changes: Sequence[float]) -> str:
    """What is told of a path whose counts changed so."""
    worst, best = max(changes), min(changes)
    if worst > FAILED:
        return f"FAILED: A RISE OF {worst:.0%}"
    if worst > TOLD:
        return f"A RISE OF {worst:.0%}"
    return f"fell by {-best:.0%}" if best < -TOLD else ""


def versions() -> dict[str, str]:
    """What counts depend on beside the source."""
    names = {"compiler": ("cc", "--version"), "valgrind": ("valgrind", "--version"),
             "libc": ("getconf", "GNU_LIBC_VERSION")}
    return {name: subprocess.run(command, capture_output=True, text=True, check=False)
            .stdout.partition("\n")[0] for name, command in names.items()}


def is_comparable(cpuinfo: str) -> bool:
    """Whether valgrind's processor is the table's here."""
    return re.search(r"^flags\s*:.*\bavx2\b", cpuinfo, re.M) is not None


def main(arguments: Sequence[str]) -> int:
    """Compare, or write the table; 1 where a path takes half as much again, or is not known."""
    parser = argparse.ArgumentParser(description="Counts the instructions of the hot paths.")
    parser.add_argument("--update", action="store_true", help="write the table")
    options = parser.parse_args(arguments)
    if not is_comparable(pathlib.Path("/proc/cpuinfo").read_text()):
        print("instructions are not compared: this processor has no AVX2")
        return 0
    try:
        now = measure()
    except WrongError as error:
        print(f"counts: {error}", file=sys.stderr)
        return 1
    if options.update:
        TABLE.write_text(json.dumps({"versions": versions(), "counts": now}, indent=1) + "\n")
    table = json.loads(TABLE.read_text())
    lines, is_well = report(now, table["counts"])
    print(*lines, sep="\n")
    if table["versions"] != versions():
        print(f"The table was made with {table['versions']}, this with {versions()}.")
    return 0 if is_well else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
