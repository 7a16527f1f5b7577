"""Daemons that serve HTTP."""

import pytest

from httpclient import READ, WRITE


@pytest.fixture
def web(new_daemon):
    """A daemon that listens on a free port of the loopback."""
    return new_daemon("--http", "127.0.0.1:0").start()


@pytest.fixture
def guarded(new_daemon, tmp_path):
    """As `web`, with one token of each kind."""
    tokens = tmp_path / "tokens"
    tokens.write_text(f"# who may\nread {READ}\nwrite {WRITE}\n")
    tokens.chmod(0o600)
    return new_daemon("--http", "127.0.0.1:0", "--token-file", tokens).start()
