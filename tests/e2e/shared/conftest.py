"""Servers and databases for the tests of the shared history."""

import pytest

from postgres import Postgres


@pytest.fixture(scope="session")
def server():
    server = Postgres().start()
    yield server
    server.close()


@pytest.fixture
def database(server):
    return server.new_database()


@pytest.fixture
def own_server():
    """A server that a test may stop and kill."""
    server = Postgres(fsync=True).start()
    yield server
    server.close()
