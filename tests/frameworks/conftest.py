"""Tests on the real frameworks, with the daemons and runs of the end-to-end tests.

They run in the environment that `make frameworks` makes from client/python/frameworks.
"""

import importlib.util
import pathlib
import sys

import pytest

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))

_spec = importlib.util.spec_from_file_location("e2e_conftest", E2E / "conftest.py")
_e2e = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_e2e)

pytest_runtest_makereport = _e2e.pytest_runtest_makereport
no_other_daemon = _e2e.no_other_daemon
new_daemon = _e2e.new_daemon
daemon = _e2e.daemon
new_run = _e2e.new_run


@pytest.fixture
def new_callback(daemon):
    """Makes callbacks of a class, whose runs are on the daemon; they are finished with the test."""
    made = []

    def make(callback_class, run_id="run", **options):
        made.append(callback_class(run_id=run_id, runtime_dir=str(daemon.runtime), **options))
        return made[-1]

    yield make
    for one in made:
        one.finish()
