"""The daemon over HTTP (proto/HTTP.md): the page, the WebSocket, and who is let in."""

import json
import mimetypes
import re
import resource
import signal
import socket
import time

import pytest

from harness import PATIENCE_S, ROOT, RpcError, free_port, richd, wait_until
from httpclient import (BINARY, PING, PONG, READ, WRITE, Refused, WebSocket, connect, port_of, raw,
                        request)

PAGE = ROOT / "client" / "dashboard"
ON_THE_LOOP = pytest.mark.not_under("thread", because="the loop's thread alone decides on this")


# ---- the page -------------------------------------------------------------------------------------


def served(file):
    """A file of the page as it is sent: lines of ours that are comments are empty, others are not
    indented and have none."""
    text = file.read_bytes()
    if "vendor" in file.parts or file.suffix not in (".js", ".css", ".html"):
        return text
    if file.suffix == ".html":
        return re.sub(rb"^ +", b"", text, flags=re.M)
    lines, in_comment = [], False
    for line in text.split(b"\n"):
        bare = line.strip()
        begins = bare.startswith(b"/*")
        is_one = in_comment or bare.startswith(b"//") or begins and bare.endswith(b"*/") or (
            begins and b"*/" not in bare)
        in_comment = (in_comment or begins) and b"*/" not in bare
        code = re.sub(rb"/\*\* [^*]*\*/ ?", b"", line.lstrip(b" "))
        code = re.sub(rb" // [^\"`]*$", b"", code)
        lines.append(b"" if is_one else code)
    return b"\n".join(lines)


def test_the_page_is_served_from_the_binary(web):
    answer = request(web, "/")
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.body == served(PAGE / "index.html")


def test_every_file_of_the_page_is_served_without_its_comments_and_compressed(web):
    types = {".html", ".js", ".css", ".json", ".svg", ".png", ".ico"}
    files = [f for f in [*PAGE.glob("*"), *PAGE.glob("vendor/*")] if f.suffix in types]
    for file in files:
        path = f"/{file.relative_to(PAGE)}"
        plain, packed, small = (request(web, path, accept_encoding=words)
                                for words in ("xbr, brx, gzip;q=0", "deflate,gzip", "gzip, br"))
        assert plain.body == packed.body == small.body
        assert file.name == "main.js" or plain.body == served(file)
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert small.headers["content-encoding"] == "br"
        assert len({answer.headers["etag"] for answer in (plain, packed, small)}) == 3
        guess = mimetypes.guess_type(file.name)[0].replace("application/java", "text/java")
        assert plain.headers["content-type"].partition(";")[0] == guess.replace("vnd.microsoft.icon",
                                                                                "x-icon")


def test_the_program_is_one_file_in_which_each_module_has_its_lines(web):
    """Each is the body of a function, which returns what it exports, after those it imports from."""
    lines = request(web, "/main.js").body.splitlines()
    modules = {b"module_" + "_".join(file.relative_to(PAGE).with_suffix("").parts).encode(): file
               for file in PAGE.rglob("*.js") if "vendor" not in file.parts}
    differs = re.compile(rb"^(import|export|const \{|\}) ?.*")
    while lines:
        name = lines.pop(0).split()[1]
        file = modules.pop(name)
        source = served(file).splitlines()
        sent, lines = lines[:len(source)], lines[len(source):]
        for ours, theirs in zip(source, sent):
            assert theirs == ours.removeprefix(b"export ") or differs.match(theirs), (file, ours)
        for other in re.findall(rb"^.*\} = (module_\w+);$", b"\n".join(sent), re.M):
            assert other not in modules and other != name
        exported = re.findall(rb"^export (?:async )?(?:const|function|class) (\w+)",
                              b"\n".join(source), re.M)
        assert lines[0] == b"return { " + b", ".join(exported) + b", };" or not exported
        assert lines[1] == b"})();"
        lines = lines[2:]
    assert not modules, "some that no other imports"
    assert request(web, "/base/axis.js").status == 404


def test_a_file_that_the_browser_has_is_not_sent_again(web):
    first = request(web, "/", accept_encoding="gzip")
    again = request(web, "/", accept_encoding="gzip", if_none_match=first.headers["etag"])
    plain = request(web, "/", if_none_match=first.headers["etag"])
    assert (again.status, again.raw) == (304, b"")
    assert plain.status == 200, "the tag of the compressed form is not that of the plain one"


def test_head_is_get_without_the_body(web):
    head, get = request(web, "/", "HEAD"), request(web, "/")
    assert (head.status, head.raw) == (200, b"")
    assert head.headers == get.headers


def test_the_page_may_load_from_itself_alone(web):
    policy = request(web, "/").headers["content-security-policy"].split("; ")
    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    assert not any("unsafe" in rule or "*" in rule or "http" in rule for rule in policy)


