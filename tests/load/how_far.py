#!/usr/bin/env python3
"""How far one daemon goes on this machine: prints the tables of daemon/HOW_FAR.md (`make how-far`).

    tests/load/how_far.py [--only "p = 512"] [--history postgresql://...]

Each row is a load (tests/load) on a daemon of its own, which keeps its niceness, because a load
takes more of the machine than trainings do. Memory is what the daemon holds at its peak, bytes are
those of its history's file when it has ended, both beside a daemon that has done nothing. The last
table copies to a PostgreSQL of its own (Debian's postgresql-15), with fsync, or to --history.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("RICHD_BUILD", "build")
READY_S = 10
COPIED_S = 600
#: A load takes seconds; one that the machine cannot carry is given up.
LOAD_S = 60
#: The load gives way to the daemon, whatever niceness this program was given.
NICENESS = 5
#: Fewer points do not tell how many bytes one takes: a file grows by pages.
POINTS_MIN = 1000
#: How often the daemon's descriptors are counted.
FILES_EACH_S = 0.2


class Daemon:
    """A daemon with a history in a folder of its own."""

    def __init__(self, folder: pathlib.Path, options: list[str]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [BUILD / "richd", "--state-dir", folder, "--runtime-dir", folder, "--http", "off",
             "--log-level", "error", "--nice", "0", *options])
        deadline = time.monotonic() + READY_S
        while not (folder / "endpoints.json").exists():
            assert time.monotonic() < deadline, "the daemon is not ready"
            time.sleep(0.01)
        self.empty_peak = self.peak_bytes()
        self.most_files = 0

    def peak_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])

    def stored_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("richd.sqlite*"))

    def status(self) -> dict:
        told = subprocess.run([BUILD / "richctl", "--runtime-dir", self.folder, "status", "--json"],
                              check=True, capture_output=True, text=True).stdout
        return json.loads(told)

    def cpu_seconds(self) -> float:
        stat = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = stat.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def note_files(self) -> None:
        n_files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
        self.most_files = max(self.most_files, n_files)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


def empty_bytes() -> int:
    """Of a history without a run."""
    with started([]) as daemon:
        daemon.stop()
        return daemon.stored_bytes()


@contextlib.contextmanager
def started(options: list[str]) -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory(prefix="richd-") as folder:
        daemon = Daemon(pathlib.Path(folder), options)
        try:
            yield daemon
        finally:
            daemon.stop()


@dataclasses.dataclass
class Row:
    """A load by its options, and what is asked of it."""

    what: str
    options: dict[str, object]
    n_trainers: int
    n_layers: int = 1

    def words(self) -> list[str]:
        options = {"trainers": self.n_trainers, "layers": self.n_layers, **self.options}
        return [f"--{name}" if value is True else f"--{name}={value}"
                for name, value in options.items()]


SMALL = {"features": 8, "outputs": 4, "rows": 16}
FAST = Row("points as fast as they are stored", {**SMALL, "checkpoints": 40}, 64, 32)
CONNECTIONS = [
    FAST,
    Row("1,000 trainers at once", {"checkpoints": 5, "together": True}, 1000),
    Row("10,000 trainers at once", {**SMALL, "checkpoints": 1, "together": True}, 10_000),
    Row("10,000 in turn, 1,000 at once", {"checkpoints": 2, "at-once": 1000}, 10_000),
]
WIDTHS = ((128, 64), (512, 32), (1024, 16), (2048, 8), (4096, 4), (8192, 2))
MOMENTS_P_MAX = 5792  # X'X in one frame of 64 MiB
ROWS = [Row(f"p = {p}, rows", {"features": p, "outputs": 100, "rows": 512, "checkpoints": 6}, n)
        for p, n in WIDTHS]
MOMENTS = [Row(f"p = {p}, moments", {"features": p, "outputs": 100, "rows": 512, "checkpoints": 6,
                                     "moments": True}, n)
           for p, n in WIDTHS if p <= MOMENTS_P_MAX]
TABLES = [("connections", CONNECTIONS), ("rows of 512, 100 outputs", ROWS),
          ("moments of 512 rows, 100 outputs", MOMENTS)]


def wait_until_copied(daemon: Daemon) -> float:
    """Seconds until the shared history has all."""
    began = time.monotonic()
    while daemon.status()["history_waiting"]:
        assert time.monotonic() < began + COPIED_S, "the shared history lags behind"
        time.sleep(0.05)
    return time.monotonic() - began


def give_way() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, NICENESS)


def carry_out(daemon: Daemon, row: Row) -> dict:
    """The load, and what it came to. Raises TimeoutError where that takes too long."""
    command = [BUILD / "tests/load/load", f"ipc://{daemon.folder}/ingest.sock", "--json",
               *row.words()]
    began = time.monotonic()
    with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, preexec_fn=give_way) as load:
        while load.poll() is None:
            if time.monotonic() - began > LOAD_S:
                load.kill()
                raise TimeoutError
            daemon.note_files()
            time.sleep(FILES_EACH_S)
        told = json.loads(load.stdout.read())
    for fault in ("failed", "batches_dropped", "batches_refused"):
        if told[fault]:
            print(f"{row.what}: {fault} {told[fault]}", file=sys.stderr)
    return told


def measure(row: Row, stored_empty: int) -> list[str]:
    with started([]) as daemon:
        told = carry_out(daemon, row)
        n_points = told["checkpoints"] * row.n_layers
        layers = min(row.n_trainers, told["most_at_once"]) * row.n_layers
        cpu_ms = 1e3 * daemon.cpu_seconds() / n_points
        peak = daemon.peak_bytes() - daemon.empty_peak
        daemon.stop()
        stored = daemon.stored_bytes() - stored_empty
    return [row.what, f"{row.n_trainers:,} x {row.n_layers}", f"{told['points_a_second']:,.0f}",
            f"{told['gb_a_second']:.2f}", f"{cpu_ms:.2f}",
            f"{told['wait_ms']:,.0f} / {told['wait_ms_p99']:,.0f}",
            f"{peak / layers / 1e6:.2f}", f"{daemon.most_files:,}",
            f"{stored / n_points:,.0f}" if n_points >= POINTS_MIN else "-"]


def print_row(cells: list[str]) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def print_head(cells: list[str]) -> None:
    print_row(cells)
    print("|" + "---|" * len(cells), flush=True)


def print_tables(only: str) -> None:
    stored_empty = empty_bytes()
    for name, rows in TABLES:
        chosen = [row for row in rows if row.what.startswith(only)]
        if not chosen:
            continue
        print_head([name, "trainers x layers", "points a second", "GB/s", "ms of CPU a point",
                    "wait, p99 (ms)", "MB a layer", "files", "bytes a point"])
        for row in chosen:
            try:
                print_row(measure(row, stored_empty))
            except TimeoutError:
                print_row([row.what, f"not within {LOAD_S} s"])
        print()


@contextlib.contextmanager
def server(history: str) -> Iterator[str]:
    """The address of a shared history."""
    if history:
        yield history
        return
    sys.path.append(str(ROOT / "tests/e2e"))
    from postgres import Postgres  # of the tests

    made = Postgres(fsync=True)
    made.start()
    try:
        yield made.new_database().url
    finally:
        made.close()


def print_shared(history: str) -> None:
    with server(history) as address, started(["--history", address]) as daemon:
        told = carry_out(daemon, FAST)
        lag = wait_until_copied(daemon)
        n_points = told["checkpoints"] * FAST.n_layers
        print_head(["with a shared history", "points a second, SQLite", "copied after (s)",
                    "points a second, PostgreSQL"])
        print_row([FAST.what, f"{told['points_a_second']:,.0f}", f"{lag:.1f}",
                   f"{n_points / (told['seconds'] + lag):,.0f}"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", default="", help="a shared history in place of one's own")
    parser.add_argument("--only", default="", help="the rows that begin with it")
    given = parser.parse_args()
    print_tables(given.only)
    if "with a shared history".startswith(given.only):
        print_shared(given.history)


if __name__ == "__main__":
    sys.exit(main())
