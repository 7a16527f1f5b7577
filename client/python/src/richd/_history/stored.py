"""One run as the daemon has it: `richd.run`. Any thread; it asks, waits and may raise."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

import numpy as np

from richd import _reading
from richd._history.source import Source
from richd._history.table import Table, times
from richd._link.endpoint import feed_finder
from richd._run import Run
from richd._values.event import Alert, Event
from richd._values.point import Point
from richd._values.spectrum import Spectrum, as_array

#: How long an answer is waited for, in seconds.
TIMEOUT_S = 30.0


class Layer(NamedTuple):
    """A layer of a stored run: what `layer.list` says of it (proto/FEED.md).

    Attributes:
        name: its name.
        p, c: features and outputs.
        n_points: how many points it has.
        probe_rows: rows of its first window, with which s_init compares; None without a probe.
        last: its latest point; None before the first.
    """

    name: str
    p: int
    c: int
    n_points: int
    probe_rows: Optional[int]
    last: Optional[Point]


class Attempt(NamedTuple):
    """An attempt of a stored run.

    Attributes:
        attempt: its number, from 1.
        first_step: of its first checkpoint or log; None before that.
        opened, closed: seconds since 1970; None while it is open.
        state: "open", "finished", "failed" or "lost".
        ranks: {"world", "open"} where ranks of a job share it, else None.
        host: where its trainer runs, None where nobody said it.
    """

    attempt: int
    first_step: Optional[int]
    opened: Optional[float]
    closed: Optional[float]
    state: str
    ranks: Optional[Mapping[str, int]]
    host: Optional[str] = None


def run(
    run: Union[str, Run],
    *,
    feed: Optional[str] = None,
    endpoint: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    timeout: float = TIMEOUT_S,
) -> StoredRun:
    """A run that the daemon has, open or finished, to be read.

        run = richd.run("mod97/wd1-seed0")
        run.config["lr"], run.summary.get("best_acc"), run.layers["head"].last.shown()
        run.series(["d_debiased"], scalars=["test_acc"]).to_pandas()

    `run` is an id, a name or project/name (of several runs of a name the newest), or a `Run` of
    this program. The daemon is found as `init` finds it; `feed` (or RICHD_FEED) names its feed,
    "unix:/PATH" or "tcp:HOST:PORT", or the page's link, "http://HOST:PORT/#token=TOKEN".

    Raises RichdError: there is no such run (`code` "ENOENT"), no daemon, or none that answers
    within `timeout` seconds. What is asked of the run later raises the same.
    """
    if isinstance(run, Run):
        source = Source(run._find_feed, timeout)
        return StoredRun(source, source.ask("run.get", run=run.id))
    source = Source(feed_finder(feed, endpoint, runtime_dir), timeout)
    return StoredRun(source, source.ask("run.get", run=run))


class StoredRun:
    """A run as the daemon had it when it was asked. Made by `richd.run` and `richd.runs`.

    Attributes:
        id, name, project, group, tags, note: as `init` was told, or as people changed them.
        state: "open", "finished", "failed" or "lost" (it went without a word).
        attempt: the number of the newest attempt.
        created, updated: seconds since 1970.
        last_step, n_points: of the newest point, and how many there are; all layers together.
        hidden: whether it is left out of lists.
        host: where the trainer of the newest attempt runs, None where nobody said it.
    """

    def __init__(self, source: Source, facts: Mapping[str, Any]) -> None:
        self._source = source
        self._facts = facts
        self.id: str = facts["run"]
        self.name: str = facts["name"]
        self.project: str = facts["project"]
        self.group: str = facts["group"]
        self.tags: tuple[str, ...] = tuple(facts["tags"])
        self.note: str = facts.get("note", "")
        self.hidden: bool = facts.get("hidden", False)
        self.host: Optional[str] = facts.get("host")
        self.state: str = facts["state"]
        self.attempt: int = facts["attempt"]
        self.created: float = facts["created"]
        self.updated: float = facts["updated"]
        self.last_step: Optional[int] = facts["last_step"]
        self.n_points: int = facts["n_points"]

    def __repr__(self) -> str:
        return f"<richd.StoredRun {self.id} of {self.project}, {self.state}>"

    @property
    def config(self) -> dict[str, Any]:
        """The configuration."""
        return dict(self._fact("config"))

    @property
    def summary(self) -> dict[str, Any]:
        """What the run came to, as its trainer said."""
        return dict(self._fact("summary"))

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts, first to newest."""
        return [
            Attempt(**{name: one.get(name) for name in Attempt._fields})
            for one in self._fact("attempts")
        ]

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, in the order of the forward pass, with their latest points."""
        answer = self._source.ask("layer.list", run=self.id)
        return {one["layer"]: self._layer(one) for one in answer["layers"]}

    @property
    def scalars(self) -> Scalars:
        """What was logged, by name: `run.scalars["loss"]` is (steps, values)."""
        return Scalars(self._source, self.id, self._fact("scalars"))

    @property
    def events(self) -> list[Event]:
        """The transitions, in the order of their starts."""
        found = self._source.ask("event.query", run=self.id)["events"]
        return [Event.from_json(event) for event in found if event["kind"] == "transition"]

    @property
    def alerts(self) -> list[Alert]:
        """What `Run.alert` said, in the order of the steps."""
        found = self._source.ask("event.query", run=self.id, attempts="all")["events"]
        return [Alert.from_json(event) for event in found if event["kind"] == "alert"]

    def series(
        self,
        metrics: Union[str, Sequence[str], None] = None,
        layers: Union[str, Sequence[str], None] = None,
        scalars: Union[str, Sequence[str], bool] = (),
        steps: Optional[tuple[int, int]] = None,
        superseded: bool = False,
    ) -> Table:
        """The points of the run, one row a point, all of them however many there are.

        Columns, (n,) arrays: layer, p, c, attempt, step, time, n and what else a point has,
        `metrics` (all when left out), and a column "scalar:NAME" for each of `scalars` (True: all),
        with the value that was logged at that step, NaN where none was. time is datetime64[us] in
        UTC, what counts is int64, measures are float64 in the units of `richd.measures`, flags are
        lists of names.

        `layers` (all when left out) and `steps`, (first, last), both included, choose rows. A later
        attempt supersedes what an earlier one said of the same steps; `superseded` gives those
        points, too. Rows are ordered by layer, attempt, step.

        Raises RichdError: no such layer or scalar (`code` "ENOENT"), no such measure ("EINVAL"), or
        no daemon that answers.
        """
        first, last = steps or (None, None)
        params: dict[str, Any] = {
            "run": self.id,
            "metrics": _names(metrics),
            "scalars": self._scalar_names(scalars),
            "from": first,
            "to": last,
            "attempts": "all" if superseded else None,
        }
        pages: list[dict[str, Any]] = []
        for layer in _names(layers) or (None,):  # None: all at once
            pages += self._source.pages("series.query", "layers", "layer", **params, layer=layer)
        return _join([_point_columns(page) for page in pages])

    def spectrum(self, step: Optional[int] = None, layer: Optional[str] = None) -> Spectrum:
        """The spectrum of a point: of `step`, or the latest that there is.

        `layer` may be left out when the run has one. Raises RichdError with the code "ENOENT" where
        there is none.
        """
        return Spectrum.from_json(
            self._source.ask("spectrum.query", run=self.id, layer=layer, step=step)
        )

    def to_pandas(self) -> Any:
        """`series(scalars=True)`, all points with all measures and scalars, in a pandas.DataFrame.

        What was logged between the checkpoints is in `scalars.to_pandas()`.
        """
        return self.series(scalars=True).to_pandas()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """The same by Arrow's PyCapsule interface."""
        return self.series(scalars=True).__arrow_c_stream__(requested_schema)

    def _fact(self, name: str) -> Any:
        """A member of the run's object; lists leave out what is long."""
        if name not in self._facts:
            self._facts = self._source.ask("run.get", run=self.id)
        return self._facts[name]

    def _scalar_names(self, scalars: Union[str, Sequence[str], bool]) -> Optional[list[str]]:
        """None for none. By HTTP each has to be named."""
        if isinstance(scalars, bool):
            scalars = self._fact("scalars") if scalars else ()
        return _names(scalars) or None

    def _layer(self, one: Mapping[str, Any]) -> Layer:
        fetch = functools.partial(_reading.fetch_spectrum, self._source.find, self.id)
        last = one["last"]
        point = None if last is None else Point.from_json(last).with_fetch(fetch)
        numbers = {name: one[name] for name in ("p", "c", "n_points", "probe_rows")}
        return Layer(name=one["layer"], **numbers, last=point)