def test_a_connection_is_kept_for_further_requests(web):
    with connect(web) as sock:
        for _ in range(3):
            sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            answer = b""
            while not answer.endswith(b"alive\n"):
                answer += sock.recv(65536)


def test_health_and_readiness_are_told_apart(web):
    assert (request(web, "/healthz").status, request(web, "/healthz").text) == (200, "alive\n")
    assert (request(web, "/readyz").status, request(web, "/readyz").text) == (200, "ready\n")


# ---- the WebSocket --------------------------------------------------------------------------------


def test_the_websocket_answers_as_the_unix_socket_does(web, new_run):
    with WebSocket(web) as ws:
        hello = web.rpc("server.hello")
        assert hello["may_write"] is True
        assert ws.ask("server.hello") == {**hello, "may_write": False}
        for method, params in [("run.list", {}), ("run.list", {"limit": 0})]:
            assert ws.ask(method, **params) == web.rpc(method, **params)
        with pytest.raises(RpcError, match="no run") as told:
            ws.ask("run.get", run="x")
        assert told.value.code == -32001


def test_requests_sent_at_once_are_answered_in_order(web):
    with WebSocket(web) as ws:
        for i in range(1000):
            ws.send(json.dumps({"jsonrpc": "2.0", "id": i, "method": "run.list"}).encode())
        assert [ws.message()["id"] for _ in range(1000)] == list(range(1000))


def test_a_message_may_come_in_fragments(web):
    with WebSocket(web) as ws:
        ws.send(b'{"jsonrpc":"2.0","id":7,', final=False)
        ws.send(b'"method":"server.hello"}', opcode=0)
        assert ws.message()["id"] == 7


def test_an_empty_message_is_not_json_and_harms_nothing(web):
    with WebSocket(web) as ws:
        ws.send(b"")
        assert ws.message()["error"]["code"] == -32700
        ws.send(b"", PING)
        assert ws.frame() == (PONG, True, b"")
        ws.ask("server.hello")


def test_binary_and_endless_messages_are_refused(web):
    with WebSocket(web) as ws:
        ws.send(b"{}", BINARY)
        assert ws.message()["error"]["code"] == -32700
        with pytest.raises(ConnectionError):
            ws.message()
    with WebSocket(web) as ws:
        ws.send(b" " * ((1 << 20) + 1))
        assert ws.message()["error"]["code"] == -32600


# ---- who is let in --------------------------------------------------------------------------------


def look_alikes(port):
    return ["http://evil.example", "null", f"http://localhost.evil.example:{port}",
            f"http://127.0.0.1:{port}.evil.example", f"http://127.0.0.1:{port}0",
            f"https://evil.example/http://127.0.0.1:{port}", f"ftp://127.0.0.1:{port}",
            f"http://127.0.0.1:{port}/", f"http://user@127.0.0.1:{port}", "http://127.0.0.1"]


@ON_THE_LOOP
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example",
                                  "localhost:80:80", "localhost:", "127.0.0.10", "[::1].evil",
                                  "localhost, localhost", "user@localhost"])
def test_a_foreign_host_is_refused(web, host):
    assert request(web, "/", Host=host).status == 421
    with pytest.raises(Refused) as told:
        WebSocket(web, Host=host)
    assert told.value.status == 421


@ON_THE_LOOP
@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:65535", "[::1]:8080"])
def test_the_loopback_has_many_names_and_through_a_tunnel_any_port(web, host):
    assert request(web, "/", Host=host, Origin=f"http://{host}").status == 200


