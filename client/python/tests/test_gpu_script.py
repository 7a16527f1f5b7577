"""tests/gpu/run.py, which needs a GPU to say something, tried on the CPU with small networks."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

GPU = Path(__file__).resolve().parents[3] / "tests" / "gpu"


def test_script_checks_and_measures_and_ends_well():
    command = [sys.executable, str(GPU / "run.py"), "--device", "cpu", "--small"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[-1].split() == ["failed", "none"]
    for what in ("error in d lr", "moments are those", "training is bit", "step:", "reduce=device"):
        assert any(line.lstrip().startswith(what) for line in lines), what


@pytest.fixture
def script(monkeypatch):
    monkeypatch.syspath_prepend(str(GPU))
    return importlib.import_module("run")


def test_a_check_that_fails_is_named_and_is_the_exit_status(script, monkeypatch, capsys):
    def nothing_holds(*_):
        raise AssertionError("off by 1")

    monkeypatch.setattr(script, "failed", [])
    monkeypatch.setattr(script.checks, "ONCE", (nothing_holds,))
    monkeypatch.setattr(script.checks, "EVERYWHERE", ())
    monkeypatch.setattr(script, "measure", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["run.py", "--device", "cpu", "--small"])
    assert script.main() == 1
    assert "nothing holds: ResNet-18, CIFAR, channels last" in capsys.readouterr().out
