"""`init`: arguments and environment, checked and made into a Run.

Called once a run by the training thread. No other place of the package raises without
`raise_errors`, and this one raises only ValueError, for arguments. `_run` does what a run then has
to do.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional, Union

from richd import _current, _mirrors, _names, _ranks
from richd._keywords import forgiving_function
from richd._link import endpoint as _endpoint, outbox as _outbox, start as _start
from richd._values import clean as _clean
from richd._report import Reporter, is_to_raise
from richd._values.pace import SHARE
from richd._run import Run
from richd._spool.spool import BYTES_MAX as SPOOL_BYTES_MAX, SpoolPlace, default_directory

_MODES = ("online", "offline", "disabled")
_RESUMES = ("allow", "must", "never")
_WINDOWS = ("checkpoint", "exponential", "cumulative")
_PROJECTORS = ("auto", "span", "top", "ridge")
#: Of CONTROL_WATCHED_MAX in proto/control.h.
_WATCHED_MAX = 4
_SCALARS = ("first", "all")
_NO_LAUNCH = (
    "rank {0.rank} of {0.world} sends nothing: the ranks have no key of their launch in common; "
    "give each the same init(launch=...), another one at each start, or open the run when the "
    "process group is there"
)


@forgiving_function
def init(
    project: Optional[str] = None,
    name: Optional[str] = None,
    config: Any = None,
    *,
    group: Optional[str] = None,
    tags: Sequence[str] = (),
    run_id: Optional[str] = None,
    resume: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    endpoint: Optional[str] = None,
    feed: Optional[str] = None,
    mode: Optional[str] = None,
    window: Union[str, Mapping[str, Any]] = "checkpoint",
    spectrum_every: int = 0,
    spectrum_leading: int = 0,
    spectrum_centred: bool = True,
    probe: bool = False,
    projector: Union[str, Mapping[str, Any]] = "auto",
    transitions: Optional[Sequence[str]] = None,
    mirror: Any = None,
    raise_errors: Optional[bool] = None,
    queue_bytes: int = _outbox.BYTES_MAX,
    spool_bytes: int = SPOOL_BYTES_MAX,
    share: float = SHARE,
    rank: Optional[int] = None,
    world_size: Optional[int] = None,
    launch: Optional[str] = None,
    scalars: str = "first",
) -> Run:
    """Open a run. Returns at once; a background thread looks for the daemon, again and again.

    Where nobody says which daemon, and none runs, one is started: `richd` beside the package or on
    the PATH. It has a session of its own, and ends ten minutes after the last run, while nobody
    looks at its page. `init` waits for it, for at most 2 s, and prints one line with the address
    of the run's page (`run.url`). RICHD_AUTOSTART=0: none is started, and nothing printed.

    Arguments:
        project, name, group, tags: free text to find the run by; the default project is
            "default", the default name a readable one.
        config: a mapping, argparse.Namespace or dataclass, stored as JSON.
        run_id: 1 to 64 of A-Z a-z 0-9 . _ -; the default is the name and six random digits.
            A stable id lets a job that was restarted continue its run.
        resume: "allow" (default) goes on with a run that exists, or starts a new one; with "must"
            the run has to exist, with "never" it must not.
        runtime_dir, endpoint: where the daemon is; by default it is found (see `_endpoint`).
        feed: where its history is read, "unix:/PATH", "tcp:HOST:PORT" or the page's link,
            "http://HOST:PORT/#token=TOKEN"; by default found in the same endpoints.json: for a
            daemon behind `ssh -L 7001:... -L 7002:.../feed.sock`, whose file is on the other
            machine.
        mode: "online" (default); "offline": all is kept in a spool, and `richd.replay` brings it
            to a daemon later; or "disabled": every call does nothing.
        window: what a checkpoint measures: "checkpoint" (rows since the last one), "cumulative",
            or {"kind": "exponential", "half_life_rows": N}.
        spectrum_every: K decomposes the features at the first checkpoint and at each K-th after it;
            0 (default): only when `checkpoint(spectrum=True)` asks.
        spectrum_leading: how many eigenvalues, the largest first; 0 (default): all, up to p = 4096.
        spectrum_centred: False keeps the means in the features and outputs.
        probe: True promises the same rows, in the same order, in every window of a layer (a fixed
            probe set, observed again before each checkpoint); points then have `s_init`, the CKA
            with the first window. Up to 1024 rows, and "checkpoint" windows only.
        projector: which part of the outputs d_lr and u are measured against. "span": all of them;
            "top": the leading directions with 99 % of the outputs' energy; "ridge"; "auto"
            (default): "top" for a layer whose features the outputs hold in its first window, as
            with C >= p, else "span"; its points' flags say which. Or
            {"kind": "top", "k": 32}, {"kind": "auto", "energy": 0.9}, {"kind": "ridge",
            "lambda": 0.01}, lambda in units of the largest eigenvalue (proto/FEED.md, Projectors).
        transitions: what is watched for transitions: measures of the points, in every layer, and
            "scalar:NAME" for what is logged; at most 4 names, () for none. None (default):
            "d_debiased". The daemon knows the measures. It refuses the run when it does not know
            one: this is reported as an error of the run, and not raised here.
        mirror: where the points are shown as well, one or a list: "wandb", "trackio", "mlflow" (the
            run that is active at the checkpoint), "tensorboard" (a folder runs/RUN_ID), or a run or
            a SummaryWriter of theirs. Names are richd/LAYER/NAME, and steps those of the training.
            Of the measures it takes the few that people look at, in the form of `point.shown`; for
            others there is `run.on_point`. It writes in threads of its own.
        raise_errors: let calls raise RichdError and ValueError (default False).
        queue_bytes: memory in bytes for rows that wait to be sent; rows beyond it are dropped and
            counted.
        spool_bytes: size in bytes of the file in which checkpoints, scalars and their rows, reduced
            where they are many, are kept while no daemon answers (proto/SPOOL.md); it is replayed
            when one does. 0: nothing is kept.
        share: what the hooks of `watch` may take of the training's time, 0.01 by default: where
            they take more, passes are left out, then rows.
        rank, world_size, launch: which of how many processes of one training this is, and a text
            that names its start: the same for all of them, another one at each start. They are
            found under torchrun, accelerate, srun, mpirun, mp.spawn and Lightning (`_ranks`). All
            processes speak for one run, and a checkpoint, called by each with the same step, is one
            point over the rows of all; of a probe those of rank 0 count. `world_size=1`: this
            process alone.
        scalars: "first" (default): what rank 0 logs is stored; "all": what others log, too, as
            NAME@rankK.

    The environment gives what the arguments do not: RICHD_PROJECT, RICHD_NAME, RICHD_GROUP,
    RICHD_RUN_ID, RICHD_RESUME, RICHD_RUNTIME_DIR, RICHD_ENDPOINT, RICHD_FEED, RICHD_MODE,
    RICHD_RAISE=1, RICHD_AUTOSTART=0, RICHD_RANK, RICHD_WORLD_SIZE, RICHD_LAUNCH.

    Raises ValueError when an argument is malformed (mode, resume, run_id, feed, window, spectrum,
    probe, projector, transitions, mirror, config, tags, queue_bytes, spool_bytes, share, rank,
    launch, scalars):
    a mistake in the program, found at its first line. A malformed environment variable is skipped,
    with a warning. Nothing else raises, and an absent daemon is no error.
    """
    env = _Environment()
    chosen = _choice("mode", mode, _MODES, env) or "online"
    is_on = chosen != "disabled"
    _clean.check_choice("scalars", scalars, _SCALARS)
    if run_id is not None and not _names.is_run_id(run_id):
        raise ValueError(f"run_id {run_id!r} is not 1 to 64 of A-Z a-z 0-9 . _ -, no leading dot")
    if feed is not None and not _endpoint.is_feed(feed):
        raise ValueError(f'feed is "unix:/PATH", "tcp:HOST:PORT" or "http://...", not {feed!r}')
    project = _clean.text(project or env.get("PROJECT") or "default")
    run_id = run_id or env.get("RUN_ID", _names.is_run_id)
    place = _count_run(_place(rank, world_size, launch, env), run_id or project, is_on)
    seed = [project, place.job] if place is not None and place.launch else []
    name = _clean.text(name or env.get("NAME") or _names.new_name(seed))
    open_fields: dict[str, Any] = {
        "run": run_id or _names.new_run_id(name, seed),
        "name": name,
        "project": project,
        "group": _clean.text(group or env.get("GROUP") or ""),
        "tags": _check_tags(tags),
        "config": _clean.config(config),
        "resume": _choice("resume", resume, _RESUMES, env) or "allow",
        "window": _check_window(window),
        **_check_spectrum(spectrum_every, spectrum_leading, spectrum_centred),
        **_check_projector(projector),
        **_check_transitions(transitions),
        **_check_probe(probe, window),
        **_member(place),
    }
    mirrors = _mirrors.check(mirror)
    reporter = Reporter(open_fields["run"], is_to_raise(raise_errors))
    where = _endpoint.places(endpoint, runtime_dir)
    find_feed = _endpoint.FeedFinder(where, feed or env.get("FEED", _endpoint.is_feed))
    bytes_max, part = _check_bytes("queue_bytes", queue_bytes), _check_share(share)
    for text in env.complaints:
        reporter.warn("environment", text, raises=False)
    kept = _spool_place(spool_bytes, open_fields)
    run = Run(open_fields, reporter, bytes_max, find_feed, scalars == "all", part, kept)
    _current.note(run)
    if is_on and place is not None and not place.launch:
        reporter.warn("launch", _NO_LAUNCH.format(place), raises=False)
    elif is_on:
        _open(run, None if chosen == "offline" else where, mirrors, reporter)
    return run


def _spool_place(bytes_max: float, open_fields: Mapping[str, Any]) -> Optional[SpoolPlace]:
    """Where the run keeps what no daemon takes; None with 0 bytes."""
    whole = _check_bytes("spool_bytes", bytes_max)
    adds_up = open_fields["window"]["kind"] == "checkpoint" and not open_fields.get("probe")
    return SpoolPlace(default_directory(), whole, adds_up) if whole else None


def _open(
    run: Run,
    where: Optional[_endpoint.Places],
    mirrors: Sequence[Any],
    reporter: Reporter,
) -> None:
    """Without places to look the run is offline."""
    if run.world_size > 1:
        _ranks.note_member()
    # The other ranks may be on other machines: they find the daemon of the first one, or none.
    is_to_start = where is not None and run.rank == 0 and _start.is_wanted(where)
    starter = _start.Starter(where) if where is not None and is_to_start else None
    start = starter.begin() if starter is not None else None
    run.start(None if where is None else _endpoint.Finder(where), starter)
    if start is not None:
        start.tell(functools.partial(_say_where, run.id, f"{run.project}/{run.name}"))
        start.wait(_start.WAIT_S)
    if run.rank == 0:  # the others' points are the same
        run.mirror(_mirrors.make(mirrors, run.id, reporter))


def _say_where(run: str, name: str, record: Mapping[str, Any]) -> None:
    """One line, on the standard error stream: where the run is seen, and how long."""
    url = _endpoint.page_of(record, run)
    idle_s = record.get("idle_exit_s")
    if url is None:
        return
    with contextlib.suppress(Exception):  # there may be no such stream any more
        end = f" (richd ends {_duration(idle_s)} after the last run)" if idle_s else ""
        print(f"richd: {name} is at {url}{end}", file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"


def _member(place: Optional[_ranks.Place]) -> dict[str, Any]:
    """The field of `open` that says which of several processes this is."""
    if place is None:
        return {}
    return {"member": {"launch": place.launch, "rank": place.rank, "world": place.world}}


def _place(
    rank: Optional[int], world_size: Optional[int], launch: Optional[str], env: _Environment
) -> Optional[_ranks.Place]:
    """Where this process stands; None when it is alone."""
    if rank is None and world_size is None:
        rank, world_size = env.rank()
    if world_size == 1:
        return None
    if (rank, world_size) != (None, None) and not _ranks.is_rank(rank, world_size):
        raise ValueError(f"rank {rank!r} is none of world_size {world_size!r}")
    launch = launch or env.get("LAUNCH", _ranks.is_launch)
    if launch is not None and not _ranks.is_launch(launch):
        raise ValueError(f"launch has 1 to {_ranks.LAUNCH_MAX} printable characters: {launch!r}")
    place = _ranks.here(None if rank is None or world_size is None else (rank, world_size))
    if place is None or launch is None:
        return place
    return dataclasses.replace(place, launch=launch, job=launch)


#: How many runs this process opened, by what the others open in the same order.
_opened: collections.Counter[str] = collections.Counter()


def _count_run(
    place: Optional[_ranks.Place], what: str, is_opened: bool
) -> Optional[_ranks.Place]:
    """The second run of a launch has a launch of its own."""
    if place is None or not place.launch:
        return place
    n = _opened[f"{place.launch} {what}"] + 1
    if is_opened:
        _opened[f"{place.launch} {what}"] = n
    if n == 1:
        return place
    return dataclasses.replace(place, launch=f"{place.launch}.{n}", job=f"{place.job}.{n}")


class _Environment:
    """RICHD_* variables; a malformed one is left out, with a warning."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def get(self, name: str, is_valid: Callable[[Any], bool] = bool) -> Optional[str]:
        value = os.environ.get(f"RICHD_{name}")
        if not value:
            return None
        if is_valid(value):
            return value
        self.complaints.append(f"RICHD_{name}={value!r} is malformed and not used")
        return None

    def rank(self) -> tuple[Optional[int], Optional[int]]:
        """RICHD_RANK and RICHD_WORLD_SIZE, where they fit together."""
        texts = [self.get(name, str.isdecimal) for name in ("RANK", "WORLD_SIZE")]
        rank, world = (None if text is None else int(text) for text in texts)
        if (rank, world) == (None, None) or world == 1 or _ranks.is_rank(rank, world):
            return rank, world
        self.complaints.append(f"RICHD_RANK={rank!r} is none of RICHD_WORLD_SIZE={world!r}")
        return None, None


