"""A daemon of its own for each test, and the Python package from the tree."""

import os
import resource
import sys

import pytest

from harness import PACKAGE, Daemon

sys.path.insert(0, str(PACKAGE))

#: How much of a daemon's log a failure shows.
LOG_LINES = 60
DAEMONS = pytest.StashKey()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A test that fails shows what its daemons said."""
    report = (yield).get_result()
    for daemon in item.stash.get(DAEMONS, ()) if report.failed else ():
        tail = "\n".join(daemon.output.splitlines()[-LOG_LINES:])
        report.sections.append((f"{daemon.folder.name}'s log", tail))


@pytest.fixture(autouse=True)
def no_other_daemon(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("RICHD_") and name != "RICHD_BUILD":
            monkeypatch.delenv(name)
    monkeypatch.setenv("RICHD_RUNTIME_DIR", str(tmp_path / "no-daemon-here"))
    monkeypatch.setenv("RICHD_AUTOSTART", "0")
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def new_daemon(tmp_path, request):
    """Makes daemons that are not started yet; all are ended with the test."""
    made = request.node.stash[DAEMONS] = []

    def make(*flags, **environment):
        folder = tmp_path / f"daemon{len(made)}"
        folder.mkdir()
        made.append(Daemon(folder, *flags, **environment))
        return made[-1]

    yield make
    for daemon in made:
        daemon.close()


@pytest.fixture
def many_files():
    """This process may hold the other ends of what a daemon has; yields how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def daemon(new_daemon):
    return new_daemon().start()


@pytest.fixture
def new_run(daemon, request):
    """Opens runs with the Python package on `daemon`; they are finished with the test."""
    import richd

    runs = []

    def make(run_id="run", **arguments):
        runs.append(richd.init(run_id=run_id, runtime_dir=str(daemon.runtime), **arguments))
        return runs[-1]

    yield make
    for run in runs:
        run.finish(timeout=0.5)
