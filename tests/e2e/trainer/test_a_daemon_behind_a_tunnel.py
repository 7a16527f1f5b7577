"""A daemon on another machine, as `ssh -L` brings it here: two ports, and no endpoints.json."""

import socket
import subprocess

import numpy as np
import pytest

import richd
from harness import BUILD, PATIENCE_S, clean_environment, free_port, wait_until


@pytest.fixture
def tunnel():
    """Forwards a port of ours to a socket, as ssh does; returns the port."""
    ends = []

    def to(path):
        port = free_port()
        ends.append(subprocess.Popen(["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,fork,reuseaddr",
                                      f"UNIX-CONNECT:{path}"]))

        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens, "the tunnel")
        return port

    yield to
    for end in ends:
        end.terminate()
        end.wait(PATIENCE_S)


def test_rows_go_there_and_the_history_comes_back(daemon, tunnel, monkeypatch):
    endpoint = f"tcp://127.0.0.1:{tunnel(daemon.runtime / 'ingest.sock')}"
    feed = f"tcp:127.0.0.1:{tunnel(daemon.runtime / 'feed.sock')}"
    monkeypatch.setenv("RICHD_FEED", "tcp:127.0.0.1:1")  # an argument wins
    with richd.init(run_id="far", endpoint=endpoint, feed=feed) as run:
        run.observe(np.random.randn(64, 8), np.random.randn(64, 3), step=3)
        assert wait_until(lambda: run.attempt, "the run to be open")
        run.checkpoint(step=3, wait=True)
        assert list(run.series("d_lr")[0]) == [3]
    monkeypatch.setenv("RICHD_FEED", feed)
    again = richd.init(run_id="far", mode="disabled")
    assert list(again.series("d_lr")[0]) == [3]
    said = subprocess.run([BUILD / "richctl", "runs"], env=clean_environment(RICHD_FEED=feed),
                          capture_output=True, text=True, timeout=PATIENCE_S, check=True)
    assert "far" in said.stdout


@pytest.mark.parametrize("feed", ["feed.sock", "unix:relative", "tcp:7001", "tcp:host:port", "tcp::"])
def test_what_is_no_address_is_refused(feed, monkeypatch):
    with pytest.raises(ValueError, match="feed is"):
        richd.init(feed=feed, mode="disabled")
    monkeypatch.setenv("RICHD_FEED", feed)
    run = richd.init(mode="disabled")
    assert f"RICHD_FEED={feed!r} is malformed" in run.stats.last_error
