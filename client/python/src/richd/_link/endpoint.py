"""Where the daemon listens: an address that was given, or one that it has left in endpoints.json.

`proto/INGEST.md`, "Finding the daemon", has the order of the places and the rule that decides which
files count; the cases are in `proto/vectors/endpoints.json`. Pure look-ups in arguments,
environment and files, on any thread. The sender asks again before every connection attempt, so a
daemon that starts after the training, or moves, is found.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Optional, TypeVar

from richd._link.feed_http import is_http, page_link
from richd._link.keys import joined_path
from richd._link.keys import read as read_keys

FILE_NAME = "endpoints.json"
#: What the daemon writes has about 200 bytes.
FILE_SIZE_MAX = 8192
#: A live daemon takes a connection at once, also while it is busy.
CONNECT_S = 1.0
#: Where a daemon is looked for that is not in the session's directory.
ELSEWHERE = (f"/run/user/{os.getuid()}/richd", "/run/richd", f"/tmp/richd-{os.getuid()}")


class NotFoundError(Exception):
    """No address: the text gives the reason for each place.

    `code` is "ENOENT" (no place has a file that counts) or "EPROTO" (the first that counts makes no
    sense).
    """

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass
class Places:
    """Where to look: an `address` that was given, or else `directories`, first to last."""

    address: Optional[str] = None
    directories: list[str] = field(default_factory=list)
    #: The file of a daemon of another host that was joined: without an address it goes first.
    joined: Optional[str] = None
    #: Nobody said where the daemon is: one may be started.
    is_open: bool = False
    #: Where a live one was found. It is stayed with: a run must not go to another one while its own
    #: is started again.
    chosen: Optional[str] = field(default=None, compare=False)


def places(
    address: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> Places:
    """The places of the arguments, RICHD_ENDPOINT, RICHD_RUNTIME_DIR and XDG_RUNTIME_DIR.

    A directory that was named is the only one: a run must not reach another daemon because its own
    is away.
    """
    env = os.environ if environ is None else environ
    found = Places(address or env.get("RICHD_ENDPOINT") or None)
    named = runtime_dir or env.get("RICHD_RUNTIME_DIR")
    if named:
        found.directories.append(named)
        return found
    if env.get("XDG_RUNTIME_DIR"):
        found.directories.append(f"{env['XDG_RUNTIME_DIR']}/richd")
    found.directories += [place for place in ELSEWHERE if place not in found.directories]
    found.joined = _joined(env)
    found.is_open = found.address is None and found.joined is None
    return found


def find(where: Places, member: str = "ingest") -> str:
    """The address that was given, or `member` of the first endpoints.json that counts.

    Raises NotFoundError.
    """
    if where.address:
        return where.address
    if where.joined and member == "ingest":
        return _read_joined(where.joined)
    return _search(where, lambda record: _member(record, member))


def _joined(environ: Mapping[str, str]) -> Optional[str]:
    """The file of a daemon that was joined, which a person did: it may as well be wrong."""
    path = joined_path(environ)
    return path if path is not None and os.path.lexists(path) else None


def _read_joined(path: str) -> str:
    try:
        return read_keys(path).endpoint
    except OSError as error:
        raise NotFoundError("ENOENT", f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise NotFoundError("EPROTO", f"{path}: {error}") from error


@dataclass
class Finder:
    """Calls `find`; equal ones find the same, so one look serves many runs."""

    where: Places

    def __call__(self) -> str:
        return find(self.where)


def is_feed(address: str) -> bool:
    """Whether it is "unix:/PATH", "tcp:HOST:PORT" or "http://HOST:PORT/#token=TOKEN"."""
    if is_http(address):
        return True
    kind, _, rest = address.partition(":")
    host, _, port = rest.rpartition(":")
    return (kind == "unix" and rest.startswith("/")) or (
        kind == "tcp" and bool(host) and port.isascii() and port.isdigit()
    )


def find_record(where: Places) -> Mapping[str, Any]:
    """All that the endpoints.json says from which `find_feed` takes the feed.

    Raises NotFoundError.
    """

    def record(found: Mapping[str, Any]) -> Mapping[str, Any]:
        _check_ingest(where, found)
        return found

    return _search(where, record)


def find_feed(where: Places) -> str:
    """The address of the daemon's feed, by `feed` in the same endpoints.json.

    When an address is given, it is that of the first file that has the address as `ingest`: the
    history must come from the daemon that the rows go to. Raises NotFoundError.
    """

    def feed(record: Mapping[str, Any]) -> str:
        _check_ingest(where, record)
        return _member(record, "feed")

    return _search(where, feed)


@dataclass
class FeedFinder:
    """Calls `find_feed`, and knows where else the same daemon is met."""

    where: Places
    #: An address that was given.
    feed: Optional[str] = None

    def __call__(self) -> str:
        if self.feed:
            return self.feed
        try:
            return find_feed(self.where)
        except NotFoundError:
            if not self.where.address and not self.where.joined:
                raise
        from richd._link.greeting import feed_behind  # it asks the feed, which looks here

        return feed_behind(find(self.where))

    def page(self, run: str) -> Optional[str]:
        """The page that shows a run, with the token that it asks for; None: none is known."""
        if self.feed is not None and is_http(self.feed):
            return page_of({"page": page_link(self.feed)}, run)
        try:
            return page_of(find_record(self.where), run)
        except NotFoundError:
            return None


def feed_finder(
    feed: Optional[str] = None,
    endpoint: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    environ: Optional[Mapping[str, str]] = None,
) -> FeedFinder:
    """Where history is read: at `feed` or RICHD_FEED, or else where the daemon of `places` says.

    Raises ValueError for a feed that is no address.
    """
    env = os.environ if environ is None else environ
    given = feed or env.get("RICHD_FEED") or None
    if given is not None and not is_feed(given):
        raise ValueError(f'feed is "unix:/PATH", "tcp:HOST:PORT" or "http://...", not {given!r}')
    return FeedFinder(places(endpoint, runtime_dir, environ), given)


def page_of(record: Mapping[str, Any], run: str) -> Optional[str]:
    """The link to a run, by `page` in the endpoints.json; None where the daemon has no page."""
    page = record.get("page")
    if not isinstance(page, str) or not page:
        return None
    return f"{page}{'&' if '#' in page else '#'}runs={run}"


def _check_ingest(where: Places, record: Mapping[str, Any]) -> None:
    if where.joined and not where.address:
        address = _read_joined(where.joined)
    else:
        address = where.address or ""
    if address and record.get("ingest") != address:
        raise _Uncounted(f"its daemon does not listen at {address}")


class _Uncounted(Exception):
    """A file that does not count; the text is the reason."""


_T = TypeVar("_T")


def _search(where: Places, take: Callable[[Mapping[str, Any]], _T]) -> _T:
    """What `take` has of the first file whose daemon lives, or else of the first one that counts.

    A daemon that was killed leaves its file behind.
    """
    reasons: list[str] = []
    first: list[_T] = []  # of a daemon that does not answer
    for directory in where.directories:
        path = f"{directory}/{FILE_NAME}"
        try:
            record = _parse(_read(directory))
            taken = take(record)
        except OSError as error:
            reasons.append(f"{path}: {error.strerror}")
        except _Uncounted as error:
            reasons.append(f"{path}: {error}")
        except ValueError as error:
            if first:
                break
            raise NotFoundError("EPROTO", f"{path}: {error}") from error
        else:
            is_only = len(where.directories) == 1
            if is_only or where.chosen == directory or takes_connections(record):
                where.chosen = directory
                return taken
            first.append(taken)
    if first:
        return first[0]
    raise NotFoundError("ENOENT", "no daemon: " + "; ".join(reasons))


def takes_connections(record: Mapping[str, Any]) -> bool:
    """Whether the daemon of an endpoints.json lives, as far as its feed can say.

    One that was killed leaves a socket that refuses.
    """
    kind, _, rest = str(record.get("feed", "")).partition(":")
    try:
        if kind == "tcp":
            host, _, port = rest.rpartition(":")
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_S).close()
        elif kind == "unix":
            with socket.socket(socket.AF_UNIX) as peer:
                peer.settimeout(CONNECT_S)
                peer.connect(rest)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except (OSError, ValueError):
        pass  # it cannot be said
    return True


def _parse(text: bytes) -> Mapping[str, Any]:
    try:
        record = json.loads(text.decode("utf-8"))
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(record, dict):
        raise ValueError("it is not a JSON object")
    return record


def _member(record: Mapping[str, Any], name: str) -> str:
    address = record.get(name, "")
    if not isinstance(address, str):
        raise ValueError(f'"{name}" must be a string')
    if not address:
        raise ValueError(f'"{name}" is missing')
    return address


# ---- which files count ---------------------------------------------------------------------------


def _read(directory: str) -> bytes:
    """The text of a directory's file. Raises _Uncounted, or OSError when it cannot be read."""
    _check_steps(directory)
    _check_steps(os.path.realpath(directory))
    folder = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        file = _open(folder)
        try:
            _check_file(os.fstat(folder), os.fstat(file))
            return os.read(file, FILE_SIZE_MAX)
        finally:
            os.close(file)
    finally:
        os.close(folder)