def _choice(
    name: str, given: Optional[str], choices: Sequence[str], env: _Environment
) -> Optional[str]:
    """The argument, or else the variable of its name."""
    _clean.check_choice(name, given, choices)
    return given or env.get(name.upper(), choices.__contains__)


def _check_tags(tags: Iterable[Any]) -> list[str]:
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise ValueError(f"tags is a list of strings, not {tags!r}")
    return [_clean.text(tag) for tag in tags]


def _check_bytes(name: str, bytes_max: float) -> int:
    whole = _clean.number(bytes_max)
    if whole is None or whole < 0:
        raise ValueError(f"{name} is a number of bytes from 0 on, not {bytes_max!r}")
    return int(whole)


def _check_share(share: float) -> float:
    part = _clean.number(share)
    if part is None or not 0 < part <= 1:
        raise ValueError(f"share is a part of the training's time, above 0, at most 1: {share!r}")
    return part


def _kind_and_fields(what: str, given: Union[str, Mapping[str, Any]]) -> dict[str, Any]:
    if isinstance(given, str):
        return {"kind": given}
    if isinstance(given, Mapping):
        return dict(given)
    raise ValueError(f"{what} is a name, or a mapping with the name as its kind, not {given!r}")


def _check_spectrum(every: int, leading: int, centred: bool) -> dict[str, Any]:
    for name, value in (("spectrum_every", every), ("spectrum_leading", leading)):
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
            raise ValueError(f"{name} is an integer from 0 on, not {value!r}")
    if not every and not leading and centred:
        return {}
    return {"spectrum": {"every": every, "leading": leading, "centred": bool(centred)}}


