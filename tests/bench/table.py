"""How fast richd is: runs the benchmarks below one after the other, prints their figures as a table
and writes them with what they were measured on.

    make bench             the table, and build/bench.json
    make bench ONLY=PART   of benchmarks whose name has PART

The machine should be quiet: a figure is a ratio to a peer in the same run where there is one, the
median over turns, with its quartiles behind it. `tests/bench/compare A.json B.json` tells two files
apart. A benchmark that is not there, or says what is no figure, is named at the end; the others run
all the same, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import ctypes
import datetime
import json
import os
import pathlib
import platform
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

from figures import SHAPE, Figure, WrongError, check, parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("RICHD_BUILD", ROOT / "build")).resolve()
#: What hangs is ended; in a quiet hour all of them together take less than 5 minutes.
LIMIT_S = 300.0
#: What benchmarks in Python import: the client, and the end-to-end tests' daemon.
PACKAGES = os.pathsep.join(str(ROOT / part) for part in ("client/python/src", "tests/e2e"))

#: A row each: a program of tests/bench in C or Python, and its options. Each prints figures.
BENCHES: tuple[tuple[str, ...], ...] = (
    ("bench_fold", "--json"),
    ("bench_way", "--json", "--seconds", "3"),
    ("bench_way", "--json", "--seconds", "3", "--p", "1024", "--dtype", "bf16"),
    ("bench_way", "--json", "--seconds", "3", "--p", "1024", "--dtype", "f16"),
    ("bench_way", "--json", "--seconds", "3", "--p", "256", "--runs", "256"),
    ("bench_sockets", "--json"),
    ("bench_curve", "--json"),
    ("bench_eigh",),
    ("bench_checkpoint",),
    ("bench_series", "--json"),
    ("bench_runs",),
    ("bench_reading",),
    ("bench_growth", "--json"),
    ("bench_memory", "--json"),
)


class Goal(NamedTuple):
    """What a figure has to reach: `work` of this shape, and its ratio or value beside the bound."""

    work: str
    at_least: Optional[float] = None
    at_most: Optional[float] = None
    of: str = "ratio"
    shape: tuple[tuple[str, int], ...] = ()

    def holds_for(self, figure: Figure) -> bool:
        """Whether the goal speaks of this figure."""
        return (
            figure["work"] == self.work
            and self.of in figure
            and all(figure.get(key) == value for key, value in self.shape)
        )

    def is_met(self, figure: Figure) -> bool:
        """Whether the figure is on the right side of the bound."""
        value = figure[self.of]
        if self.at_least is not None:
            return value >= self.at_least
        return value <= (self.at_most or 0)

    def __str__(self) -> str:
        unit = " x" if self.of == "ratio" else ""
        if self.at_least is not None:
            return f">= {self.at_least:g}{unit}"
        return f"<= {self.at_most:g}{unit}"


#: Of two cores, whichever processor it is.
GOALS: tuple[Goal, ...] = (
    Goal("fold, of [X Y]", at_least=0.7, shape=(("p", 128),)),
    Goal("fold by two, of [X Y]", at_least=0.7, shape=(("p", 128),)),
    *(
        Goal(work, at_least=0.9, shape=(("p", p),))
        for work in ("fold, of X", "fold by two, of X")
        for p in (1024, 2048, 4096)
    ),
    Goal("way", at_least=0.5, shape=(("p", 256),)),
    Goal("way", at_least=0.75, shape=(("p", 1024),)),
    Goal("way", at_least=0.85, shape=(("p", 2048),)),
    Goal("way", at_least=0.92, shape=(("p", 4096),)),
    Goal("way_bf16", at_least=1.2),
    Goal("way_f16", at_least=1.2),
    Goal("way_runs", at_least=0.9),
    Goal("point, first to last reader", at_most=20, of="value"),
    Goal("daemon of subscribers", at_most=15, of="value"),
    Goal("checkpoint(wait) from Python", at_least=4, shape=(("p", 256),)),
    Goal("checkpoint(wait) from Python", at_least=15, shape=(("p", 1024),)),
    Goal("point and spectrum, scipy", at_least=1.67, shape=(("p", 1024),)),
    Goal("point and spectrum, scipy", at_least=1.67, shape=(("p", 2048),)),
    *(
        Goal(f"series in bins, {drawn}", at_most=limit, of="value", shape=(("n", n),))
        for drawn in ("2000 points, log", "2000 points, linear",
                      "10000 points, log", "10000 points, linear")
        for n, limit in ((1_000_000, 20), (100_000, 5))
    ),
    Goal("list of runs", at_most=20, of="value"),
    Goal("list of runs, first page", at_most=20, of="value"),
    Goal("growth of a fold with n", at_most=1.02, of="value"),
    Goal("growth of a fold with p", at_most=2.02, of="value"),
    Goal("growth of a fold with C", at_most=1.0, of="value"),
    Goal("growth of a fold with K", at_most=0.02, of="value"),
    Goal("memory beyond 1.1 x 4 p^2", at_most=112.0, of="value"),
)


def goal_of(figure: Figure, goals: Sequence[Goal] = GOALS) -> Optional[Goal]:
    """The goal that the figure has, if there is one."""
    return next((goal for goal in goals if goal.holds_for(figure)), None)


# ---- running -------------------------------------------------------------------------------------


def command(bench: Sequence[str]) -> list[str]:
    """How the benchmark is started; WrongError where it is not there."""
    script = ROOT / "tests" / "bench" / f"{bench[0]}.py"
    program = BUILD / "tests" / "bench" / bench[0]
    if script.exists():
        return [sys.executable, str(script), *bench[1:]]
    if program.exists():
        return [str(program), *bench[1:]]
    raise WrongError(f"{bench[0]}: there is neither {script.name} nor {program}")


def run(bench: Sequence[str]) -> list[Figure]:
    """The figures of one benchmark; WrongError where it fails."""
    label = " ".join(bench)
    try:
        done = subprocess.run(
            command(bench), stdout=subprocess.PIPE, text=True, timeout=LIMIT_S, check=False,
            env={**os.environ, "PYTHONPATH": PACKAGES},
        )
    except subprocess.TimeoutExpired:
        raise WrongError(f"{label}: took longer than {LIMIT_S:.0f} s") from None
    figures = [parse(line, label) for line in done.stdout.splitlines()]
    if done.returncode != 0:
        raise WrongError(f"{label}: ended with {done.returncode}")
    if not figures:
        raise WrongError(f"{label}: said nothing")
    return figures


def run_all(
    benches: Sequence[Sequence[str]], show: Callable[[Figure], None]
) -> tuple[list[Figure], list[str]]:
    """All figures, each shown as soon as its benchmark has ended, and what went wrong."""
    figures: list[Figure] = []
    problems = []
    for bench in benches:
        try:
            found = run(bench)
        except WrongError as error:
            problems.append(str(error))
            continue
        for figure in found:
            show(figure)
        figures += found
    return figures, problems


# ---- what it was measured on ---------------------------------------------------------------------


def output(*arguments: str) -> str:
    """What a program prints; "" where it is not there or fails."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, cwd=ROOT, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def processor() -> str:
    """The processor's name, family and model."""
    text = pathlib.Path("/proc/cpuinfo").read_text() if os.path.exists("/proc/cpuinfo") else ""
    fields = dict(re.findall(r"^(model name|cpu family|model)\s*: (.*)$", text, re.M))
    if "model name" not in fields:
        return platform.machine()
    numbers = f"family {fields.get('cpu family', '?')} model {fields.get('model', '?')}"
    return f"{fields['model name']} ({numbers})"


