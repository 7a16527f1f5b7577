"""A run as the trainer sees it: the class Run.

Called by the training thread, or several of them. It keeps two promises: no call raises unless the
program asked for it, and no call does anything in a forked child. It says when a run begins and
ends, and takes rows and scalars. `_init` makes a run, `_marks` has it measured, `_rows` and
`_intake` take what is offered, `_sender` sends.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Optional

from richd._link import feed as _feed, wire as _wire
from richd import _current, _exits, _life, _notebook
from richd._values import clean as _clean, offers as _offers, scalars as _scalars
from richd._guard import guarded
from richd._life import EXIT_S, Life
from richd._marks import Marker
from richd._values.constants import Constants
from richd._values.intake import Intake
from richd._values.moments import Moments
from richd._link.endpoint import FeedFinder
from richd._link.outbox import Outbox
from richd._link.start import Starter
from richd._values.pace import SHARE
from richd._reading import Reader
from richd._report import Reporter, Stats, logger
from richd._values.rows import Beside
from richd._values.shown import CORRECTED
from richd._values.steps import Steps
from richd._link.session import Identity, Session, encode
from richd._spool.spool import Spool, SpoolPlace
from richd._values.tokens import Position
from richd._version import VERSION
from richd._torch.watcher import Put

#: The daemon takes 1 MiB and 200,000 JSON values; attempt and writer are added later.
OPEN_BYTES_MAX = _wire.CONTROL_MAX - 4096
OPEN_VALUES_MAX = 199_000

#: How long a notebook's cell waits for what it shows.
NOTEBOOK_S = 1.0

#: What a summary of 1 MiB has room for: 100 alerts of 4 KiB.
ALERTS_MAX, ALERT_TEXT_MAX = 100, 4096
_ALERT_LEVELS = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}

_STATUSES = ("finished", "failed")


class Run(Marker, Reader):
    """One training job in the eyes of richd; made by `init`. Also a context manager.

    Unless `raise_errors` was asked for, no method raises but `series`, `compare` and `events`,
    which are no part of a training loop. With it, a malformed argument raises ValueError in the
    call that has it. What went wrong since the last call (a refusal, no answer in time) raises
    RichdError in the next one. Only `checkpoint(wait=True)` and `finish` wait, for a bounded time,
    and a `checkpoint` that has a tangent kernel to compute. In a forked child every method does
    nothing.
    """

    def __init__(
        self,
        open_fields: dict[str, Any],
        reporter: Reporter,
        queue_bytes: int,
        find_feed: FeedFinder,
        all_scalars: bool = False,
        share: float = SHARE,
        place: Optional[SpoolPlace] = None,
    ) -> None:
        super().__init__(share)
        self._find_feed: FeedFinder = find_feed
        self._spool_place = place
        self._open_fields = open_fields
        self._reporter = reporter
        self._outbox = Outbox(bytes_max=queue_bytes)
        self._sender: Any = None  # None: disabled, or finished
        self._intake: Any = None  # there is one where there is a sender
        self._life: Any = None  # as well
        self._pid = os.getpid()
        self._all_scalars = all_scalars
        self._steps = Steps(functools.partial(_warn_of_counted_steps, reporter))  # it holds no run
        self._said = {"config": dict(open_fields["config"]), "summary": {}}
        self._has_offered = False
        self._kinds = _offers.Kinds()

    def start(
        self, find: Optional[Callable[[], str]], starter: Optional[Starter] = None
    ) -> None:
        """Connect in the background. Called by `init`.

        `find` returns the daemon's address, or raises NotFoundError; without it the run is offline.
        `starter` may start one.
        """
        try:
            from richd._link.sender import Sender

            identity = Identity(
                client=f"richd-python {VERSION}",
                host=_clean.text(socket.gethostname()),
                pid=self._pid,
                writer=secrets.token_hex(16),
                open_fields=self._fitting_open_fields(),
            )
            session = Session(identity, self._outbox)
            session.backlog = spool = self._spool(identity, session)
            self._sender = Sender(
                session, self._outbox, self._reporter, find, starter, spool,
                reduces=self._has_additive_windows,
            )
            self._intake = Intake(self._outbox, self._reporter, self._sender)
            self._life = Life(self, self._sender, self._intake, self._reporter)
            self._sender.start()
        except Exception as error:
            self._sender = None
            text = f"the run is disabled: its sender could not be started: {error!r}"
            self._reporter.warn("init", text)
            return
        _life.begin(self._life)

    def _spool(self, identity: Identity, session: Session) -> Optional[Spool]:
        if self._spool_place is None:
            return None
        label = f"{self.id}-{identity.writer[:8]}"
        return Spool(
            self._spool_place, label, session.greeting, self._outbox, self._reporter
        )

    def _fitting_open_fields(self) -> dict[str, Any]:
        """The fields of `open`, without the configuration when it would not fit its frame."""
        if _fits(self._open_fields):
            return self._open_fields
        self._reporter.warn("config", "the config is too large (about 1 MiB) and was left out")
        return {**self._open_fields, "config": {}}

    # ---- what a run says of itself ---------------------------------------------------------------

    @property
    def id(self) -> str:
        """The run's id."""
        return self._open_fields["run"]

    @property
    def name(self) -> str:
        """The run's name."""
        return self._open_fields["name"]

    @property
    def project(self) -> str:
        """The run's project."""
        return self._open_fields["project"]

    @property
    def url(self) -> Optional[str]:
        """The page that shows this run, with the token that it asks for; None: none is known.

        It is the page of the daemon as it is now: looked up in its endpoints.json at each call.
        """
        return self._find_feed.page(self.id)

    @property
    def rank(self) -> int:
        """Which of the processes that speak for the run this is, from 0."""
        return int(self._open_fields.get("member", {}).get("rank", 0))

    @property
    def world_size(self) -> int:
        """How many processes speak for the run."""
        return int(self._open_fields.get("member", {}).get("world", 1))

    @property
    def attempt(self) -> Optional[int]:
        """The number of this attempt, from 1; None until the daemon gave it."""
        return (self._sender.attempt or None) if self._sender is not None else None

    @property
    def last_step(self) -> Optional[int]:
        """The last checkpoint of the run that the daemon had when it opened; None without one."""
        return self._sender.last_step if self._sender is not None else None

    @property
    def stats(self) -> Stats:
        """Counts of what was sent, dropped and refused so far."""
        return self._reporter.stats()

    @property
    def _has_short_windows(self) -> bool:
        """Not where the number of rows is a weight over checkpoints, nor where rows come again."""
        fields = self._open_fields
        return fields["window"]["kind"] == "checkpoint" and not fields.get("probe")

    @property
    def _has_additive_windows(self) -> bool:
        """Not where rows are forgotten one by one, or compared with those of another window."""
        kind = self._open_fields.get("window", {}).get("kind")
        return kind != "exponential" and not self._open_fields.get("probe")

    # ---- rows ------------------------------------------------------------------------------------

    @guarded()
    def observe(
        self,
        features: Any,
        outputs: Any = None,
        step: Optional[int] = None,
        *,
        head: Any = None,
        layer: str = "head",
        split: Optional[str] = None,
        labels: Any = None,
        targets: Any = None,
        n_classes: Optional[int] = None,
        weights: Any = None,
        balanced: bool = False,
        copy: bool = True,
        position: Position = None,
        tokens: Optional[int] = None,
        ignore_index: Optional[int] = None,
        mask: Any = None,
        pool: Optional[str] = None,
        batch_first: bool = True,
    ) -> None:
        """Offer rows of one layer: what went into it, and what linearly came out.

        Arguments:
            features: (..., p), the input of the last layer.
            outputs: (..., C) of as many rows, its *linear* outputs: logits, not probabilities.
            head: in place of outputs, the layer's weight (C, p): for wide outputs (C >= p, at most
                16,384 travel). It is read at each `checkpoint`, as it is then, and its triangle is
                sent (p (p + 1) / 2 values, within the queue). This takes C p^2 operations (1 s of
                a core for p = 768, C = 50,257) where the weight lies: on a CPU in a thread of its
                own, which first copies the weight. Where the optimizer is quicker than that copy
                (a `checkpoint` before its step), the point has no head (`no_head`), and later
                checkpoints wait for the copy, as they do with arrays of numpy. A head that is still
                computed at the next checkpoint leaves that one without. With `wait` it is computed
                in the call. A bias is not needed.
            step: the training step, >= 0; the last one given when left out.
            layer: the layer's name; p and C are fixed by its first batch.
            split: "eval", or another name, for rows that are not those of training: they are the
                layer LAYER@SPLIT, with a window and points of its own.
            labels: (...) integers in 0..n_classes-1, n_classes is C by default; or (..., K),
                one-hot or soft. Floats that are whole numbers are fine. A row has no label where
                that is below 0 (-100), `ignore_index` or NaN. Rows without a label, in a layer
                where others have one, are the layer LAYER@unlabelled: the measures of a layer are
                those of one population. Labels that are wrong cost the labels, and not the rows.
                What is on a GPU is not looked at: there (..., K) is one-hot, and rows of labels
                below 0 are left out.
            ignore_index: a label that means none, where that is not below 0.
            targets: (..., K) values, for regression.
            weights: (...) not negative: how much each row counts. A point of weighted rows has
                n = (sum w)^2 / sum w^2.
            balanced: weigh the classes of `labels` equally: 1 / n_c for a row of class c, with n_c
                counted in this call, times the rows a class has on average.
            copy: False is a promise: nobody writes into the arrays until they are sent, which may
                be at any time before `finish` returns. Contiguous arrays are then not copied.
            position: of features (batch, sequence, p): an index, "last", or several, [0, 7, -1].
                The same tokens are taken of outputs and targets (batch, sequence, ...), and of
                labels and weights (batch, sequence). The tokens of one sequence are not
                independent, but the finite-sample estimates need independent rows: take one
                position of each sequence, or a few.
            tokens: in place of `position`, so many of them, evenly spaced, the last included.
            mask: (batch, sequence), 0 or False for padding, which is no row. `position` and
                `tokens` are then among the others: "last" is the last token of each sequence. It is
                waited for where it lies on a GPU.
            pool: "mean": (n, c, h, w) of a convolution, in any memory format, is its mean over the
                positions, (n, c). Without it, it is refused.
            batch_first: False: sequences are (sequence, batch, p), as in torch.nn.RNN by default,
                and labels per token (sequence, batch). A mask is (batch, sequence) all the same.

        Takes numpy arrays, torch tensors on any device, and all that has __array__, DLPack or the
        buffer protocol. float16, bfloat16, float32 and float64 travel as they are, bool and
        integers of up to 16 bits as float32, wider ones as float64; labels as int32 or int64. Never
        waits: rows that do not fit the queue are dropped and counted. Arrays that are not numbers,
        or that differ in their numbers of rows, are a ValueError: raised with `raise_errors`, else
        a warning.
        """
        beside = Beside(
            step,
            split,
            labels,
            targets,
            n_classes,
            weights,
            balanced,
            copy,
            position,
            tokens,
            ignore_index,
            mask,
            pool,
            batch_first,
        )
        self._offer({layer: features}, outputs, beside, head)

    @guarded(options=[option.name for option in dataclasses.fields(Beside)])
    def observe_layers(
        self,
        features: Mapping[str, Any],
        outputs: Any,
        step: Optional[int] = None,
        **options: Any,
    ) -> None:
        """Offer the same rows as several layers see them, against the network's final outputs.

        Arguments:
            features: a mapping from layer name to (..., p), at most 64 layers, p as it may be.
            outputs: (..., C), the final linear outputs; they travel once, not once per layer.
            step: the training step, >= 0; the last one given when left out.
            options: split, labels, targets, n_classes, weights, balanced, copy, position, tokens,
                ignore_index, mask, pool and batch_first, as for `observe`.
        """
        self._offer(features, outputs, Beside(step, **options))

    def _offer(
        self,
        features: Mapping[str, Any],
        outputs: Any,
        beside: Beside,
        head: Any = None,
        put: Optional[Put] = None,
    ) -> None:
        if self.rank > 0 and self._open_fields.get("probe"):
            return  # its rows have one order
        self._has_offered = True
        if head is not None:
            _current.let_go(self)  # it borrows the weights
        offers, complaints = _offers.offers(features, outputs, head, beside, self._kinds)
        step = self._steps.at(beside.step)
        for offer in offers:
            for name, why in offer.left_out.items():
                self._reporter.warn(f"layer {name}", f"layer {name} is left out: {why}")
            (put or self._intake.put_rows)(offer, step)
        if complaints:
            raise ValueError("; ".join(complaints))

    @guarded()
    def observe_moments(
        self, moments: Moments, step: Optional[int] = None, *, layer: str = "head"
    ) -> None:
        """Offer rows that were reduced to `Moments` here, on a GPU or over ranks.

        They count as one batch of `moments.rows` rows. Clear them before the next rows, or these
        would be counted twice; the arrays that were offered stay as they are. Waits for the
        moments' device. A frame over 64 MiB (p beyond 5,792, p x C or C x C beyond 8 Mi values) is
        a ValueError: raised with `raise_errors`, else a warning.
        """
        if moments.rows > 0:
            self._intake.put_moments(layer, moments, self._steps.at(step))

    # ---- scalars ---------------------------------------------------------------------------------

    @guarded()
    def log(
        self, scalars: Mapping[str, Any], step: Optional[int] = None, *, all_ranks: bool = False
    ) -> None:
        """Store named numbers beside the points.

        Values are numbers, 0-d arrays or tensors (the call waits for one on a GPU). A value that is
        not finite is stored as null; one that is no number is left out, with a warning, and the
        others are stored. Names have 1 to 128 bytes. Never waits for the daemon.

        Without `step` it is the last one that was given. Where that would write over a value of
        the same name, the step goes on by one: a loop that gives no step has a series all the same.

        Of several ranks the first one's scalars are stored; with `all_ranks`, or
        `init(scalars="all")`, those of the others, too, as NAME@rank1.
        """
        is_stored = self.rank == 0 or all_ranks or self._all_scalars
        values, left_out = _scalars.numbers(scalars, self.rank) if is_stored else ({}, [])
        step = self._steps.of_log(step, values if is_stored else scalars)
        names = list(values)
        for start in range(0, len(names), _wire.SCALARS_MAX):
            chunk = {name: values[name] for name in names[start : start + _wire.SCALARS_MAX]}
            fields = {**self._steps.stamp(step), "scalars": chunk}
            self._intake.put_control("log", lambda fields=fields: fields)
        if left_out:
            raise ValueError("; ".join(left_out))

    # ---- what has no step ------------------------------------------------------------------------

    @property
    def config(self) -> Constants:
        """The configuration: that of `init`, and what is found out later, by `config.update`."""
        return Constants(functools.partial(self._say_constants, "config"), self._said["config"])

    @property
    def summary(self) -> Constants:
        """What the run came to, by `summary(best_acc=0.93)` or `summary["best_acc"] = 0.93`."""
        return Constants(functools.partial(self._say_constants, "summary"), self._said["summary"])

    @guarded(name="config or summary")
    def _say_constants(self, kind: str, values: Any, fields: Mapping[str, Any]) -> None:
        said = {**_clean.config(values), **_clean.config(fields)}
        if self.rank > 0:
            self._said[kind].update(said)
            return
        if not _fits(said):
            raise ValueError(f"the {kind} is too large (about 1 MiB) and was left out")
        if said:
            self._intake.put_control(kind, lambda: {kind: said})
            self._said[kind].update(said)

    @guarded()
    def alert(self, title: str, text: str = "", level: str = "info") -> None:
        """Note that something happened which a person should see.

        `level` is "info", "warn" or "error", in any case. It is on the logger `richd` at that
        level, and stays in the summary as "alert: TITLE", {"level", "text", "step", "time"}: there
        the page, `richctl show` and `StoredRun.summary` have it. It is an event, of the kind
        "alert" (FEED.md): subscribers, `richctl tail` and the daemon's `--on-event` are told at
        once, and `StoredRun.alerts` lists them. One with the title of an earlier one is told as
        well and takes its place; at most 100 titles are kept. Of several ranks the first one's are.
        """
        level = str(getattr(level, "value", level)).lower()
        _clean.check_choice("level", level, tuple(_ALERT_LEVELS))
        title = _clean.text(title)
        logger.log(_ALERT_LEVELS[level], "run=%s alert: %s: %s", self.id, title, text)
        name = f"alert: {title}"
        kept = [one for one in self._said["summary"] if one.startswith("alert: ")]
        if name not in kept and len(kept) >= ALERTS_MAX:
            raise ValueError(f"{ALERTS_MAX} alerts are kept, and {title!r} is left out")
        short = _clean.text(text, ALERT_TEXT_MAX)
        said = {"level": level, "text": short, "step": self._steps.last, "time": time.time()}
        self.summary[name] = said

    # ---- the end ---------------------------------------------------------------------------------

    @guarded()
    def finish(self, status: str = "finished", timeout: float = EXIT_S) -> None:
        """End the run and wait for the daemon's answer, for at most `timeout` seconds.

        `status` is "finished" or "failed"; a second call does nothing. While the daemon is known to
        be away there is no waiting. A run that was not finished is finished at the interpreter's
        exit; one that nobody holds any more is stored as lost when the process begins another.
        """
        _clean.check_choice("status", status, _STATUSES)
        self._life.finish(status, time.monotonic() + timeout)

    @property
    def _was_offered(self) -> bool:
        """Whether rows came, also where no call could take them."""
        return self._has_offered or any(tap.calls for tap in self._taps)

    def _let_go(self, keep_hooks: bool = False) -> None:
        """The run ends: it takes nothing more, and holds nothing of the model."""
        _current.let_go(self)
        self._warn_of_idle_taps()
        if not keep_hooks:
            self._remove_taps()
            self._reported.forget()
            self._intake = None  # it borrows the weights of heads
        self._sender = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.finish("failed" if _exits.is_failure(error) else "finished")

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, here or in another process, is a handle that knows the run and does nothing."""
        return _copy_of, (self._open_fields, self._find_feed)

    def _repr_html_(self) -> str:
        """What a notebook shows: a link, and D_LR so far; it waits for the daemon at most 1 s."""
        name = f"{self.project}/{self.name}"
        metric = CORRECTED["d_lr"]
        wanted = {"run": self.id, "metrics": [metric], "points": _notebook.POINTS}
        layers = []
        with contextlib.suppress(Exception):  # without a daemon, or before its first point
            answer = _feed.call(self._find_feed, "series.query", wanted, NOTEBOOK_S)
            layers = answer["layers"]
        return _notebook.show(name, self.url, metric, layers)

    def __repr__(self) -> str:
        return f"<richd.Run {self.id} of {self.project}>"


def _warn_of_counted_steps(reporter: Reporter) -> None:
    reporter.warn("step", "without step=, each call goes on by one step", raises=False)


def _copy_of(open_fields: dict[str, Any], find_feed: FeedFinder) -> Run:
    return Run(open_fields, Reporter(open_fields["run"], raise_errors=False), 0, find_feed)


def _fits(fields: Mapping[str, Any]) -> bool:
    """Whether the daemon takes a message with these fields."""
    frame = encode(fields)
    n_values = frame.count(b",") + frame.count(b":")  # at least as many as there are
    return len(frame) <= OPEN_BYTES_MAX and n_values <= OPEN_VALUES_MAX
