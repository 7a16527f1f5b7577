"""HTTP by TLS (proto/HTTP.md): who is let in, what is refused, and renewed certificates."""

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import warnings

import pytest

from certificates import Certificate
from harness import PATIENCE_S, clean_environment, draw, richd, wait_until
from httpclient import WebSocket, port_of, request


@pytest.fixture
def certificate(tmp_path):
    return Certificate(tmp_path).make()


@pytest.fixture
def secure(new_daemon, certificate):
    """A daemon that listens on all addresses, by TLS."""
    return new_daemon("--http", "0.0.0.0:0", *certificate.flags).start()


def token_of(daemon):
    return daemon.endpoints["page"].partition("#token=")[2]


def shown_serial(daemon, context):
    """Of the certificate that a new connection is shown."""
    with socket.create_connection(("127.0.0.1", port_of(daemon)), PATIENCE_S) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
            return sock.getpeercert()["serialNumber"]


def test_beyond_the_loopback_it_is_tls_or_a_proxy():
    refused = richd("--http", "0.0.0.0:0", "--check-config")
    assert refused.returncode == 78
    assert "tls-certificate" in refused.stderr and "http-proxy" in refused.stderr
    for proxies, code in [("10.0.0.9, 10.1.0.0/16", 0), ("proxy", 78), ("10.0.0.0/33", 78),
                          ("10.0.0.1/", 78), ("::1/129", 78), (",", 78)]:
        said = richd("--http", "0.0.0.0:0", "--http-proxy", proxies, "--check-config")
        assert said.returncode == code, proxies


def test_without_a_token_nothing_is_told_over_a_network(secure, certificate):
    client = certificate.client()
    assert request(secure, "/healthz", tls=client).status == 200
    assert request(secure, "/", tls=client).status == 200
    assert request(secure, "/api/v1/runs", tls=client).status == 401
    bearer = f"Bearer {token_of(secure)}"
    assert request(secure, "/api/v1/runs", tls=client, authorization=bearer).json["total"] == 0


def test_the_page_and_its_websocket_are_met_by_a_name_of_the_certificate(secure, certificate):
    assert secure.endpoints["http"] == f"https://lab.example.org:{port_of(secure)}"
    assert secure.endpoints["page"].startswith(secure.endpoints["http"] + "/#token=")
    client = certificate.client()
    with WebSocket(secure, tls=client, Host="lab.example.org", origin="https://lab.example.org",
                   sec_websocket_protocol="richd.token") as ws:
        assert ws.ask("server.hello", token=token_of(secure))["may_write"] is True
        assert ws.ask("run.list")["total"] == 0
        ws.send(b" " * 300_000 + b'{"jsonrpc":"2.0","id":9,"method":"run.list"}')
        assert ws.message()["id"] == 9
    assert request(secure, "/healthz", tls=client, host="other.example.org").status == 421


def test_what_is_large_comes_whole_both_ways(secure, certificate):
    """The page's largest file, and a body of a megabyte."""
    client = certificate.client()
    file = "/vendor/uPlot.iife.min.js"
    with ssl.create_default_context(cafile=certificate.path).wrap_socket(
            socket.create_connection(("127.0.0.1", port_of(secure)), PATIENCE_S),
            server_hostname="127.0.0.1") as sock:
        for _ in range(20):
            sock.sendall(f"GET {file} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head, size = b"", 0
            while b"\r\n\r\n" not in head:
                head += sock.recv(1)
            length = int(re.search(rb"content-length: (\d+)", head)[1])
            while size < length:
                size += len(sock.recv(65536))
            assert size == length > 40_000
    body = b'{"jsonrpc":"2.0","id":1,"method":"run.list"}'.ljust((1 << 20) - 1)
    answer = request(secure, "/api/v1/rpc", "POST", body, tls=client,
                     content_type="application/json", authorization=f"Bearer {token_of(secure)}")
    assert answer.json["result"]["total"] == 0


def test_a_reader_sees_points_as_they_come(secure, certificate):
    with WebSocket(secure, tls=certificate.client(),
                   authorization=f"Bearer {token_of(secure)}") as ws:
        ws.ask("series.subscribe")
        with secure.trainer("live") as trainer:
            for step in range(3):
                trainer.rows(*draw(64, 8, 2), step=step)
                trainer.checkpoint(step)
        steps = []
        while len(steps) < 3:
            steps += [point["step"] for point in ws.update()["params"]["points"]]
    assert steps == [0, 1, 2]


def test_python_reads_runs_back(secure, certificate):
    with secure.trainer("mine") as trainer:
        trainer.rows(*draw(64, 8, 2))
        trainer.checkpoint(0)
        trainer.finish()
    feed = f"https://localhost:{port_of(secure)}/#token={token_of(secure)}"
    ask = "import richd; print([run.name for run in richd.runs()])"
    told = [subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False,
                           env=clean_environment(RICHD_FEED=feed, **more))
            for more in ({"SSL_CERT_FILE": str(certificate.path)}, {})]
    assert told[0].stdout == "['mine']\n", told[0].stderr
    assert "EFEED" in told[1].stderr and "SSL_CERT_FILE" in told[1].stderr
    assert token_of(secure) not in told[1].stderr


