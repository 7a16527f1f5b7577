"""A daemon for the examples, which run in this process: one import of torch for all of them."""

import importlib
import pathlib
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "client" / "python" / "examples"
sys.path[:0] = [str(ROOT / "tests" / "e2e"), str(ROOT / "client" / "python" / "src"), str(EXAMPLES)]

from harness import Daemon  # noqa: E402


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    started = Daemon(tmp_path_factory.mktemp("daemon")).start()
    yield started
    started.close()


@pytest.fixture
def run_example(daemon, tmp_path):
    """Runs an example's short form; returns its verdicts and its figure."""

    def run(name, *arguments):
        flags = ["--short", "--runtime-dir", str(daemon.runtime), "--figures", str(tmp_path)]
        verdicts = importlib.import_module(name).main([*flags, *arguments])
        return verdicts, tmp_path / f"{name.replace('_', '-')}.png"

    return run