def _open(folder: int) -> int:
    """The file's descriptor. Links are refused, and a pipe does not block."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        return os.open(FILE_NAME, flags, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _Uncounted("it is not a file") from error
        raise


def _is_trusted(owner: int) -> bool:
    return owner in (os.getuid(), 0)


def _check_steps(path: str) -> None:
    """Refuse a path that leads through something that another user could have made.

    What lies in a directory where all may write has to belong to this user or to root. Symbolic
    links are looked at, not followed.
    """
    parts = path.split("/")
    anyone_may_write = not path.startswith("/") and _anyone_may_write(os.stat("."))
    for end, part in enumerate(parts, 1):
        if not part:
            continue
        step = "/".join(parts[:end])
        status = os.lstat(step)
        if anyone_may_write and not _is_trusted(status.st_uid):
            raise _Uncounted(f"user {status.st_uid} owns {step}, where anyone could have made it")
        anyone_may_write = _anyone_may_write(status)


def _anyone_may_write(status: os.stat_result) -> bool:
    return stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_IWOTH)


def _check_file(folder: os.stat_result, file: os.stat_result) -> None:
    if not stat.S_ISREG(file.st_mode):
        raise _Uncounted("it is not a file")
    if not _is_trusted(file.st_uid) and file.st_uid != folder.st_uid:
        raise _Uncounted(f"it belongs to user {file.st_uid}")
    if file.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise _Uncounted("others than its owner may write it")
