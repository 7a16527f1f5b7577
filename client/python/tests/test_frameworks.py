"""What is true of the frameworks' callbacks where the frameworks are not."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

CALLBACKS = {
    "lightning": "richd.lightning needs Lightning: pip install lightning",
    "transformers": "richd.transformers needs Hugging Face transformers and torch: pip install",
    "accelerate": "richd.accelerate needs accelerate: pip install accelerate",
}


@pytest.mark.parametrize("name", CALLBACKS)
def test_a_framework_that_is_missing_is_named(name, monkeypatch):
    for module in (name, f"{name}.pytorch", f"{name}.state", "pytorch_lightning"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"richd.{name}", raising=False)
    with pytest.raises(ImportError, match=CALLBACKS[name]):
        importlib.import_module(f"richd.{name}")


def test_richd_alone_imports_no_framework():
    heavy = {*CALLBACKS, "pytorch_lightning", "torch", "keras", "jax", "tensorflow"}
    program = f"import sys, richd; print(sorted(set({heavy}) & set(sys.modules)))"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
