"""A feed, and richctl to ask it."""

import pytest

from memoryfeed import Ctl, Feed


@pytest.fixture
def feed(tmp_path):
    server = Feed(tmp_path)
    yield server
    server.close()


@pytest.fixture
def ctl(feed):
    richctl = Ctl(feed)
    yield richctl
    richctl.stop()
