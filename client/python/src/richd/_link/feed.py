"""Asking the daemon: one request over its JSON socket (proto/FEED.md), and what comes back.

Called by the training thread, or any other, when it reads a run's history. A connection lives for
one request; nothing is kept. `_sender` sends the rows.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional

import numpy as np

from richd._link.endpoint import NotFoundError
from richd._report import RichdError
from richd._values.spectrum import as_array

#: Looks up the feed's address, "unix:PATH" or "tcp:HOST:PORT"; raises NotFoundError.
Find = Callable[[], str]

_CHUNK = 1 << 16
#: Rows of one answer: 2 MB of text.
PAGE_ROWS = 50_000
#: The daemon's code for what it does not have (proto/FEED.md).
_NOT_FOUND = -32001
#: An answer of more bytes is refused.
_ANSWER_MAX = 256 << 20


def call(find: Find, method: str, params: Mapping[str, Any], timeout: float = 5.0) -> Any:
    """The result of one request.

    Raises RichdError when there is no daemon, when it refuses (its sentence is the text; the code
    is ENOENT for what it does not have), or when the answer takes longer than `timeout` seconds.
    """
    try:
        address = find()
    except NotFoundError as error:
        raise RichdError("ENOTCONN", str(error)) from error
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": dict(params)}
    deadline = time.monotonic() + timeout
    try:
        with _connect(address, timeout) as link:
            link.sendall(json.dumps(request).encode() + b"\n")
            answer = json.loads(_read_line(link, deadline))
    except (OSError, ValueError) as error:
        raise RichdError("EFEED", f"the feed at {address}: {error}") from error
    if "error" in answer:
        code = "ENOENT" if answer["error"].get("code") == _NOT_FOUND else "EFEED"
        raise RichdError(code, str(answer["error"].get("message", "the daemon refused")))
    return answer["result"]


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
    raise ValueError(f"{address!r} is no unix: or tcp: address")


def _read_line(link: socket.socket, deadline: float) -> bytes:
    """The answer's line: the only one, as the connection subscribes to nothing."""
    parts: list[bytes] = []
    size = 0
    while not (parts and parts[-1].endswith(b"\n")):
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer in time")
        link.settimeout(left)
        part = link.recv(_CHUNK)
        size += len(part)
        if not part or size > _ANSWER_MAX:
            raise ValueError("the answer breaks off")
        parts.append(part)
    return b"".join(parts)
