"""The feed by HTTP (proto/HTTP.md): each method has a path, and its parameters are the query.

Called by `_link.feed`, which says what an answer is. Proxies of the environment are not asked: what
is read is on this machine, or behind a tunnel.
"""

from __future__ import annotations

import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional
from urllib.parse import SplitResult, parse_qs, quote, urlencode, urlsplit

_API = "/api/v1"
#: The table of HTTP.md; RUN is a parameter that stands in the path.
_PATHS = {
    "server.status": "/status",
    "metric.list": "/measures",
    "run.list": "/runs",
    "run.get": "/runs/RUN",
    "layer.list": "/runs/RUN/layers",
    "series.query": "/runs/RUN/series",
    "scalars.query": "/runs/RUN/scalars",
    "event.query": "/runs/RUN/events",
    "spectrum.query": "/runs/RUN/spectrum",
    "representation.list": "/runs/RUN/representations",
    "representation.map": "/runs/RUN/map",
}
#: FEED.md's code for parameters: what HTTP refuses of a query, before the feed sees it, is one.
_BAD_PARAMS = -32602
#: An answer of more bytes is refused, and a refusal's text is cut.
_ANSWER_MAX = 256 << 20
_TEXT_MAX = 200


def is_http(address: str) -> bool:
    """Whether it is http://HOST..., or https://; a token may stand behind it, as #token=TOKEN."""
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is none
        return False


def token_of(address: str) -> Optional[str]:
    """The token in the link to a page, as `richctl open` prints it and `Run.url` is."""
    tokens = parse_qs(urlsplit(address).fragment).get("token")
    return tokens[0] if tokens else None


def page_link(address: str) -> str:
    """The link without what a page shows at the moment."""
    token = token_of(address)
    return address.partition("#")[0] + (f"#token={token}" if token else "")


class HttpLink:
    """A connection that is kept open for the next request."""

    ahead = 0

    def __init__(self, address: str, timeout: float) -> None:
        parts = urlsplit(address)
        token = token_of(address)
        self._prefix = parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._connection = _connection(parts, timeout)

    def encode(self, method: str, params: Mapping[str, Any]) -> bytes:
        """The path with its query."""
        if method not in _PATHS:
            raise ValueError(f"{method} is not answered by HTTP")
        return f"{self._prefix}{_API}{_target(_PATHS[method], params)}".encode()

    def send(self, request: bytes, deadline: float) -> None:
        """Ask."""
        self._set_timeout(deadline)
        try:
            self._connection.request("GET", request.decode(), headers=self._headers)
        except ssl.SSLCertVerificationError as error:
            reason = f"{error.verify_message}; SSL_CERT_FILE names a file of authorities to trust"
            raise ValueError(f"its certificate is not trusted: {reason}") from error
        except http.client.HTTPException as error:
            raise ValueError(f"it does not speak HTTP: {error!r}") from error

    def receive(self, deadline: float) -> Mapping[str, Any]:
        """The answer, {"result"} or {"error"}."""
        self._set_timeout(deadline)
        try:
            response = self._connection.getresponse()
            body = response.read(_ANSWER_MAX + 1)
        except http.client.HTTPException as error:
            raise ValueError(f"it does not speak HTTP: {error!r}") from error
        if len(body) > _ANSWER_MAX:
            raise ValueError("the answer is too long")
        if response.status == http.HTTPStatus.OK:
            return {"result": json.loads(body)}
        return _refusal(response.status, body)

    def close(self) -> None:
        """Let go."""
        self._connection.close()

    def _set_timeout(self, deadline: float) -> None:
        self._connection.timeout = max(deadline - time.monotonic(), 0.001)
        if self._connection.sock is not None:
            self._connection.sock.settimeout(self._connection.timeout)


def _connection(parts: SplitResult, timeout: float) -> http.client.HTTPConnection:
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(str(parts.hostname), parts.port, timeout=timeout)


def _target(path: str, params: Mapping[str, Any]) -> str:
    given = {name: value for name, value in params.items() if value is not None}
    if "RUN" in path:
        path = path.replace("RUN", quote(str(given.pop("run")), safe="/"))
    query = urlencode([pair for name, value in given.items() for pair in _pairs(name, value)])
    return f"{path}?{query}" if query else path


def _pairs(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """A list is given once for each element, an object as JSON."""
    for one in value if isinstance(value, (list, tuple)) else [value]:
        is_plain = isinstance(one, (str, int, float)) and not isinstance(one, bool)
        yield name, str(one) if is_plain else json.dumps(one)


def _refusal(status: int, body: bytes) -> Mapping[str, Any]:
    """The error object of the feed, or a line of text of what came before it."""
    try:
        answer = json.loads(body)
        if isinstance(answer, dict) and isinstance(answer.get("error"), dict):
            return answer
    except ValueError:
        pass
    text = body[:_TEXT_MAX].decode("utf-8", "replace").strip()
    hint = ""
    if status in (http.HTTPStatus.UNAUTHORIZED, http.HTTPStatus.FORBIDDEN):
        hint = "; `richctl open` prints the address with its token"
    code = _BAD_PARAMS if status == http.HTTPStatus.BAD_REQUEST else None
    return {"error": {"code": code, "message": f"HTTP {status}: {text}{hint}"}}
