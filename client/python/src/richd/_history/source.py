"""Where history is read from: a daemon's feed, found as it is asked for. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Optional

from richd._link import feed as _feed

#: Rows of one answer: 2 MB of text a measure.
PAGE_ROWS = 50_000


@dataclass(frozen=True)
class Source:
    """A feed, and the seconds to wait for each of its answers. Its methods raise RichdError."""

    find: _feed.Find
    timeout: float

    def ask(self, method: str, **params: Any) -> Any:
        """The result of one request; parameters that are None are left out."""
        return _feed.call(self.find, method, _given(params), self.timeout)

    def ask_all(self, requests: Iterable[_feed.Request]) -> Iterator[Any]:
        """The results of all, in their order, on one connection."""
        return _feed.calls(self.find, requests, self.timeout)

    def pages(self, method: str, kind: str, name: str, **params: Any) -> Iterator[dict[str, Any]]:
        """All entries of a series (`kind` "layers" or "scalars"), page by page, nothing binned.

        The first answer has a page of each; what has more is asked on by `name`, "layer" or
        "names". Pages of one entry come one behind the other.
        """
        given = {**_given(params), "limit": PAGE_ROWS}
        for entry in self.ask(method, **given)[kind]:
            page: Optional[dict[str, Any]] = entry
            while page is not None:
                yield page
                label = entry["layer"] if kind == "layers" else [entry["name"]]
                following = {**given, name: label, "next": page["next"]}
                page = self.ask(method, **following)[kind][0] if page["next"] else None


def _given(params: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value is not None}
