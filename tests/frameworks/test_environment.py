"""The frameworks' environment is the one that the project's own files name."""

import importlib.metadata
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PINS = sorted(
    line.strip()
    for file in (ROOT / "client" / "python" / "frameworks").glob("requirements-*.txt")
    for line in file.read_text().splitlines()
    if line.strip() and not line.startswith("#")
)


@pytest.mark.parametrize("pin", PINS)
def test_each_package_has_the_version_that_is_pinned(pin):
    name, version = pin.split("==")
    assert importlib.metadata.version(name) == version
