"""Which runs are asked for: the parameters of run.list (proto/FEED.md), page by page.

A daemon that is older than this client does not know some of them. It refuses, and what it lacks is
done here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Optional

from richd._history.source import Source
from richd._report import RichdError

#: Runs of one answer: the most that run.list gives.
PAGE_RUNS = 1000
_BOUNDS = frozenset(("min", "max"))
_SORTS = ("created", "updated", "name", "state")


@dataclass(frozen=True)
class Filters:
    """The arguments of `richd.runs`."""

    project: Optional[str]
    group: Optional[str]
    tags: tuple[str, ...]
    config: Mapping[str, Any]
    state: Optional[str]
    search: Optional[str]
    sort: str
    descending: bool
    hidden: bool

    def ask(self, source: Source, limit: Optional[int]) -> list[dict[str, Any]]:
        """The RUN OBJECTs that they leave, in their order. Raises RichdError."""
        if limit is not None and limit <= 0:
            return []
        known = {
            "project": self.project,
            "group": self.group,
            "state": self.state,
            "search": self.search,
            "config": True,
        }
        newer = self._newer()
        if not newer:
            return _all(source, known, limit)
        try:
            return _all(source, {**known, **newer}, limit)
        except RichdError as error:
            if error.code != "EINVAL":
                raise
            refusal = error.text
        return self._done_here(_all(source, known, None), refusal)[:limit]

    def _newer(self) -> dict[str, Any]:
        """What older daemons do not know."""
        ranges = {name: _as_range(value) for name, value in self.config.items()}
        newer: dict[str, Any] = {}
        if self.tags:
            newer["tags"] = list(self.tags)
        if ranges:
            newer["config"] = ranges
        if (self.sort, self.descending) != ("created", True):
            newer.update(sort=self.sort, descending=self.descending)
        if self.hidden:
            newer["hidden"] = True
        return newer

    def _done_here(self, found: list[dict[str, Any]], refusal: str) -> list[dict[str, Any]]:
        left = [run for run in found if set(self.tags) <= set(run["tags"]) and self._fits(run)]
        if self.sort.startswith("config:"):
            name = self.sort.partition(":")[2]
            left = [run for run in left if name in run["config"]]
            return sorted(left, key=lambda run: run["config"][name], reverse=self.descending)
        if self.sort not in _SORTS:
            raise RichdError("EINVAL", f"this daemon does not sort by {self.sort!r}: {refusal}")
        return sorted(left, key=lambda run: run[self.sort], reverse=self.descending)

    def _fits(self, run: Mapping[str, Any]) -> bool:
        return all(
            name in run["config"] and _is(run["config"][name], _as_range(value))
            for name, value in self.config.items()
        )


def _all(source: Source, params: Mapping[str, Any], limit: Optional[int]) -> list[dict[str, Any]]:
    """All pages. A run that begins meanwhile moves the others on: none is given twice."""
    found: dict[str, dict[str, Any]] = {}
    offset = 0
    while limit is None or len(found) < limit:
        page = PAGE_RUNS if limit is None else min(limit - len(found), PAGE_RUNS)
        runs = source.ask("run.list", **params, limit=page, offset=offset)["runs"]
        found.update((run["run"], run) for run in runs)
        offset += len(runs)
        if len(runs) < page:
            break
    return list(found.values())


def _as_range(value: Any) -> Any:
    """(lowest, highest) as {"min", "max"}; what is no range stays as it is."""
    if not isinstance(value, tuple):
        return value
    low, high = value
    return {key: bound for key, bound in (("min", low), ("max", high)) if bound is not None}


def _is(value: Any, wanted: Any) -> bool:
    """Whether a value of a configuration equals another, or is in its range."""
    if not isinstance(wanted, Mapping) or not wanted or not _BOUNDS.issuperset(wanted):
        return bool(value == wanted and isinstance(value, bool) == isinstance(wanted, bool))
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    low, high = wanted.get("min"), wanted.get("max")
    return (low is None or value >= low) and (high is None or value <= high)
