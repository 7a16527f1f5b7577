"""What a user has after pip, in each of the ways in which pip may put it down.

RICHD_WHEEL in the environment is the wheel, RICHD_INSTALLED an environment that has it installed.
No way has its programs on the PATH: they are found beside the Python that runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

WHEEL = pathlib.Path(os.environ["RICHD_WHEEL"])
INSTALLED = pathlib.Path(os.environ["RICHD_INSTALLED"])
PATIENCE_S = 120
#: What a stranger types; a daemon of this machine is not for this test.
FIVE_LINES = """
from richd._link import endpoint; endpoint.ELSEWHERE = ()
import numpy, richd
run = richd.init(project="wheel", name="first")
run.observe(numpy.random.randn(64, 8), numpy.random.randn(64, 3), step=0)
assert 0 < run.checkpoint(step=0, wait=True, timeout=60)["head"].d_lr < 1
print(run.url)
run.finish()
"""
C_PROGRAM = """
#include <richd.h>
#include <stdio.h>
int main(void) { puts(richd_version()); }
"""


class Python:
    """A Python that has richd, and a user's account for it."""

    def __init__(self, program: pathlib.Path, home: pathlib.Path, scripts: pathlib.Path) -> None:
        self.program, self.home, self.scripts = program, home, scripts
        base = str(home / "user")
        self.env = {"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONUSERBASE": base}

    def run(self, *command: object, **more: str) -> str:
        done = subprocess.run([str(part) for part in command], env={**self.env, **more},
                              text=True, capture_output=True, timeout=PATIENCE_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def pip(self, *arguments: object) -> None:
        self.run(INSTALLED / "bin" / "python", "-m", "pip", "--disable-pip-version-check",
                 "--python", self.program, "install", "--quiet", "--only-binary", ":all:",
                 *arguments)


def environment(home: pathlib.Path) -> Python:
    return Python(INSTALLED / "bin" / "python", home, INSTALLED / "bin")


def above_another(home: pathlib.Path) -> Python:
    """An environment with richd alone; the one below it has what richd needs."""
    folder = home / "above"
    subprocess.run(["/usr/bin/python3", "-m", "venv", "--without-pip", folder], check=True)
    above = Python(folder / "bin" / "python", home, folder / "bin")
    (below,) = INSTALLED.glob("lib/python3*/site-packages")
    own = folder / below.relative_to(INSTALLED)
    above.pip("--no-deps", "--no-index", WHEEL)
    # Behind its own packages, as include-system-site-packages does it.
    (own / "below.pth").write_text(f"{below}\n")
    return above


def user(home: pathlib.Path) -> Python:
    """pip install --user, beside Debian's numpy and pyzmq."""
    python = Python(pathlib.Path("/usr/bin/python3"), home, home / "user" / "bin")
    python.pip("--user", "--break-system-packages", WHEEL)
    return python


@pytest.fixture(scope="module", params=[environment, above_another, user])
def python(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp(request.param.__name__))


@pytest.fixture
def alone_elsewhere():
    """As in tests/conftest.py: other tests look where this daemon can be found as well."""
    with open(f"/tmp/richd-tests-{os.getuid()}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("alone_elsewhere")
def test_five_lines_have_a_daemon_and_a_point(python):
    with tempfile.TemporaryDirectory(prefix="richd-") as runtime:
        try:
            url = python.run(python.program, "-c", FIVE_LINES, XDG_RUNTIME_DIR=runtime)
            assert url.startswith("http://127.0.0.1:")
            listed = python.run(python.scripts / "richctl", "runs", XDG_RUNTIME_DIR=runtime)
            assert "first" in listed
        finally:
            with contextlib.suppress(FileNotFoundError):  # none was started
                lock = python.home / ".local" / "state" / "richd" / "richd.lock"
                os.kill(int(lock.read_text()), signal.SIGTERM)


def test_the_daemon_starts_by_its_script_and_by_its_package(python):
    told = python.run(python.scripts / "richd", "--version")
    assert told.startswith("richd ")
    assert python.run(python.program, "-m", "richd", "--version") == told
    assert python.run(python.scripts / "richctl", "--version").split()[1] == told.split()[1]


def test_sources_on_pythonpath_do_not_hide_the_daemon(python, tmp_path):
    (tmp_path / "richd").mkdir()
    (tmp_path / "richd" / "__init__.py").touch()
    told = python.run(python.scripts / "richd", "--version", PYTHONPATH=str(tmp_path))
    assert told.startswith("richd ")


def test_a_c_program_is_compiled_with_its_header_and_library(python, tmp_path):
    ask = "import richd; print(richd.get_include(), richd.get_library())"
    include, library = python.run(python.program, "-c", ask).split()
    (tmp_path / "train.c").write_text(C_PROGRAM)
    python.run("cc", tmp_path / "train.c", f"-I{include}", library,
               f"-Wl,-rpath,{os.path.dirname(library)}", "-o", tmp_path / "train")
    assert python.run(tmp_path / "train") in WHEEL.name