class Scalars(Mapping[str, tuple[np.ndarray, np.ndarray]]):
    """What a run logged, by name, read when it is asked for.

        list(run.scalars)                      # the names
        steps, values = run.scalars["loss"]    # (n,) int64 and float64, every value that was logged
        run.scalars.to_pandas()                # name, attempt, step, time, value

    A value that was not finite is NaN.
    """

    def __init__(self, source: Source, run_id: str, names: Sequence[str]) -> None:
        self._source = source
        self._id = run_id
        self._names = tuple(names)

    def __getitem__(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        if name not in self._names:
            raise KeyError(name)
        table = self.table(name)
        return table["step"], table["value"]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __repr__(self) -> str:
        return f"<richd.Scalars {', '.join(self._names)}>"

    def table(self, names: Union[str, Sequence[str], None] = None) -> Table:
        """The values of `names` (all when left out), one row a value.

        Columns, (n,) arrays: name, attempt, step (int64), time (datetime64[us], UTC), value
        (float64). Raises RichdError: no such scalar (`code` "ENOENT"), or no daemon that answers.
        """
        wanted = self._names if names is None else _names(names)
        if not wanted:
            return _join([])
        pages = self._source.pages(
            "scalars.query", "scalars", "names", run=self._id, names=list(wanted)
        )
        return _join([_scalar_columns(page) for page in pages])

    def to_pandas(self) -> Any:
        """All of them in a pandas.DataFrame."""
        return self.table().to_pandas()


def _names(names: Union[str, Sequence[str], None]) -> Optional[list[str]]:
    return [names] if isinstance(names, str) else None if names is None else list(names)


def _point_columns(page: Mapping[str, Any]) -> dict[str, Any]:
    columns = dict(page["columns"])
    scalars = columns.pop("scalars", {})
    n = len(columns["step"])
    same = {name: [page[name]] * n for name in ("layer", "p", "c")}
    logged = {f"scalar:{name}": values for name, values in scalars.items()}
    return _typed({**same, **columns, **logged})


def _scalar_columns(page: Mapping[str, Any]) -> dict[str, Any]:
    columns = page["columns"]
    return _typed({"name": [page["name"]] * len(columns["step"]), **columns})


#: What is a whole number in every row; of the other columns of points null is NaN.
_WHOLE = (
    "attempt", "step", "p", "c", "rank", "rows_missing", "rows_thinned", "ranks_missing",
    "classes_seen", "class_rows_min",
)
_WORDS = ("layer", "name", "flags")


def _typed(columns: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """By its name: a page in which a column is all null has the type of the others."""
    typed: dict[str, Any] = {}
    for name, values in columns.items():
        if name == "time":
            typed[name] = times(values)
        elif name in _WHOLE:
            typed[name] = np.array(values, dtype=np.int64)
        elif name in _WORDS:
            typed[name] = Table({name: [*values, None]})[name][:-1]
        else:
            typed[name] = as_array(values)
    return typed


def _join(pages: Sequence[Mapping[str, np.ndarray]]) -> Table:
    """Pages below each other."""
    if not pages:
        return Table({"step": np.array([], dtype=np.int64)})
    names = list(dict.fromkeys(name for page in pages for name in page))
    return Table({name: np.concatenate([page[name] for page in pages]) for name in names})
