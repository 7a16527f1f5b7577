"""Which tests a variant of the build runs, and in which order.

The plain build runs all. A sanitizer runs what it can find something in; a test in which it cannot
says so, with the reason:

    @pytest.mark.not_under("address", "thread", because="what runs is torch")

RICHD_TESTS=all runs these as well (`make test-long`). Tests run side by side, so one that waits
for long begins before the others: @pytest.mark.long.
"""

import atexit
import fcntl
import os
import pathlib
import shutil
import tempfile

import pytest

# Before numpy is imported, and for the daemons as well: the cores are shared among many processes,
# and idle threads of OpenBLAS spin. The page's tests run the daemon with as many as there are.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What a test does not start itself is not started by chance.
os.environ.setdefault("RICHD_AUTOSTART", "0")

# What a training keeps where no daemon answers is no matter of the user's who runs the tests.
if "RICHD_SPOOL_DIR" not in os.environ:
    os.environ["RICHD_SPOOL_DIR"] = tempfile.mkdtemp(prefix="richd-spool-")
    atexit.register(shutil.rmtree, os.environ["RICHD_SPOOL_DIR"], ignore_errors=True)

SANITIZERS = ("address", "thread")
BUILD = pathlib.Path(os.environ.get("RICHD_BUILD", "build"))
RUNS_ALL = os.environ.get("RICHD_TESTS") == "all"


def pytest_configure(config):
    config.addinivalue_line("markers", "not_under(*sanitizers, because): left out there")
    config.addinivalue_line("markers", "long: waits for seconds, and begins before the others")


def is_left_out(item):
    """Whether a mark leaves the test out of this variant."""
    found = False
    for mark in item.iter_markers("not_under"):
        assert mark.args and set(mark.args) <= set(SANITIZERS), (item.nodeid, mark)
        assert mark.kwargs.keys() == {"because"}, (item.nodeid, mark)
        found |= BUILD.name in mark.args
    return found and not RUNS_ALL


def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if is_left_out(item)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def alone_elsewhere():
    """A daemon whose runtime directory nobody names is found in /tmp/richd-UID as well, by all that
    look there: one test at a time, also of several pytest processes. A daemon of the user who runs
    the tests is not found meanwhile."""
    found = pathlib.Path(f"/tmp/richd-{os.getuid()}/endpoints.json")
    aside = found.with_suffix(".aside")
    with open(f"/tmp/richd-tests-{os.getuid()}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found.exists():
            found.rename(aside)
        yield
        if aside.exists():
            aside.rename(found)
