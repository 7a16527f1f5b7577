import os

import pytest

from hosts import DAEMON_IP, TRAINER_IP, Network

if os.environ.get("RICHD_TESTS") != "all":
    collect_ignore = ["test_networks_are_away_for_long.py"]


@pytest.fixture
def network():
    made = Network()
    yield made
    made.close()


@pytest.fixture
def daemon_host(network):
    return network.host(DAEMON_IP)


@pytest.fixture
def trainer_host(network):
    return network.host(TRAINER_IP)
