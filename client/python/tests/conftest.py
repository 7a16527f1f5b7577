"""Each test alone: no daemon of the machine, no RICHD_* of the shell, a fake daemon on request."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from support import Daemon, connected  # noqa: E402


@pytest.fixture(autouse=True)
def _no_other_daemon(monkeypatch, tmp_path):
    for name in list(os.environ):
        if name.startswith("RICHD_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RICHD_RUNTIME_DIR", str(tmp_path / "no-daemon-here"))
    monkeypatch.setenv("RICHD_AUTOSTART", "0")
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def daemon():
    with Daemon() as fake:
        yield fake


@pytest.fixture
def run(daemon):
    """A run that is open at the fake daemon."""
    run = connected(daemon)
    yield run
    run.finish()
