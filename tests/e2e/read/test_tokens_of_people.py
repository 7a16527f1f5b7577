"""Who is let in by HTTP (proto/HTTP.md): tokens come and go by `richctl token`, wrong ones are
counted by address, and proxies are believed as far as they are named."""

import hashlib
import http.client
import socket

import pytest

from certificates import Certificate
from harness import PATIENCE_S, RpcError, wait_until
from httpclient import READ, WebSocket, port_of, request


def host_address():
    """Of this machine in a network, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            return None
        return sock.getsockname()[0]


def bearer(number):
    return f"Bearer wrong-token-{number:08}"


@pytest.fixture
def proxied(new_daemon, tmp_path):
    """A daemon behind a proxy on the loopback."""
    tokens = tmp_path / "own"
    tokens.write_text(f"read {READ}\n")
    tokens.chmod(0o600)
    return new_daemon("--http", "127.0.0.1:0", "--http-proxy", "127.0.0.1", "--token-file",
                      tokens).start()


@pytest.fixture
def paged(new_daemon):
    """A daemon with the page that nobody asked for: all is behind a token."""
    return new_daemon("--http", "on").start()


def add_token(daemon, name, *more):
    return daemon.richctl("token", "add", name, *more).strip()


def status_with(daemon, token, path="/metrics"):
    return request(daemon, path, authorization=f"Bearer {token}").status


def test_a_token_counts_within_a_second_and_is_kept_as_a_hash(paged):
    token = add_token(paged, "laptop")
    assert (len(token), status_with(paged, "0" * 64)) == (64, 401)
    wait_until(lambda: status_with(paged, token) == 200, "the token to be taken")
    file = paged.state / "tokens"
    assert file.stat().st_mode & 0o777 == 0o600
    assert token not in file.read_text() and token not in paged.output
    assert hashlib.sha256(token.encode()).hexdigest() in file.read_text()
    assert paged.richctl("token", "list") == "read       laptop\n"
    assert paged.richctl_json("token") == [{"name": "laptop", "rights": "read"}]


def test_who_had_a_token_that_is_removed_is_cut_and_others_are_not(paged):
    gone, stays = add_token(paged, "gone"), add_token(paged, "stays", "--rights", "read,write")
    wait_until(lambda: status_with(paged, stays) == 200, "the tokens to be taken")
    with WebSocket(paged, authorization=f"Bearer {gone}") as one, \
            WebSocket(paged, sec_websocket_protocol="richd.token") as other:
        assert one.ask("server.hello")["may_write"] is False
        assert other.ask("server.hello", token=stays)["may_write"] is True
        paged.richctl("token", "remove", "gone")
        with pytest.raises(ConnectionError):
            one.message()
        assert status_with(paged, gone) == 401
        assert other.ask("run.list")["total"] == 0
    own = paged.endpoints["page"].partition("#token=")[2]
    assert status_with(paged, own) == 200, "the page's own token is as it was"


def test_a_token_of_people_writes_if_it_may(paged):
    reads, writes = add_token(paged, "reads"), add_token(paged, "writes", "--rights", "read,write")
    wait_until(lambda: status_with(paged, writes) == 200, "the tokens to be taken")
    params = {"name": "mine", "query": "x=1"}
    with WebSocket(paged, authorization=f"Bearer {reads}") as ws:
        with pytest.raises(RpcError) as told:
            ws.ask("view.save", **params)
        assert told.value.code == -32003
    with WebSocket(paged, authorization=f"Bearer {writes}") as ws:
        ws.ask("view.save", **params)


def test_what_makes_no_sense_is_refused_and_changes_nothing(paged):
    add_token(paged, "laptop")
    before = (paged.state / "tokens").read_text()
    for words, code in [(("add", "laptop"), 1), (("remove", "other"), 1), (("add", "a b"), 64),
                        (("add",), 64), (("rename", "a"), 64),
                        (("add", "b", "--rights", "all"), 64)]:
        paged.richctl("token", *words, expect=code)
    assert (paged.state / "tokens").read_text() == before
    file = paged.state / "tokens"
    file.write_text("read short\n")
    wait_until(lambda: "stay as they were" in paged.output, "the bad file to be noticed")
    assert "line 1" in paged.output


def test_an_address_that_guesses_waits_and_others_do_not(proxied):
    guesser, neighbour = {"x_forwarded_for": "198.51.100.7"}, {"x_forwarded_for": "198.51.100.8"}
    good = f"Bearer {READ}"
    told = [request(proxied, "/metrics", authorization=bearer(i), **guesser) for i in range(25)]
    assert [answer.status for answer in told[:20]] == [401] * 20
    assert told[-1].status == 429
    assert 1 <= int(told[-1].headers["retry-after"]) <= 60
    assert "wait" in told[-1].text
    assert request(proxied, "/metrics", authorization=good, **guesser).status == 429
    assert request(proxied, "/metrics", authorization=good, **neighbour).status == 200
    assert request(proxied, "/", **guesser).status == 200, "the page itself holds no secret"
    assert "a wrong token from ::ffff:198.51.100.7" in proxied.output
    assert "wrong-token" not in proxied.output


def test_what_a_client_makes_up_in_front_of_its_address_is_not_believed(proxied):
    for i in range(25):
        answer = request(proxied, "/metrics", authorization=bearer(i),
                         x_forwarded_for=f"203.0.113.{i}, 198.51.100.7")
    assert answer.status == 429


def test_the_same_wrong_token_again_locks_nobody_out(proxied):
    client = {"x_forwarded_for": "198.51.100.7"}
    for _ in range(40):
        assert request(proxied, "/metrics", authorization=bearer(0), **client).status == 401
    assert request(proxied, "/metrics", authorization=f"Bearer {READ}", **client).status == 200


def test_guesses_over_the_websocket_count_as_well(proxied):
    client = {"x_forwarded_for": "198.51.100.7"}
    for i in range(20):
        with WebSocket(proxied, sec_websocket_protocol="richd.token", **client) as ws:
            with pytest.raises(Exception, match="token"):
                ws.ask("server.hello", token=f"wrong-token-{i:08}")
    assert request(proxied, "/metrics", authorization=f"Bearer {READ}", **client).status == 429


def test_on_the_loopback_a_right_token_always_gets_in(guarded):
    """It is all users of the machine: one of them could else lock the others out."""
    statuses = [request(guarded, "/metrics", authorization=bearer(i), x_forwarded_for=f"10.0.0.{i}")
                .status for i in range(25)]
    assert statuses == [401] * 20 + [429] * 5, "nobody named a proxy, so its word is not taken"
    assert request(guarded, "/metrics", authorization=f"Bearer {READ}").status == 200


def test_in_clear_a_network_reaches_it_through_named_proxies_alone(new_daemon):
    if host_address() is None:
        pytest.skip("this machine is in no network")
    for proxies, status in ("192.0.2.9", 403), (f"192.0.2.9, {host_address()}", 200):
        daemon = new_daemon("--http", "0.0.0.0:0", "--http-proxy", proxies).start()
        for path in "/healthz", "/":
            link = http.client.HTTPConnection(host_address(), port_of(daemon), timeout=PATIENCE_S)
            link.request("GET", path, headers={"Host": "localhost"})
            assert link.getresponse().status == status
            link.close()
        assert request(daemon, "/healthz").status == 200
        assert request(daemon, "/api/v1/runs").status == 401
        daemon.stop()


def test_over_tls_the_address_of_the_client_counts(new_daemon, tmp_path):
    if host_address() is None:
        pytest.skip("this machine is in no network")
    certificate = Certificate(tmp_path).make(names=f"IP:127.0.0.1,IP:{host_address()}")
    daemon = new_daemon("--http", "0.0.0.0:0", *certificate.flags).start()
    statuses = []
    for i in range(22):
        link = http.client.HTTPSConnection(host_address(), port_of(daemon), timeout=PATIENCE_S,
                                           context=certificate.client())
        link.request("GET", "/metrics", headers={"Authorization": bearer(i)})
        statuses.append(link.getresponse().status)
        link.close()
    assert statuses == [401] * 20 + [429] * 2