def openblas() -> tuple[str, str]:
    """The kernels that OpenBLAS runs in this environment, and its version."""
    try:
        library = ctypes.CDLL("libopenblas.so.0")
        texts = []
        for function in (library.openblas_get_corename, library.openblas_get_config):
            function.restype = ctypes.c_char_p
            texts.append(function().decode())
    except (OSError, AttributeError):
        return "unknown", "unknown"
    return texts[0], " ".join(texts[1].split()[:2])


def module_version(module: str) -> str:
    """Of a Python module; "" where it is not there."""
    try:
        return __import__(module).__version__
    except ImportError:
        return ""


def setting() -> dict[str, Any]:
    """What figures are worth nothing without."""
    kernels, library = openblas()
    changed = "+" if output("git", "status", "--porcelain", "--untracked-files=no") else ""
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": (output("git", "rev-parse", "--short=12", "HEAD") or "unknown") + changed,
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "kernels": kernels,
        "versions": {
            "linux": platform.release(),
            "compiler": (output("cc", "--version").splitlines() or [""])[0],
            "openblas": library,
            "sqlite": sqlite3.sqlite_version,
            "python": platform.python_version(),
            "numpy": module_version("numpy"),
            "scipy": module_version("scipy"),
        },
    }


# ---- the table -----------------------------------------------------------------------------------


