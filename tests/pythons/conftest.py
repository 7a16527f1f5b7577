"""Tests that want a newer torch than Debian 12's, with the daemons of the end-to-end tests.

`run.sh sid` runs them: that Debian has the newest torch, and a compiler for torch.compile.
"""

import importlib.util
import pathlib
import sys

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
