"""What a user does first, with what pip put into this Python: a daemon, a run, its point, its page.

    first_point.py [DAEMON [RICHCTL]]

Without arguments they are the scripts beside this Python. Prints the point as JSON (d_lr and n),
with the time from the daemon's start to the point in ms; an AssertionError says what is wrong.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.request
from typing import Iterator

import numpy as np

import richd

SCRIPTS = pathlib.Path(sysconfig.get_path("scripts"))
PATIENCE_S = 60


@contextlib.contextmanager
def daemon(command: list[str], folder: pathlib.Path) -> Iterator[dict[str, str]]:
    """A daemon in `folder`, and where it is: its endpoints.json."""
    runtime = folder / "runtime"
    started = subprocess.Popen([*command, "--state-dir", folder / "state", "--runtime-dir", runtime,
                                "--http", "127.0.0.1:0"])
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not (runtime / "endpoints.json").exists():
            assert started.poll() is None, f"the daemon ended with {started.returncode}"
            assert time.monotonic() < deadline, "the daemon is not ready"
            time.sleep(0.01)
        yield json.loads((runtime / "endpoints.json").read_text())
    finally:
        started.terminate()
        assert started.wait(PATIENCE_S) == 0


def checked_run(runtime: pathlib.Path) -> richd.Point:
    """The point of a run that anyone computes the same; its spectrum is there as well."""
    rng = np.random.default_rng(0)
    features = rng.standard_normal((500, 32)).astype(np.float32)
    outputs = (features[:, :4] + 0.1 * rng.standard_normal((500, 4))).astype(np.float32)
    os.environ["RICHD_RUNTIME_DIR"] = str(runtime)
    run = richd.init(project="wheel", name="first", raise_errors=True)
    run.observe(features, outputs, step=1)
    point = run.checkpoint(step=1, wait=True, timeout=PATIENCE_S, spectrum=True)["head"]
    assert point.n == 500 and point.flags == (), point
    assert len(point.spectrum.rho) == 32
    assert list(run.series("d_lr")[1]) == [point.d_lr]
    run.finish()
    return point


def check_readers(richctl: str, runtime: pathlib.Path, endpoints: dict[str, str]) -> None:
    """The command line and the page show the run."""
    listed = subprocess.run([richctl, "--runtime-dir", runtime, "--json", "runs"], check=True,
                            capture_output=True, text=True, timeout=PATIENCE_S)
    assert json.loads(listed.stdout)["name"] == "first"
    with urllib.request.urlopen(endpoints["http"], timeout=PATIENCE_S) as page:
        assert b"<title>richd" in page.read()


def check_library() -> None:
    """The C library loads, and is of the header's and the package's version."""
    library = ctypes.CDLL(richd.get_library())
    library.richd_version.restype = ctypes.c_char_p
    assert library.richd_version().decode() == richd.__version__
    assert pathlib.Path(richd.get_include(), "richd.h").exists()


def main(arguments: list[str]) -> None:
    """Does all of it once, in a folder that leaves with it."""
    command, richctl = [str(SCRIPTS / "richd")], str(SCRIPTS / "richctl")
    if arguments:
        command, richctl = arguments[:1], arguments[-1]
    else:
        check_library()
    with tempfile.TemporaryDirectory(prefix="richd-") as folder:
        began = time.monotonic()
        with daemon(command, pathlib.Path(folder)) as endpoints:
            point = checked_run(pathlib.Path(folder, "runtime"))
            took_ms = (time.monotonic() - began) * 1e3
            check_readers(richctl, pathlib.Path(folder, "runtime"), endpoints)
    print(json.dumps({"d_lr": point.d_lr, "n": point.n, "ms": round(took_ms)}))


if __name__ == "__main__":
    main(sys.argv[1:])