def test_two_hosts_or_none_are_refused(web):
    two = raw(web, b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n")
    none = raw(web, b"GET / HTTP/1.1\r\n\r\n")
    assert b" 200 " not in two and b" 200 " not in none


@ON_THE_LOOP
def test_a_foreign_or_look_alike_origin_is_refused(web):
    port = port_of(web)
    for origin in look_alikes(port):
        assert request(web, "/", Origin=origin).status == 403, origin
        with pytest.raises(Refused) as told:
            WebSocket(web, Origin=origin)
        assert told.value.status == 403, origin
    for scheme in "http", "https":
        with WebSocket(web, Origin=f"{scheme}://127.0.0.1:{port}") as ws:
            ws.ask("server.hello")


def test_another_name_is_let_in_when_it_is_configured(new_daemon):
    web = new_daemon("--http", "127.0.0.1:0", "--http-host", "hub.example.org,lab").start()
    for host in "hub.example.org", "lab:8443":
        assert request(web, "/", Host=host, Origin=f"https://{host}").status == 200
    for host in "hub.example.org.evil", "example.org", "b", "hub.example.org,lab", ",":
        assert request(web, "/", Host=host).status == 421, host


@ON_THE_LOOP
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH", "POST", "OPTIONS"])
def test_methods_that_change_are_denied(web, guarded, method):
    for path in "/", "/ws", "/nothing":
        answer = request(web, path, method, body=b"x=1")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
        assert request(guarded, path, method).status in (401, 405)


def test_methods_that_do_not_exist_are_denied(web):
    for line in b"FOO / HTTP/1.1", b"CONNECT evil.example:80 HTTP/1.1":
        assert b" 200 " not in raw(web, line + b"\r\nHost: localhost\r\n\r\n")
    assert request(web, "/").status == 200


@ON_THE_LOOP
@pytest.mark.parametrize("path", ["/../etc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
                                  "/..%2f..%2fetc%2fpasswd", "/index.html/", "/index.html%00.js",
                                  "/\\..\\..", "/%", "/%zz", "etc/passwd", "*", "/ws/", "/ws%00",
                                  "http://127.0.0.1/../etc/passwd", "/api/v1/../../etc/passwd"])
def test_tricks_with_paths_find_nothing(web, path):
    answer = raw(web, b"GET " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n"
                      b"Connection: close\r\n\r\n")
    assert not answer or answer.split()[1] in (b"400", b"403", b"404"), answer
    assert b"root:" not in answer


@ON_THE_LOOP
def test_without_a_token_nothing_of_the_runs_is_told(guarded):
    wrong = [{}, {"authorization": "Bearer wrong-0123456789abcdef"}, {"authorization": READ},
             {"authorization": "Bearer " + READ[:-1]}, {"authorization": "Bearer " + READ + "x"},
             {"authorization": "Basic " + READ}, {"authorization": "Bearer"}]
    for headers in wrong:
        assert request(guarded, "/nothing", **headers).status == 401
        with pytest.raises(Refused) as told:
            WebSocket(guarded, **headers)
        assert told.value.status == 401
    assert request(guarded, "/nothing").headers["www-authenticate"].startswith("Bearer")
    assert request(guarded, "/").status == 200, "the page itself holds no secret"


def test_a_token_for_writing_does_not_read(guarded):
    assert request(guarded, "/nothing", authorization="Bearer " + WRITE).status == 403
    with pytest.raises(Refused) as told:
        WebSocket(guarded, authorization="Bearer " + WRITE)
    assert told.value.status == 403


def test_a_token_for_reading_opens_the_websocket(guarded):
    assert request(guarded, "/nothing", authorization="Bearer " + READ).status == 404
    with WebSocket(guarded, authorization="Bearer " + READ) as ws:
        assert ws.ask("run.list")["total"] == 0


def test_a_browser_says_its_token_in_the_first_message(guarded):
    with WebSocket(guarded, sec_websocket_protocol="richd.token") as ws:
        assert "Sec-WebSocket-Protocol: richd.token" in ws.head
        assert ws.ask("server.hello", token=READ)["may_write"] is False
        assert ws.ask("run.list")["total"] == 0


@ON_THE_LOOP
@pytest.mark.parametrize("first", [("run.list", {}), ("server.hello", {}),
                                   ("server.hello", {"token": WRITE}),
                                   ("server.hello", {"token": "wrong-0123456789abcdef"})])
def test_a_first_message_without_the_token_ends_the_connection(guarded, first):
    with WebSocket(guarded, sec_websocket_protocol="richd.token") as ws:
        with pytest.raises(RpcError) as told:
            ws.ask(first[0], **first[1])
        assert told.value.code == -32003
        with pytest.raises(ConnectionError):
            ws.message()


def test_sighup_reads_the_tokens_again_and_cuts_who_may_read_no_more(guarded):
    fresh = "read-fedcba9876543210"
    tokens = guarded.flags[-1]
    with WebSocket(guarded, authorization="Bearer " + READ) as ws:
        ws.ask("server.hello")
        tokens.write_text(f"read {fresh}\n")
        guarded.signal(signal.SIGHUP)
        with pytest.raises(ConnectionError):
            ws.message()
    assert request(guarded, "/nothing", authorization="Bearer " + fresh).status == 404
    assert request(guarded, "/nothing", authorization="Bearer " + READ).status == 401
    tokens.write_text("")
    guarded.signal(signal.SIGHUP)
    wait_until(lambda: "no token" in guarded.output, "the empty file to be refused")
    assert request(guarded, "/nothing", authorization="Bearer " + fresh).status == 404


@ON_THE_LOOP
def test_a_network_address_in_clear_is_refused():
    for address in "0.0.0.0:0", "[::]:0", "192.0.2.1:80":
        refused = richd("--http", address, "--check-config")
        assert (refused.returncode, "tls-certificate" in refused.stderr) == (78, True)
    for address in "hub:80", "127.0.0.1", "127.0.0.1:x", "[127.0.0.1]:80", "::1:80", ":80":
        assert richd("--http", address, "--check-config").returncode == 78, address


@pytest.mark.parametrize("asked, others", [("127.0.0.2", ["127.0.0.1", "::1"]),
                                           ("[::1]", ["127.0.0.1"])])
def test_it_listens_at_that_address_alone(new_daemon, asked, others):
    web = new_daemon("--http", f"{asked}:{free_port()}").start()
    assert web.endpoints["http"] == f"http://{asked}:{port_of(web)}"
    with socket.create_connection((asked.strip("[]"), port_of(web)), PATIENCE_S) as sock:
        sock.sendall(f"GET /healthz HTTP/1.1\r\nHost: {asked}\r\n\r\n".encode())
        assert sock.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    for other in others:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((other, port_of(web)), PATIENCE_S)


@ON_THE_LOOP
def test_a_token_file_must_be_private_and_hold_tokens(new_daemon, tmp_path):
    tokens = tmp_path / "tokens"
    for text, mode, why in [(f"read {READ}\n", 0o644, "chmod 600"), ("", 0o600, "no token"),
                            ("read short\n", 0o600, "16 to 256"),
                            (f"admin {READ}\n", 0o600, "line 1")]:
        tokens.write_text(text)
        tokens.chmod(mode)
        refused = richd("--http", "127.0.0.1:0", "--token-file", str(tokens), "--state-dir",
                        str(tmp_path / "state"), "--runtime-dir", str(tmp_path / "run"))
        assert (refused.returncode, why in refused.stderr) == (78, True), refused.stderr


def test_an_address_in_use_is_refused_by_name(web, tmp_path):
    refused = richd("--http", f"127.0.0.1:{port_of(web)}", "--state-dir", str(tmp_path / "state"),
                    "--runtime-dir", str(tmp_path / "run"))
    assert refused.returncode == 69
    assert f"127.0.0.1:{port_of(web)}" in refused.stderr
    assert f"in use (held by richd, pid {web.pid})" in refused.stderr


# ---- those who are slow, or do nothing -----------------------------------------------------------


def test_two_hundred_idle_connections_and_websockets_hold_nobody_up(web):
    before = web.resident_bytes()
    idle = [connect(web) for _ in range(200)]
    sockets = [WebSocket(web) for _ in range(200)]
    web.assert_grew_less(before, 400 * 16384)
    began = time.monotonic()
    assert request(web, "/healthz").status == 200
    assert sockets[-1].ask("run.list")["total"] == 0
    assert time.monotonic() - began < PATIENCE_S / 10
    for sock in idle + sockets:
        sock.close()
    wait_until(lambda: web.rpc("server.status")["connections"] == 1, "the WebSockets to be gone")


@pytest.mark.long
def test_without_descriptors_nothing_spins_and_who_is_in_is_served(new_daemon):
    web = new_daemon("--http", "127.0.0.1:0")
    web.preexec = lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (160, 160))
    web.start()
    with WebSocket(web) as ws:
        more = [connect(web) for _ in range(250)]
        ws.ask("server.hello")
        before = web.cpu_seconds()
        time.sleep(3)
        assert web.cpu_seconds() - before < 0.5
        ws.ask("server.hello")
        for sock in more:
            sock.close()
        assert request(web, "/healthz").status == 200


def test_beyond_1024_connections_the_newest_waits(new_daemon):
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    web = new_daemon("--http", "127.0.0.1:0").start()
    first = [connect(web) for _ in range(1024)]
    newest = connect(web, timeout=0.5)
    for sock in first[-1], newest:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert first[-1].recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(TimeoutError):
        newest.recv(1)
    for sock in first:
        sock.close()
    newest.settimeout(PATIENCE_S)
    assert newest.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    newest.close()


@pytest.mark.long
def test_half_a_request_a_byte_a_second_is_cut(web):
    slow = [connect(web) for _ in range(200)]
    for sock in slow:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        sock.setblocking(False)
    open_still, deadline = set(slow), time.monotonic() + 45
    while open_still and time.monotonic() < deadline:
        time.sleep(1)
        assert request(web, "/healthz").status == 200
        for sock in list(open_still):
            if is_cut(sock):
                open_still.remove(sock)
    for sock in slow:
        sock.close()
    assert not open_still, f"{len(open_still)} are still open after 45 s"


def is_cut(sock):
    """Sends one more byte of the head; whether the other side has closed."""
    try:
        sock.send(b"a")
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except (ConnectionError, socket.timeout):
        return True