def _check_projector(projector: Union[str, Mapping[str, Any]]) -> dict[str, Any]:
    if projector == "auto":
        return {}
    fields = _kind_and_fields("projector", projector)
    _clean.check_choice("projector", str(fields.get("kind")), _PROJECTORS)
    limits = {"energy": (0, 1), "lambda": (0, sys.float_info.max)}
    for name, value in list(fields.items()):
        if name in limits:
            low, high = limits[name]
            fields[name] = real = _clean.number(value)
            if real is None or not low < real <= high:
                raise ValueError(f"a projector's {name} is above {low}, at most {high}: {value!r}")
        elif name == "k":
            if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 31:
                raise ValueError(f"a projector's k is an integer from 0 on, not {value!r}")
        elif name != "kind":
            raise ValueError(f"a projector has kind, energy, k and lambda, not {name!r}")
    return {"projector": fields}


def _check_transitions(metrics: Optional[Sequence[str]]) -> dict[str, Any]:
    if metrics is None:
        return {}
    is_list = isinstance(metrics, Sequence) and not isinstance(metrics, str)
    if not is_list or not all(isinstance(metric, str) for metric in metrics):
        raise ValueError(f"transitions is a list of names, not {metrics!r}")
    if len(metrics) > _WATCHED_MAX or len(set(metrics)) < len(metrics):
        raise ValueError(f"transitions are at most {_WATCHED_MAX} names, none twice: {metrics!r}")
    return {"transitions": {"metrics": [_clean.text(metric) for metric in metrics]}}


def _check_probe(probe: bool, window: Union[str, Mapping[str, Any]]) -> dict[str, Any]:
    if probe and _check_window(window)["kind"] != "checkpoint":
        raise ValueError('probe needs window="checkpoint": it compares windows of equal rows')
    return {"probe": True} if probe else {}


def _check_window(window: Union[str, Mapping[str, Any]]) -> dict[str, Any]:
    fields = _kind_and_fields("window", window)
    _clean.check_choice("window", str(fields.get("kind")), _WINDOWS)
    if fields["kind"] != "exponential":
        return {"kind": fields["kind"]}
    half_life = _clean.number(fields.get("half_life_rows", 0))
    if half_life is None or half_life <= 0:
        raise ValueError('an exponential window has "half_life_rows" > 0, and finite')
    return {"kind": "exponential", "half_life_rows": half_life}
