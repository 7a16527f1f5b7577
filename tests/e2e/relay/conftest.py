"""A central daemon on a port that it comes back to, and relays that stand before it."""

import pathlib
import sys

import pytest

from harness import free_port

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "shared"))


@pytest.fixture
def new_central(new_daemon):
    """Makes daemons that are met at the same address each time they are started."""
    def make(*flags):
        port = free_port()
        daemon = new_daemon("--listen", f"tcp://127.0.0.1:{port}", *flags)
        daemon.address = f"tcp://127.0.0.1:{port}"
        return daemon

    return make


@pytest.fixture
def central(new_central):
    return new_central().start()


@pytest.fixture
def relay(new_daemon, central):
    return new_daemon("--upstream", central.address).start()