def test_old_versions_of_tls_and_plain_http_are_refused(secure, certificate):
    old = certificate.client()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        request(secure, "/healthz", tls=old)
    for version in ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3:
        client = certificate.client()
        client.minimum_version = client.maximum_version = version
        assert request(secure, "/healthz", tls=client).status == 200
    answer = request(secure, "/healthz")
    assert (answer.status, answer.text) == (400, "TLS is spoken here: https://\n")


#: What a client may say in place of shaking hands.
NO_HANDS = [b"", b"\x16\x03\x01", b"\x16\x03\x01\x40\x00\x01", b"\0" * 99]


def connect_idle(daemon, n):
    address = ("127.0.0.1", port_of(daemon))
    idle = [socket.create_connection(address, PATIENCE_S) for _ in range(n)]
    for i, sock in enumerate(idle):
        sock.sendall(NO_HANDS[i % len(NO_HANDS)])
    return idle


def test_what_shakes_no_hands_holds_nobody_up(secure, certificate):
    before = secure.resident_bytes()
    idle = connect_idle(secure, 200)
    assert request(secure, "/healthz", tls=certificate.client()).status == 200
    secure.assert_grew_less(before, 64 << 20)
    for sock in idle:
        sock.close()


@pytest.mark.long
def test_what_shakes_no_hands_is_cut(secure):
    for sock in connect_idle(secure, 4):
        with sock, contextlib.suppress(ConnectionResetError):
            while sock.recv(4096):
                pass


def test_a_certificate_is_renewed_without_cutting_anyone(secure, certificate):
    before = certificate.client()
    serial = shown_serial(secure, before)
    with WebSocket(secure, tls=before, authorization=f"Bearer {token_of(secure)}") as ws:
        ws.ask("run.list")
        certificate.make()
        after = certificate.client()
        wait_until(lambda: _is_trusted(secure, after), "the new certificate to be shown")
        assert shown_serial(secure, after) != serial
        assert ws.ask("run.list")["total"] == 0
        certificate.key.write_text("no key")
        wait_until(lambda: "stays as it was" in secure.output, "the bad key to be noticed")
        assert shown_serial(secure, after) != serial
        problems = ws.ask("server.status")["problems"]
        assert any("no key in PEM" in problem for problem in problems), problems
    certificate.make()
    wait_until(lambda: _is_trusted(secure, certificate.client()), "the third certificate")
    assert not request(secure, "/api/v1/status", tls=certificate.client(),
                       authorization=f"Bearer {token_of(secure)}").json["problems"]


def _is_trusted(daemon, context):
    try:
        shown_serial(daemon, context)
    except ssl.SSLCertVerificationError:
        return False
    return True


def test_files_that_do_not_do_are_refused_with_their_names(tmp_path):
    good, other = Certificate(tmp_path).make(), Certificate(tmp_path, "other").make()
    text = tmp_path / "text.pem"
    text.write_text("nothing\n")
    open_key = shutil.copy(good.key, tmp_path / "open.key")
    (tmp_path / "open.key").chmod(0o644)
    locked = tmp_path / "locked.key"
    subprocess.run(["openssl", "ec", "-in", good.key, "-aes256", "-passout", "pass:x", "-out",
                    locked], check=True, capture_output=True)
    cases = [(good.path, None, "go together"), (None, good.key, "go together"),
             (tmp_path / "away.pem", good.key, "away.pem cannot be read"),
             (good.path, tmp_path / "away.key", "away.key cannot be read"),
             (text, good.key, "text.pem holds no certificate"),
             (good.path, other.key, "does not belong to the certificate"),
             (good.path, locked, "without a passphrase"),
             (good.path, open_key, "may be read by others")]
    for path, key, why in cases:
        flags = ["--tls-certificate", path] * (path is not None)
        flags += ["--tls-key", key] * (key is not None)
        refused = richd("--http", "127.0.0.1:0", *map(str, flags), "--check-config")
        assert (refused.returncode, why in refused.stderr) == (78, True), refused.stderr
    refused = richd(*map(str, good.flags), "--check-config")
    assert (refused.returncode, "ADDRESS:PORT" in refused.stderr) == (78, True)
