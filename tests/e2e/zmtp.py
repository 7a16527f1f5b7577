"""ZMTP 3.0 over a plain socket, for peers that libzmq would not be: one descriptor each, thousands
of them, and messages that have no end."""

from harness import connect_feed

MORE, LONG, COMMAND = 1, 2, 4

GREETING = (b"\xff" + bytes(8) + b"\x7f" + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))


def frame(body, flags=0):
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + len(body).to_bytes(8, "big") + body


READY = frame(b"\x05READY" + b"\x0bSocket-Type" + (6).to_bytes(4, "big") + b"DEALER", COMMAND)


def connect_bare(endpoint):
    """A connection to `ingest` that says nothing."""
    scheme, _, rest = endpoint.partition("://")
    return connect_feed(f"unix:{rest}" if scheme == "ipc" else f"tcp:{rest}")


def read_until(connection, words):
    heard = b""
    while words not in heard:
        piece = connection.recv(4096)
        assert piece, "the daemon closed the connection"
        heard += piece
    return heard


def connect(endpoint):
    """One that may send messages: libzmq takes none before it has sent its own READY."""
    connection = connect_bare(endpoint)
    connection.sendall(GREETING + READY)
    read_until(connection, b"READY")
    return connection