HEAD = f"{'work':30} {'p':>6} {'C':>6} {'n':>8} {'runs':>5} {'value':>10} {'unit':8} " \
       f"{'peer':>10} {'ratio':>7} {'(quartiles)':>18}  goal"


def number(value: Optional[float]) -> str:
    """With three digits that count, or nothing."""
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def line(figure: Figure, goals: Sequence[Goal] = GOALS) -> str:
    """A row of the table."""
    goal = goal_of(figure, goals)
    said = "" if goal is None else f"{goal}: {'yes' if goal.is_met(figure) else 'NO'}"
    shape = [figure.get(key, "") for key in SHAPE]
    quartiles = ""
    if "low" in figure and "high" in figure:
        quartiles = f"({number(figure['low'])} to {number(figure['high'])})"
    return (
        f"{figure['work']:30} {shape[0]:>6} {shape[1]:>6} {shape[2]:>8} {shape[3]:>5} "
        f"{number(figure['value']):>10} {figure['unit']:8} {number(figure.get('peer')):>10} "
        f"{number(figure.get('ratio')):>7} {quartiles:>18}  {said}"
    ).rstrip()


def read(path: pathlib.Path) -> dict[str, Any]:
    """A file that `main` wrote; WrongError, with the reason, where it is none."""
    try:
        bench = json.loads(path.read_text())
    except OSError as error:
        raise WrongError(f"{path}: {error.strerror}") from None
    except ValueError:
        raise WrongError(f"{path}: not JSON") from None
    if not isinstance(bench, dict) or not isinstance(bench.get("figures"), list):
        raise WrongError(f"{path}: has no list `figures`, so `make bench` did not write it")
    bench["figures"] = [check(figure, str(path)) for figure in bench["figures"]]
    return bench


def main(arguments: Sequence[str]) -> int:
    """Run, print, write; 1 where a benchmark failed."""
    parser = argparse.ArgumentParser(description="Runs the benchmarks and prints their table.")
    parser.add_argument("--only", default="", help="the benchmarks whose name has this part")
    parser.add_argument("file", nargs="?", type=pathlib.Path, default=BUILD / "bench.json")
    options = parser.parse_args(arguments)
    benches = [bench for bench in BENCHES if options.only in " ".join(bench)]
    began, where = time.monotonic(), setting()
    print(f"{where['processor']}, {where['cores']} cores, {where['kernels']} kernels,"
          f" {where['date'][:10]}, commit {where['commit']}\n{HEAD}", flush=True)
    figures, problems = run_all(benches, lambda figure: print(line(figure), flush=True))
    took = round(time.monotonic() - began, 1)
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text(
        json.dumps({**where, "seconds": took, "figures": figures}, indent=1) + "\n"
    )
    print(f"{len(figures)} figures in {took:.0f} s: {options.file}")
    for problem in problems:
        print(f"FAILED: {problem}", file=sys.stderr)
    return 1 if problems or not figures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
