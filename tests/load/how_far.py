#!/usr/bin/env python3
"""How far one daemon goes on this machine: prints the table of daemon/SCALE.md.

    tests/load/how_far.py [--history postgresql://...]     # after `make build/tests/load/load`

Each row is a load (tests/load) on a daemon of its own. Memory is what the daemon holds at its peak,
bytes are those of its history's files, both beside a daemon that has done nothing.
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


class Daemon:
    """A daemon with a history in a folder of its own."""

    def __init__(self, folder: pathlib.Path, options: list[str]) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [BUILD / "richd", "--state-dir", folder, "--runtime-dir", folder, "--http", "off",
             "--log-level", "error", *options])
        deadline = time.monotonic() + READY_S
        while not (folder / "endpoints.json").exists():
            assert time.monotonic() < deadline, "the daemon is not ready"
            time.sleep(0.01)
        self.empty = self.peak_bytes(), self.stored_bytes()

    def peak_bytes(self) -> int:
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])

    def stored_bytes(self) -> int:
        return sum(file.stat().st_size for file in self.folder.glob("richd.sqlite*"))

    def status(self) -> dict:
        told = subprocess.run([BUILD / "richctl", "--runtime-dir", self.folder, "status", "--json"],
                              check=True, capture_output=True, text=True).stdout
        return json.loads(told)

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait()


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


ROWS = [
    Row("points as fast as they are stored", {"features": 8, "outputs": 4, "rows": 16,
                                              "checkpoints": 40}, 64, 32),
    Row("1,000 trainers at once", {"checkpoints": 5}, 1000),
    Row("10,000 trainers, 1,000 at once", {"checkpoints": 2, "at-once": 1000}, 10_000),
    *(Row(f"p = {p}, rows", {"features": p, "outputs": 100, "rows": 512, "checkpoints": 6}, n)
      for p, n in ((128, 64), (512, 32), (1024, 16), (2048, 8), (4096, 4), (8192, 2))),
    *(Row(f"p = {p}, moments", {"features": p, "outputs": 100, "rows": 512, "checkpoints": 6,
                                "moments": True}, n)
      for p, n in ((128, 64), (512, 32), (1024, 16), (2048, 8), (4096, 4))),
]


def wait_until_copied(daemon: Daemon) -> float:
    """Seconds until the shared history has all."""
    began = time.monotonic()
    while daemon.status()["history_waiting"]:
        assert time.monotonic() < began + COPIED_S, "the shared history lags behind"
        time.sleep(0.05)
    return time.monotonic() - began


def measure(row: Row, options: list[str]) -> str:
    with started(options) as daemon:
        done = subprocess.run([BUILD / "tests/load/load", f"ipc://{daemon.folder}/ingest.sock",
                               "--json", *row.words()], check=False, text=True,
                              stdout=subprocess.PIPE)
        told = json.loads(done.stdout)
        if told["failed"]:
            print(f"{row.what}: {told['failed']} trainers failed", file=sys.stderr)
        lag = wait_until_copied(daemon) if options else 0.0
        peak = daemon.peak_bytes() - daemon.empty[0]
        stored = daemon.stored_bytes() - daemon.empty[1]
        n_points = told["checkpoints"] * row.n_layers
        cells = [row.what, f"{row.n_trainers} x {row.n_layers}", f"{told['points_a_second']:,.0f}",
                 f"{told['gb_a_second']:.2f}", f"{told['wait_ms']:.0f} / {told['wait_ms_p99']:.0f}",
                 f"{peak / (row.n_trainers * row.n_layers) / 1e6:.2f}", f"{stored / n_points:,.0f}"]
        return " | ".join(cells + ([f"{lag:.1f}"] if options else []))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--history", help="a shared history, copied to beside the load")
    parser.add_argument("--only", default="", help="the rows that begin with it")
    given = parser.parse_args()
    options = ["--history", given.history] if given.history else []
    head = ["load", "trainers x layers", "points a second", "GB/s", "wait, p99 (ms)",
            "MB a layer", "bytes a point"] + (["copied after (s)"] if options else [])
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for row in ROWS:
        if row.what.startswith(given.only):
            print(f"| {measure(row, options)} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
