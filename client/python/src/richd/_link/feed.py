"""Asking the daemon: requests over its JSON socket (proto/FEED.md) or by HTTP, and what comes back.

Called by the training thread, or any other, when it reads a run's history. A connection lives for
one call; nothing is kept. `_feed_http` speaks HTTP, `_sender` sends the rows.
"""

from __future__ import annotations

import collections
import contextlib
import json
import socket
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any, Callable, Optional, Protocol

import numpy as np

from richd._link.endpoint import NotFoundError
from richd._link.feed_http import HttpLink
from richd._report import RichdError
from richd._values.spectrum import as_array

#: Looks up the feed's address, "unix:PATH", "tcp:HOST:PORT" or "http://HOST:PORT/#token=TOKEN";
#: raises NotFoundError.
Find = Callable[[], str]
#: A method and its parameters.
Request = tuple[str, Mapping[str, Any]]

_CHUNK = 1 << 16
#: Rows of one answer: 2 MB of text.
PAGE_ROWS = 50_000
#: The daemon's codes (proto/FEED.md): for what it does not have, and for parameters.
_CODES = {-32001: "ENOENT", -32602: "EINVAL"}
#: Bytes of requests that are asked ahead: they fit a socket's buffer, also while the daemon, which
#: waits for room for its answers, reads none.
_AHEAD = 16 << 10
#: An answer of more bytes is refused.
_ANSWER_MAX = 256 << 20


class Link(Protocol):
    """A connection. Its methods raise OSError or ValueError for what is no answer."""

    #: Requests of so many bytes may wait for their answers.
    ahead: int

    def encode(self, method: str, params: Mapping[str, Any]) -> bytes:
        """A request as it is sent."""

    def send(self, request: bytes, deadline: float) -> None:
        """Ask."""

    def receive(self, deadline: float) -> Mapping[str, Any]:
        """The next answer, {"result"} or {"error"}; answers come in the order of the requests."""

    def close(self) -> None:
        """Let go."""


def call(find: Find, method: str, params: Mapping[str, Any], timeout: float = 5.0) -> Any:
    """The result of one request.

    Raises RichdError when there is no daemon, when it refuses (its sentence is the text; the code
    is ENOENT for what it does not have, EINVAL for a parameter), or when the answer takes longer
    than `timeout` seconds.
    """
    with contextlib.closing(calls(find, [(method, params)], timeout)) as results:
        return next(results)


def calls(
    find: Find, requests: Iterable[Request], timeout: float
) -> Generator[Any, None, None]:
    """The results of many requests on one connection, in their order; raises as `call` does.

    A few are asked ahead, so that a daemon far away is not waited for at each. `timeout` is the
    time in seconds for each answer.
    """
    try:
        address = find()
    except NotFoundError as error:
        raise RichdError("ENOTCONN", str(error)) from error
    try:
        with contextlib.closing(_link(address, timeout)) as link:
            for answer in _answers(link, requests, timeout):
                yield _result(answer)
    except (OSError, ValueError) as error:
        raise RichdError("EFEED", f"the feed at {_public(address)}: {error}") from error


def _answers(
    link: Link, requests: Iterable[Request], timeout: float
) -> Iterator[Mapping[str, Any]]:
    sizes: collections.deque[int] = collections.deque()  # of those that wait
    for method, params in requests:
        request = link.encode(method, params)
        while sizes and sum(sizes) + len(request) > link.ahead:
            yield link.receive(time.monotonic() + timeout)
            sizes.popleft()
        link.send(request, time.monotonic() + timeout)
        sizes.append(len(request))
    for _ in sizes:
        yield link.receive(time.monotonic() + timeout)


def _result(answer: Mapping[str, Any]) -> Any:
    if "error" not in answer:
        return answer["result"]
    code = _CODES.get(answer["error"].get("code"), "EFEED")
    raise RichdError(code, str(answer["error"].get("message", "the daemon refused")))


def _public(address: str) -> str:
    """Without the token."""
    return address.partition("#")[0]


def series(
    find: Find, run: str, metric: str, layer: Optional[str], timeout: float
) -> tuple[np.ndarray, np.ndarray]:
    """(steps, values) of a measure, as `Run.series` describes them. Raises RichdError."""
    deadline = time.monotonic() + timeout
    params: dict[str, Any] = {"run": run, "metrics": [metric], "limit": PAGE_ROWS}
    if layer is not None:
        params["layer"] = layer
    steps: list[int] = []
    values: list[Optional[float]] = []
    while True:
        left = max(deadline - time.monotonic(), 0.001)
        page = _only(call(find, "series.query", params, left)["layers"])
        steps += page["columns"]["step"]
        values += page["columns"][metric]
        if page["next"] is None:
            return np.array(steps, dtype=np.int64), as_array(values)
        params.update(layer=page["layer"], next=page["next"])


def _only(layers: list[dict[str, Any]]) -> dict[str, Any]:
    if len(layers) == 1:
        return layers[0]
    names = ", ".join(entry["layer"] for entry in layers) or "none"
    raise RichdError("EFEED", f"layer has to name one; the run has: {names}")


def _link(address: str, timeout: float) -> Link:
    if address.startswith(("http://", "https://")):
        return HttpLink(address, timeout)
    return _SocketLink(_connect(address, timeout))


class _SocketLink:
    """The feed's own socket: a line a request, a line an answer."""

    ahead = _AHEAD

    def __init__(self, link: socket.socket) -> None:
        self._socket = link
        self._rest = b""

    def encode(self, method: str, params: Mapping[str, Any]) -> bytes:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": dict(params)}
        return json.dumps(request).encode() + b"\n"

    def send(self, request: bytes, deadline: float) -> None:
        self._socket.settimeout(_left(deadline))
        self._socket.sendall(request)

    def receive(self, deadline: float) -> Mapping[str, Any]:
        """The next line: all are answers, as the connection subscribes to nothing."""
        parts = collections.deque([self._rest])
        size = len(self._rest)
        while b"\n" not in parts[-1]:
            self._socket.settimeout(_left(deadline))
            part = self._socket.recv(_CHUNK)
            size += len(part)
            if not part or size > _ANSWER_MAX:
                raise ValueError("the answer breaks off")
            parts.append(part)
        end, _, self._rest = parts.pop().partition(b"\n")
        answer = json.loads(b"".join([*parts, end]))
        if not isinstance(answer, dict):
            raise ValueError("the answer is no object")
        return answer

    def close(self) -> None:
        self._socket.close()


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("no answer in time")
    return left


def _connect(address: str, timeout: float) -> socket.socket:
    kind, _, rest = address.partition(":")
    if kind == "unix":
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        link.settimeout(timeout)
        try:
            link.connect(rest)
        except BaseException:
            link.close()
            raise
        return link
    if kind == "tcp":
        host, _, port = rest.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout)
    raise ValueError(f"{address!r} is no unix:, tcp: or http: address")
