"""With which keys a trainer speaks to a daemon over a network: what `richctl join` has written.

`proto/INGEST.md`, "Over a network", has the file and who makes it. Read before each connection, on
any thread; a file that others may read counts for nothing, because its key is a secret.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

#: Four lines, and comments.
FILE_SIZE_MAX = 4096
#: 32 bytes in Z85.
KEY_LENGTH = 40
_WORDS = ("endpoint", "server", "public", "secret")


@dataclass(frozen=True)
class Keys:
    """A daemon of another host, its public key, and our own pair, as text."""

    endpoint: str
    server: str
    public: str
    secret: str

    def __repr__(self) -> str:
        """Without the secret, which is nothing for a log."""
        return f"Keys({self.endpoint!r})"

    def set_on(self, dealer: Any) -> None:
        """Have the socket ask for, and show, these keys. Raises zmq.ZMQError."""
        dealer.curve_serverkey = self.server.encode()
        dealer.curve_publickey = self.public.encode()
        dealer.curve_secretkey = self.secret.encode()


def joined_path(environ: Optional[Mapping[str, str]] = None) -> Optional[str]:
    """Where the file is, if there is one; None: there is no home."""
    env = os.environ if environ is None else environ
    if env.get("XDG_CONFIG_HOME"):
        return f"{env['XDG_CONFIG_HOME']}/richd/joined"
    return f"{env['HOME']}/.config/richd/joined" if env.get("HOME") else None


def read(path: str) -> Keys:
    """What the file says. Raises OSError, or ValueError when it does not count, without a key."""
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        _check(os.fstat(file))
        text = os.read(file, FILE_SIZE_MAX).decode("utf-8")
    finally:
        os.close(file)
    return _parse(text)


class NoKeyError(Exception):
    """The address is of another host, and there is no key for it: all on the way could read."""


def keys_for(address: str, path: Optional[str] = None) -> Optional[Keys]:
    """The keys with which that address is spoken to; None: it needs none. Raises NoKeyError."""
    path = path or joined_path()
    if path is not None and address.startswith("tcp://"):
        with contextlib.suppress(OSError, ValueError):
            keys = read(path)
            if keys.endpoint == address:
                return keys
    if _is_of_this_host(address):
        return None
    raise NoKeyError(f"there is no key for {address} (richctl invite, richctl join)")


def _is_of_this_host(address: str) -> bool:
    host = address.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if not address.startswith("tcp://") or host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _check(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is not a file")
    if status.st_uid not in (os.geteuid(), 0):
        raise ValueError(f"it belongs to user {status.st_uid}")
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ValueError("others than its owner may read or write it (chmod 600)")


def _parse(text: str) -> Keys:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if len(words) != 2 or words[0] not in _WORDS or not _is_good(words[0], words[1]):
            raise ValueError(f"line {number} is no key or address")
        found[words[0]] = words[1]
    missing = [word for word in _WORDS if word not in found]
    if missing:
        raise ValueError(f"it lacks {' and '.join(missing)}")
    return Keys(**found)


def _is_good(word: str, value: str) -> bool:
    if word == "endpoint":
        return value.startswith("tcp://")
    return len(value) == KEY_LENGTH and value.isascii()
