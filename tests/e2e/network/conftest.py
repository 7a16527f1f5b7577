import os

import pytest

from hosts import DAEMON_IP, TRAINER_IP, WITHIN, Network, UserNamespace

if os.environ.get("RICHD_TESTS") != "all":
    collect_ignore = ["test_networks_are_away_for_long.py"]


def try_namespaces():
    """Fails where this machine does not let us have hosts, as in some containers."""
    made = Network()
    try:
        made.host(DAEMON_IP)
    finally:
        made.close()


@pytest.fixture(scope="session")
def hosts_permitted():
    try:
        try_namespaces()
        yield
        return
    except Exception:  # whatever forbids them
        pass
    try:
        WITHIN.append(UserNamespace())
        try_namespaces()
    except Exception as why:
        pytest.skip(f"this machine permits no network namespaces with a bridge: {why}")
    yield
    WITHIN.pop().close()


@pytest.fixture
def network(hosts_permitted):
    made = Network()
    yield made
    made.close()


@pytest.fixture
def daemon_host(network):
    return network.host(DAEMON_IP)


@pytest.fixture
def trainer_host(network):
    return network.host(TRAINER_IP)
