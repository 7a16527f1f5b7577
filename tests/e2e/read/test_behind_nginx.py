"""richd behind Debian's nginx, with a bare proxy_pass and as proto/HTTP.md says it."""

import os
import re
import shutil
import subprocess

import pytest

from harness import ROOT, draw, free_port, wait_until
from httpclient import Refused, WebSocket, connect, port_of, request

PROGRAM = shutil.which(
    "nginx", path=f"{os.environ['PATH']}:/usr/sbin:{ROOT / 'build/tools/usr/sbin'}")
PREFIX = "/lab/richd"
#: What the page says, as it stands there.
LOCATION = re.search(r"```nginx\n(.*?)```", (ROOT / "proto" / "HTTP.md").read_text(), re.S).group(1)

CONFIG = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {folder}/a;
    proxy_temp_path {folder}/b;
    fastcgi_temp_path {folder}/c;
    uwsgi_temp_path {folder}/d;
    scgi_temp_path {folder}/e;
    server {{
        listen 127.0.0.1:{port};
        location /bare/ {{ proxy_pass http://127.0.0.1:8080/; }}
        {location}
    }}
}}
"""


class Front:
    """nginx in front of a daemon, as a process of the test; to the clients it is the daemon."""

    def __init__(self, web, folder):
        self.port = free_port()
        self.endpoints = {"http": f"http://127.0.0.1:{self.port}"}
        folder.mkdir()
        text = CONFIG.format(folder=folder, port=self.port, location=LOCATION)
        text = text.replace("127.0.0.1:8080", f"127.0.0.1:{port_of(web)}")
        (folder / "nginx.conf").write_text(text)
        self.process = subprocess.Popen([PROGRAM, "-p", folder, "-c", folder / "nginx.conf",
                                         "-e", folder / "error.log"])
        wait_until(self._listens, "nginx to listen")

    def _listens(self):
        assert self.process.poll() is None, "nginx ended"
        try:
            connect(self).close()
        except ConnectionRefusedError:
            return False
        return True

    def close(self):
        self.process.terminate()
        self.process.wait()


@pytest.fixture
def web(new_daemon):
    return new_daemon("--http", "127.0.0.1:0", "--http-host", "hub.example.org").start()


@pytest.fixture
def front(web, tmp_path):
    assert PROGRAM, "`make tools` fetches it"
    made = Front(web, tmp_path / "nginx")
    yield made
    made.close()


def train(daemon, steps):
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(40, 6, 3))
        for step in steps:
            trainer.checkpoint(step)


def first_events(front, path, daemon):
    """What a stream brings while a run is stored: the answer to the subscription, and a point."""
    with connect(front) as sock:
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{front.port}\r\n\r\n".encode())
        answer = b""
        while b"event: series.update" not in answer:
            answer += sock.recv(65536)
        train(daemon, [1])
        while b'"step":1' not in answer:
            answer += sock.recv(65536)
        return answer


@pytest.mark.not_under("thread", "address", because="nginx is what is tried here")
def test_a_bare_proxy_pass_brings_page_history_and_streams(web, front):
    assert request(front, "/bare/").body == request(web, "/").body
    assert b"x-accel" not in first_events(front, "/bare/api/v1/stream", web).lower()
    assert request(front, "/bare/api/v1/runs/run/series.csv").text.startswith("layer,attempt,step,")
    with pytest.raises(Refused) as told:  # nginx passes no upgrade on unless it is told to
        WebSocket(front, "/bare/ws")
    assert told.value.status == 404


@pytest.mark.not_under("thread", "address", because="nginx is what is tried here")
def test_as_the_page_says_it_all_of_it_works_below_a_prefix(web, front):
    for name in ("/main.js", "/vendor/uPlot.iife.min.js"):
        packed = request(front, PREFIX + name, accept_encoding="gzip")
        assert packed.status == 200 and packed.body == request(web, name).body
    first_events(front, f"{PREFIX}/api/v1/stream", web)
    assert request(front, f"{PREFIX}/api/v1/runs/default/run").json["n_points"] == 1
    with WebSocket(front, f"{PREFIX}/ws", Origin=f"http://127.0.0.1:{front.port}",
                   Host=f"127.0.0.1:{front.port}") as ws:
        ws.ask("series.subscribe", run="run")
        train(web, [2])
        assert ws.update()["params"]["points"][0]["step"] == 2


@pytest.mark.not_under("thread", "address", because="nginx is what is tried here")
def test_host_and_origin_are_those_of_the_browser(front):
    path = f"{PREFIX}/api/v1/runs"
    host = "hub.example.org"
    assert request(front, path, Host=host, Origin=f"https://{host}").status == 200
    assert request(front, path, Host=host, Origin="https://evil.example").status == 403
    assert request(front, path, Host="evil.example").status == 421
    with pytest.raises(Refused) as told:
        WebSocket(front, f"{PREFIX}/ws", Origin="http://evil.example")
    assert told.value.status == 403
