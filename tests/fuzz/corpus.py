#!/usr/bin/env python3
"""Writes the inputs that each fuzz target begins with: the vectors of proto, and what tests send.

    tests/fuzz/corpus.py FOLDER

makes FOLDER/TARGET/N for the targets wire, control, feed, config, access, route and message.
"""

import itertools
import json
import pathlib
import struct
import sys

VECTORS = pathlib.Path("proto/vectors")


def vectors(name: str) -> list[dict]:
    """The vectors of one file."""
    return json.loads((VECTORS / f"{name}.json").read_text())


def framed(frames: list[bytes]) -> bytes:
    """Frames as fuzz_wire.c takes them apart; a longer frame than its length says is cut."""
    return b"".join(struct.pack("<H", min(len(f), 65535)) + f[:65535] for f in frames)


def wire() -> list[bytes]:
    """Whole messages, and headers alone."""
    messages = [[bytes.fromhex(f) for f in v["frames"]] for v in vectors("messages")]
    headers = [[bytes.fromhex(v["hex"]), b"head"] for v in vectors("wire")]
    return [framed(frames) for frames in messages + headers]


def control() -> list[bytes]:
    """Messages of both directions."""
    return [v["text"].encode() for v in vectors("control")]


def feed() -> list[bytes]:
    """Requests, good and bad."""
    return [v["request"].encode() for v in vectors("feed")]


def config() -> list[bytes]:
    """Files, and flags in front of a file."""
    names = ["state-dir", "runtime-dir", "listen", "feed", "socket-group", "http", "http-host",
             "token-file", "on-event", "nice", "ranks-wait", "idle-exit", "log-level"]
    values = ["/tmp/a", "ipc:///tmp/a", "unix:/tmp/a", "tcp:127.0.0.1:80", "[::1]:80", "info", "0",
              "19", "600", "601", "-1", "1e3", "a ; b", " ; b", "a#b"]
    files = [f"{name} = {value}\n" for name, value in itertools.product(names, values)]
    odd = ["", "\n", "[section]\n", "nice\n", "nice =\n", "= 3\n", "; nice = 3\n", "# nice = 3\n",
           "nice : 3\n", "nice = 3\n  4\n", "\ufeffnice = 3\n", "nice = 3\rlog-level = warn\n",
           "config = x\n", "x" * 300 + " = 1\n", "nice = " + " " * 300 + "3\n", "log-level=debug"]
    flags = ["--nice\n3\n\n", "--nice=3\n\nnice = 4\n", "--version\n\n", "--check-config\n\n",
             "--print-config\n\nnice = 4\n", "--nice\n\n", "--x=1\n\n", "-nice\n\n", "-h\n\n",
             "-h=1\n\n", "--nce\n3\n\n", "\n\nnce = 3\n"]
    return [text.encode() for text in files + odd + flags]


def access() -> list[bytes]:
    """Host, Origin, Authorization, token."""
    hosts = ["localhost", "LOCALHOST:80", "127.0.0.1:8080", "[::1]:1", "[::1]", "127.0.0.7",
             "gpu3.example.org:1", "gpu3", "evil", "localhost.evil", "localhost:", "localhost:a",
             "[::1", "gpu3,gpu3.example.org", "", ":80", ",", "127.0.0.1@evil"]
    tokens = ["0123456789abcdef", "fedcba9876543210", "0123456789abcde", "0123456789abcdef0"]
    found = []
    for host, token in itertools.product(hosts, tokens):
        for origin in ("", f"http://{host}", f"https://{host}", "null", "http://evil"):
            found.append("\0".join([host, origin, f"Bearer {token}", token]).encode())
    return found


def route() -> list[bytes]:
    """Every path, with queries."""
    of_run = ["", "layers", "series", "scalars", "events", "spectrum", "representations", "map"]
    paths = ["/metrics", "/metrics/runs", "/", "/api/v1/", "/api/v1/status", "/api/v1/measures",
             "/api/v1/runs", "/api/v1/stream", "/api/v1/stream/events", "/api/v1/runs/",
             *(f"/api/v1/runs/{run}/{name}{end}" for run in ("a", "p/a", "..", "%00")
               for name in of_run for end in ("", ".csv"))]
    queries = ["", "limit=5", "limit=5\0limit=6", "metrics=a\0metrics=b", "from=1\0to=2", "=", "a",
               "run=b", "x" * 64 + "=1", "since_seq=3", "state=open", "\xff=1"]
    return [f"{path}\0{query}".encode("latin-1") for path in paths for query in queries]


def message() -> list[bytes]:
    """Heads of requests: first lines, and headers of one."""
    lines = ["GET / HTTP/1.1", "POST /api/v1/rpc HTTP/1.1", "HEAD /a%20b?x=1&y=%26+ HTTP/1.0",
             "GET http://a/ HTTP/1.1", "TRACE * HTTP/1.1", "PRI * HTTP/2.0", "GET /%00 HTTP/1.1",
             "GET /"]
    headers = ["", "Host: localhost\r\n", "Host: a\r\nHost: a\r\n", "Host: a\r\n b\r\n",
               "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n", "A\r\n", "A : b\r\n",
               "Connection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
               "Authorization: Bearer x\r\nOrigin: http://a\r\nLast-Event-ID: 7\r\n"]
    return [f"{line}\r\n{header}\r\n".encode() for line in lines for header in headers]


def main() -> None:
    """Writes every target's folder."""
    for target in (wire, control, feed, config, access, route, message):
        folder = pathlib.Path(sys.argv[1], target.__name__)
        folder.mkdir(parents=True, exist_ok=True)
        for i, data in enumerate(target()):
            (folder / f"{i:04}").write_bytes(data)


if __name__ == "__main__":
    main()
