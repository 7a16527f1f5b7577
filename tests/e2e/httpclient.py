"""Requests and WebSockets over plain sockets, so that a test may send what a library would not."""

import base64
import gzip
import hashlib
import http.client
import json
import os
import socket
import struct
import subprocess

from harness import PATIENCE_S, RpcError

#: RFC 6455, section 1.3.
ACCEPT_SUFFIX = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
#: The tokens of a daemon that wants some.
READ, WRITE = "read-0123456789abcdef", "write-0123456789abcdef"


def port_of(daemon):
    return int(daemon.endpoints["http"].rpartition(":")[2])


def brotli_decompress(body):
    return subprocess.run(["brotli", "-dc"], input=body, capture_output=True, check=True).stdout


UNPACK = {None: bytes, "gzip": gzip.decompress, "br": brotli_decompress}


class Answer:
    """A response: `status`, `headers` (lower-case names) and `body` (bytes, decompressed)."""

    def __init__(self, response, body):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.raw = body
        self.body = UNPACK[self.headers.get("content-encoding")](body)

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json.loads(self.body)


def request(daemon, path, method="GET", body=None, tls=None, **headers):
    """One request, over TLS where `tls` is an SSLContext. Headers are given with underscores:
    `if_none_match=...`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    where = {"host": "127.0.0.1", "port": port_of(daemon), "timeout": PATIENCE_S}
    connection = (http.client.HTTPSConnection(**where, context=tls) if tls else
                  http.client.HTTPConnection(**where))
    try:
        connection.request(method, path, body, named)
        response = connection.getresponse()
        return Answer(response, response.read())
    finally:
        connection.close()


def raw(daemon, data, timeout=PATIENCE_S):
    """What the daemon sends for exactly these bytes until it closes (b"" when it only closes)."""
    with connect(daemon, timeout) as sock:
        sock.sendall(data)
        answer = b""
        try:
            while piece := sock.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
        return answer


def connect(daemon, timeout=PATIENCE_S):
    return socket.create_connection(("127.0.0.1", port_of(daemon)), timeout=timeout)


class Refused(Exception):
    """The upgrade was answered with another status than 101."""

    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status = status


class WebSocket:
    """A WebSocket whose texts are FEED.md's objects."""

    def __init__(self, daemon, path="/ws", receive_buffer=None, tls=None, **headers):
        self.sock = socket.socket()
        self.sock.settimeout(PATIENCE_S)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.connect(("127.0.0.1", port_of(daemon)))
        if tls:
            self.sock = tls.wrap_socket(self.sock, server_hostname="127.0.0.1")
        self.buffer = b""
        self.updates = []
        self.next_id = 0
        try:
            self._upgrade(path, {"Host": f"127.0.0.1:{port_of(daemon)}",
                                 **{k.replace("_", "-"): v for k, v in headers.items()}})
        except BaseException:
            self.sock.close()
            raise

    def _upgrade(self, path, headers):
        key = base64.b64encode(os.urandom(16))
        lines = [f"GET {path} HTTP/1.1", "Upgrade: websocket", "Connection: Upgrade",
                 f"Sec-WebSocket-Key: {key.decode()}", "Sec-WebSocket-Version: 13",
                 *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        self.sock.sendall("\r\n".join(lines).encode())
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self._receive()
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        self.head = head.decode()
        status = int(head.split()[1])
        if status != 101:
            raise Refused(status, self.head)
        accept = base64.b64encode(hashlib.sha1(key + ACCEPT_SUFFIX).digest()).decode()
        assert accept in self.head

    def _receive(self):
        piece = self.sock.recv(1 << 20)
        if not piece:
            raise ConnectionError("closed")
        return piece

    def _exactly(self, size):
        while len(self.buffer) < size:
            self.buffer += self._receive()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def send(self, data, opcode=TEXT, final=True):
        mask = os.urandom(4)
        size = len(data)
        head = bytes([opcode | (0x80 if final else 0)])
        if size < 126:
            head += bytes([0x80 | size])
        elif size < 65536:
            head += bytes([0x80 | 126]) + struct.pack(">H", size)
        else:
            head += bytes([0x80 | 127]) + struct.pack(">Q", size)
        pad = (mask * (size // 4 + 1))[:size]
        masked = (int.from_bytes(data, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big")
        self.sock.sendall(head + mask + masked)

    def frame(self):
        """The next frame as (opcode, final, payload)."""
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            size = struct.unpack(">H", self._exactly(2))[0]
        elif size == 127:
            size = struct.unpack(">Q", self._exactly(8))[0]
        return first & 15, bool(first & 0x80), self._exactly(size)

    def message(self):
        """The next text, of as many frames as it has; pings are answered."""
        text = b""
        while True:
            opcode, final, payload = self.frame()
            if opcode == PING:
                self.send(payload, PONG)
                continue
            if opcode == CLOSE:
                raise ConnectionError(f"closed: {struct.unpack('>H', payload[:2])[0]}")
            text += payload
            if final:
                return json.loads(text)

    def ask(self, method, **params):
        """The answer to one request; updates that come before it are kept in `updates`."""
        self.next_id += 1
        self.send(json.dumps({"jsonrpc": "2.0", "id": self.next_id, "method": method,
                              "params": params}).encode())
        while True:
            message = self.message()
            if "method" in message:
                self.updates.append(message)
            elif "error" in message:
                raise RpcError(message["error"])
            else:
                assert message["id"] == self.next_id
                return message["result"]

    def update(self):
        """The next notification."""
        return self.updates.pop(0) if self.updates else self.message()

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
