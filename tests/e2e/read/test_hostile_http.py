"""What no browser sends: heads that two programs could read in two ways, WebSockets that break
their protocol, and those who are slow on purpose (proto/HTTP.md, Who may ask, Limits)."""

import socket
import struct
import time

import pytest

from harness import MEMORY_SLACK, PATIENCE_S, wait_until
from httpclient import CLOSE, PING, PONG, TEXT, WebSocket, connect, port_of, raw, request

pytestmark = pytest.mark.not_under("thread", because="the loop's thread alone decides on these")

LINE = b"GET /healthz HTTP/1.1\r\n"
HOST = b"Host: localhost\r\n"
END = b"Connection: close\r\n\r\n"
#: A request that must never be answered: it came inside of another one.
SMUGGLED = b"GET /metrics HTTP/1.1\r\n" + HOST + END


def post(*headers, body=b""):
    return (b"POST / HTTP/1.1\r\n" + HOST + b"".join(h + b"\r\n" for h in headers) + b"\r\n" + body)


def get(*headers, path=b"/healthz", body=b""):
    return (b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(h + b"\r\n" for h in headers)
            + END + body)


HEADS = {
    "content-length and chunked": (400, post(b"Content-Length: 6", b"Transfer-Encoding: chunked",
                                             body=b"0\r\n\r\n" + SMUGGLED)),
    "a body behind GET": (400, get(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED)),
    "a chunked body behind GET": (400, get(b"Transfer-Encoding: chunked",
                                           body=b"0\r\n\r\n" + SMUGGLED)),
    "chunked with a blank": (400, get(b"Transfer-Encoding : chunked", body=SMUGGLED)),
    "two lengths": (400, get(b"Content-Length: 0", b"Content-Length: 5", body=SMUGGLED)),
    "a negative length": (400, get(b"Content-Length: -1", body=SMUGGLED)),
    "a folded line": (400, get(b"X-A: b\r\n c")),
    "a folded Host": (400, LINE + b"Host: local\r\n host\r\n" + END),
    "lines without CR": (400, LINE.replace(b"\r", b"") + b"Host: localhost\n\n"),
    "lines without LF": (400, b"GET / HTTP/1.1\rHost: localhost\r\r"),
    "an empty line without CR": (400, LINE + HOST + b"\n" + SMUGGLED),
    "NUL in a header": (400, get(b"X: a\0b")),
    "NUL in Host": (400, LINE + b"Host: localhost\0evil\r\n" + END),
    "NUL in the path": (400, get(path=b"/heal\0thz")),
    "a coded NUL in the path": (400, get(path=b"/healthz%00")),
    "a coded NUL in the query": (400, get(path=b"/api/v1/runs?search=a%00b")),
    "a code that is none": (400, get(path=b"/api/v1/runs?search=%zz")),
    "half a code": (400, get(path=b"/%4")),
    "an absolute address": (400, get(path=b"http://localhost/healthz")),
    "an absolute address elsewhere": (400, get(path=b"http://evil.example/healthz")),
    "no path": (400, get(path=b"healthz")),
    "a star": (400, get(path=b"*")),
    "a header without a colon": (400, get(b"nothing")),
    "a header without a name": (400, get(b": nothing")),
    "a blank before the colon": (400, LINE + b"Host : localhost\r\n" + END),
    "two Hosts": (400, LINE + HOST + HOST + END),
    "no Host": (400, LINE + END),
    "no version": (400, b"GET /healthz\r\n" + HOST + END),
    "another version": (505, b"GET /healthz HTTP/9.9\r\n" + HOST + END),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\0\1\0\1\xfc\3\3" + bytes(200)),
    "TRACE": (405, b"TRACE / HTTP/1.1\r\n" + HOST + END),
    "a method of nobody": (405, b"FOO / HTTP/1.1\r\n" + HOST + END),
    "a method in small letters": (405, b"get / HTTP/1.1\r\n" + HOST + END),
    "OPTIONS of all": (405, b"OPTIONS * HTTP/1.1\r\n" + HOST + END),
    "a method for a foreign Host": (421, b"FOO / HTTP/1.1\r\nHost: evil.example\r\n" + END),
    "a header of 10 kB": (431, get(b"X-Long: " + b"a" * 10000)),
    "a path of 10 kB": (431, get(path=b"/" + b"a" * 10000)),
    "1,000 headers": (431, get(*(b"X-%d: v" % i for i in range(1000)))),
    "a path of 2 KiB": (400, get(path=b"/" + b"a" * 2048)),
    "headers of one letter": (200, get(*(b"%c: x" % c for c in range(ord("a"), ord("z") + 1)))),
    "empty parts of a query": (200, get(path=b"/api/v1/runs?&limit=5&&")),
    "an empty line in front": (200, b"\r\n" + get()),
    "HTTP/1.0": (200, b"GET /healthz HTTP/1.0\r\n" + HOST + b"\r\n"),
    "an upgrade to HTTP/2": (200, LINE + HOST + b"Connection: Upgrade, close\r\n"
                                  b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"),
    "an upgrade to nothing": (404, b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\n"
                                   b"Upgrade: h2c\r\n\r\n"),
    "an upgrade without a key": (400, b"GET /ws HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\n"
                                      b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n"),
    "an upgrade of an older version": (426, b"GET /ws HTTP/1.1\r\n" + HOST +
                                       b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
                                       b"Sec-WebSocket-Version: 8\r\n"
                                       b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"),
}


def check_refusal(name, answer, status):
    head = answer.partition(b"\r\n\r\n")[0].decode()
    assert head.startswith(f"HTTP/1.1 {status} "), (name, answer)
    assert "\r\ncontent-security-policy: default-src 'none';" in head, name
    assert "\r\nx-content-type-options: nosniff" in head, name
    assert b"richd_uptime" not in answer, f"{name}: a request inside of another one was answered"


def test_each_head_has_one_answer_of_ours(web):
    for name, (status, head) in HEADS.items():
        check_refusal(name, raw(web, head), status)
    assert request(web, "/healthz").status == 200


def test_a_second_request_is_read_as_strictly_as_the_first(web):
    """What a library would let pass on a connection that is kept."""
    for name, (status, head) in HEADS.items():
        with connect(web) as sock:
            sock.sendall(LINE + HOST + b"\r\n" + head)
            answer = b""
            while piece := receive(sock):
                answer += piece
        first, _, second = answer.partition(b"alive\n")
        assert first.startswith(b"HTTP/1.1 200 "), (name, answer)
        check_refusal(name, second, status)


def receive(sock):
    try:
        return sock.recv(65536)
    except ConnectionResetError:
        return b""


def test_half_a_head_and_an_end_is_forgotten(web):
    for head in b"", b"GET / HTTP/1.1\r\nHost: loc", LINE + HOST:
        with connect(web) as sock:
            sock.sendall(head)
            sock.shutdown(socket.SHUT_WR)
            assert receive(sock) == b""


def test_a_head_may_come_a_byte_at_a_time(web):
    with connect(web) as sock:
        for byte in get():
            sock.sendall(bytes([byte]))
        assert receive(sock).startswith(b"HTTP/1.1 200 ")


# ---- WebSockets ----------------------------------------------------------------------------------


def masked(data, mask=b"\1\2\3\4"):
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def frame(first, payload=b"", length=None, is_masked=True):
    """A frame with this first byte; `length` is what it claims."""
    size = len(payload) if length is None else length
    head = bytes([first])
    bit = 0x80 if is_masked else 0
    if size < 126:
        head += bytes([bit | size])
    elif size < 65536:
        head += bytes([bit | 126]) + struct.pack(">H", size)
    else:
        head += bytes([bit | 127]) + struct.pack(">Q", size)
    return head + (b"\1\2\3\4" + masked(payload) if is_masked else payload)


FINAL = 0x80
BROKEN_FRAMES = {
    "reserved bit 1": frame(FINAL | 0x40 | TEXT, b"{}"),
    "reserved bit 2": frame(FINAL | 0x20 | TEXT, b"{}"),
    "reserved bit 3": frame(FINAL | 0x10 | TEXT, b"{}"),
    "an opcode of nobody": frame(FINAL | 3, b"{}"),
    "a control opcode of nobody": frame(FINAL | 11, b"{}"),
    "a ping in fragments": frame(PING, b"x"),
    "a ping of 126 bytes": frame(FINAL | PING, b"x" * 126),
    "a continuation of nothing": frame(FINAL | 0, b"{}"),
    "a length beyond 63 bits": bytes([FINAL | TEXT, 0xFF]) + b"\xff" * 8 + b"\1\2\3\4",
}


def is_ended(ws):
    """Reads until the other side closes, or says that it does."""
    try:
        while ws.frame()[0] != CLOSE:
            pass
    except ConnectionError:
        pass
    return True


def test_a_frame_that_breaks_the_protocol_ends_its_connection(web):
    with WebSocket(web) as witness:
        for data in BROKEN_FRAMES.values():
            with WebSocket(web) as ws:
                ws.sock.sendall(data)
                assert is_ended(ws)
            assert witness.ask("run.list")["total"] == 0


def test_a_frame_without_a_mask_harms_nobody(web):
    """libwebsockets takes it, where RFC 6455 would have it refused."""
    with WebSocket(web) as ws, WebSocket(web) as witness:
        ws.sock.sendall(frame(FINAL | TEXT, b"{}", is_masked=False))
        assert ws.message()["error"]["code"] == -32600
        assert witness.ask("run.list")["total"] == 0


def test_a_frame_that_claims_more_than_a_message_costs_nothing(web):
    before = web.resident_bytes()
    with WebSocket(web) as ws:
        ws.sock.sendall(frame(FINAL | TEXT, b"x" * 65536, length=1 << 40))
        ws.sock.settimeout(PATIENCE_S)
        sent = 0
        try:
            while sent < (4 << 20):
                ws.sock.sendall(b"x" * 65536)
                sent += 65536
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert is_ended(ws)
    web.assert_grew_less(before, 16 << 20)


def test_fragments_without_end_are_bounded(web):
    before = web.resident_bytes()
    with WebSocket(web) as ws:
        ws.send(b"{", final=False)
        try:
            for _ in range(200):
                ws.send(b" " * 10000, opcode=0, final=False)
            assert ws.message()["error"]["code"] == -32600
        except (BrokenPipeError, ConnectionResetError):
            pass
        assert is_ended(ws)
    web.assert_grew_less(before, 16 << 20)


def test_fragments_of_one_byte_are_one_message(web):
    text = b'{"jsonrpc":"2.0","id":1,"method":"server.hello"}'
    with WebSocket(web) as ws:
        for i, byte in enumerate(text):
            ws.send(bytes([byte]), opcode=0 if i else TEXT, final=i == len(text) - 1)
            ws.send(b"", PING)  # control frames may stand between
        pongs = 0
        while (got := ws.frame())[0] == PONG:
            pongs += 1
        assert b'"server":"richd"' in got[2]
        assert pongs > 0


def test_a_flood_of_pings_holds_nobody_up(web):
    before = web.resident_bytes()
    flood = frame(FINAL | PING, b"x" * 100) * 1000
    with WebSocket(web) as ws, WebSocket(web) as witness:
        ws.sock.setblocking(False)
        sent, deadline = 0, time.monotonic() + 1
        while sent < (8 << 20) and time.monotonic() < deadline:
            try:
                sent += ws.sock.send(flood)
            except BlockingIOError:
                assert witness.ask("run.list")["total"] == 0
            except OSError:
                break  # cut, which it may be
        assert witness.ask("run.list")["total"] == 0
        assert request(web, "/healthz").status == 200
    web.assert_grew_less(before, 16 << 20)


def test_who_leaves_in_the_middle_of_a_frame_is_forgotten(web):
    for data in b"\x81", frame(FINAL | TEXT, b"{}")[:3], frame(TEXT, b"{"), b"":
        with WebSocket(web) as ws:
            ws.sock.sendall(data)
    wait_until(lambda: web.rpc("server.status")["connections"] == 1, "them to be gone")


def test_a_close_is_answered_by_a_close(web):
    with WebSocket(web) as ws:
        ws.send(struct.pack(">H", 1000), CLOSE)
        assert ws.frame()[0] == CLOSE


# ---- who is slow on purpose ----------------------------------------------------------------------


def test_who_sends_nothing_costs_no_time(web):
    idle = [connect(web) for _ in range(100)] + [WebSocket(web).sock for _ in range(100)]
    before = web.cpu_seconds()
    for _ in range(20):
        assert request(web, "/healthz").status == 200
    assert web.cpu_seconds() - before < MEMORY_SLACK * 0.5
    for sock in idle:
        sock.close()


def seconds_until_cut(sock, data):
    """For how long the other side takes one more `data` each second."""
    began = time.monotonic()
    sock.settimeout(1)
    while time.monotonic() - began < 100:
        try:
            sock.sendall(data)
            if sock.recv(1) == b"":
                break
        except TimeoutError:
            pass
        except OSError:
            break
    return time.monotonic() - began


FILE = b"/vendor/uPlot.iife.min.js"
N_FILES = 600  # 30 MB, of which the kernel takes some


def stalled_page(web):
    """It asks for the page's files and takes nothing. The kernel takes whole pieces until it is
    full: nothing of ours waits then."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", port_of(web)))
    sock.sendall(get(path=FILE).replace(b"Connection: close\r\n", b"") * N_FILES)
    return sock


def count_bytes(sock):
    """How many come until the other side ends."""
    n = 0
    sock.settimeout(PATIENCE_S)
    try:
        while piece := sock.recv(1 << 20):
            n += len(piece)
    except ConnectionResetError:
        pass
    return n


@pytest.mark.long
def test_who_takes_long_is_cut_at_the_stated_time(web):
    with connect(web) as idle, stalled_page(web) as stalled:
        began = time.monotonic()
        for begin, more in (b"GET / HTTP/1.1\r\nHost: loc", b"a"), (b"\r\n", b"\r\n"):
            with connect(web) as slow:
                slow.sendall(begin)
                assert 13 < seconds_until_cut(slow, more) < 30, "15 s, and a slow machine's delay"
        with connect(web) as slow:
            slow.sendall(b"POST /api/v1/rpc HTTP/1.1\r\nContent-Type: application/json\r\n"
                         b"Content-Length: 1000\r\n" + HOST + b"\r\n")
            assert 27 < seconds_until_cut(slow, b" ") < 50, "30 s, and a slow machine's delay"
        idle.settimeout(100)
        assert idle.recv(1) == b""
        assert 55 < time.monotonic() - began < 90, "60 s, and a slow machine's delay"
        size = len(request(web, FILE.decode()).raw)
        assert count_bytes(stalled) < N_FILES * size // 2, "30 s"
