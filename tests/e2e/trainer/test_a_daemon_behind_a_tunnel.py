"""A daemon on another machine, as `ssh -L` brings it here: two ports, and no endpoints.json."""

import socket
import subprocess

import numpy as np
import pytest

import richd
from harness import BUILD, PATIENCE_S, clean_environment, free_port, wait_until
from richd._link import greeting as _greeting

pytestmark = pytest.mark.not_under("thread", because="the daemon is asked as by others")


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


@pytest.fixture
def far(new_daemon, tunnel):
    """A daemon with a page, and its ingest socket behind a tunnel."""
    daemon = new_daemon(RICHD_HTTP="127.0.0.1:0").start()
    daemon.tunnelled = f"tcp://127.0.0.1:{tunnel(daemon.runtime / 'ingest.sock')}"
    return daemon


def test_the_endpoint_alone_finds_what_was_measured(far):
    with richd.init(run_id="far", endpoint=far.tunnelled) as run:
        assert wait_until(lambda: run.attempt, "the run to be open")
        run.observe(np.random.randn(64, 8), np.random.randn(64, 3), step=3)
        assert run.checkpoint(step=3, wait=True, timeout=30, spectrum=True)["head"].spectrum
        assert list(run.series("d_lr")[0]) == [3]
        assert richd.run(run).layers["head"].last.step == 3
    assert [one.id for one in richd.runs(endpoint=far.tunnelled)] == ["far"]
    assert "nc1" in richd.measures(endpoint=far.tunnelled)


def test_a_daemon_of_this_machine_at_the_address_that_is_told_is_another_one(far, monkeypatch):
    monkeypatch.setattr(_greeting, "_pid_at", lambda address: 1)
    with pytest.raises(richd.RichdError, match="ssh -L") as refusal:
        richd.runs(endpoint=far.tunnelled)
    assert "feed.sock" in refusal.value.text and "token" not in refusal.value.text


def test_a_page_that_is_here_is_read_where_the_feed_is_not(far, monkeypatch):
    daemon = far.endpoints
    asked = _greeting._pid_at
    page = far.rpc("server.status")["page"]
    monkeypatch.setattr(_greeting, "_pid_at",
                        lambda a: None if a == daemon["feed"] else asked(a))
    assert _greeting.feed_behind(far.tunnelled).startswith(page.partition("#")[0])
    assert richd.runs(endpoint=far.tunnelled)[:0].table() is not None


def test_over_tcp_no_page_is_told_and_silence_is_an_error(new_daemon, monkeypatch):
    daemon = new_daemon("--listen", f"tcp://127.0.0.1:{free_port()}",
                        RICHD_HTTP="127.0.0.1:0").start()
    assert "page" not in _greeting._hello(daemon.endpoints["ingest"])
    monkeypatch.setattr(_greeting, "TIMEOUT_S", 0.1)
    with pytest.raises(richd.RichdError, match="no daemon says hello"):
        richd.runs(endpoint=f"tcp://127.0.0.1:{free_port()}")
    with pytest.raises(richd.RichdError, match="ENOTCONN"):
        richd.runs(endpoint="pigeon://x")
