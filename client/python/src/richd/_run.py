"""A run as the trainer sees it: the class Run.

Called by the training thread, or several of them. It keeps two promises: no call raises unless the
program asked for it, and no call does anything in a forked child. It says when a run begins, is
measured and ends. `_init` makes a run, `_rows` and `_intake` take what is offered, `_sender` sends.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Optional

from richd._link import feed as _feed, wire as _wire
from richd._torch import reported as _reported
from richd import _exits, _life, _reading
from richd._values import clean as _clean, offers as _offers, scalars as _scalars
from richd._guard import guarded
from richd._keywords import forgiving
from richd._life import EXIT_S, Life
from richd._values.constants import Constants
from richd._values.intake import Intake
from richd._values.moments import Moments
from richd._mirrors import Mirror
from richd._link.listener import Listener
from richd._link.outbox import Control, Outbox
from richd._values.pace import SHARE
from richd._values.point import Point
from richd._reading import Reader
from richd._report import Reporter, Stats
from richd._values.rows import Beside
from richd._link.session import Identity, Session, encode
from richd._values.tokens import Position
from richd._version import VERSION
from richd._torch.watcher import Put, Watcher

#: The daemon takes 1 MiB and 200,000 JSON values; attempt and writer are added later.
OPEN_BYTES_MAX = _wire.CONTROL_MAX - 4096
OPEN_VALUES_MAX = 199_000

_STATUSES = ("finished", "failed")


class Run(Watcher, Reader):
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
        find_feed: _feed.Find,
        all_scalars: bool = False,
        share: float = SHARE,
    ) -> None:
        super().__init__(share)
        self._find_feed = find_feed
        self._open_fields = open_fields
        self._reporter = reporter
        self._outbox = Outbox(bytes_max=queue_bytes)
        self._sender: Any = None  # None: disabled, or finished
        self._intake: Any = None  # there is one where there is a sender
        self._life: Any = None  # as well
        self._pid = os.getpid()
        self._all_scalars = all_scalars
        self._step = 0
        self._step_is_given = False  # by any call so far
        self._said = {"config": dict(open_fields["config"]), "summary": {}}
        self._logged: set[str] = set()  # names of this step's scalars
        self._is_marked = False  # this step has its checkpoint
        self._has_offered = False
        self._kinds = _offers.Kinds()
        self._mirrors: Sequence[Mirror] = ()

    def start(self, find: Callable[[], str]) -> None:
        """Connect in the background. Called by `init`.

        `find` returns the daemon's address, or raises NotFoundError.
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
            self._sender = Sender(session, self._outbox, self._reporter, find)
            self._intake = Intake(self._outbox, self._reporter, self._sender)
            self._life = Life(self, self._sender, self._intake, self._reporter)
            self._sender.start()
        except Exception as error:
            self._sender = None
            text = f"the run is disabled: its sender could not be started: {error!r}"
            self._reporter.warn("init", text)
            return
        _life.begin(self._life)

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
        offers, complaints = _offers.offers(features, outputs, head, beside, self._kinds)
        step = self._at_step(beside.step)
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
            self._intake.put_moments(layer, moments, self._at_step(step))

    # ---- marks -----------------------------------------------------------------------------------

    @forgiving
    def checkpoint(
        self,
        step: Optional[int] = None,
        wait: bool = False,
        timeout: float = 5.0,
        spectrum: bool = False,
        metrics: Optional[Mapping[str, Any]] = None,
    ) -> Optional[dict[str, Point]]:
        """Have the daemon measure what was offered so far, and store it under `step`.

        `step` is an integer from 0 to 2^53 - 1, the last one given when left out (or the next,
        where that has a checkpoint). With `wait`, it returns {layer: Point} when the points are on
        the daemon's disk, which takes as long as the daemon's queue. After `timeout` seconds, or at
        once while the daemon is known to be away, it returns an empty dict. Without `wait`, it
        returns None immediately. The mark survives the daemon's restart.

        With `spectrum`, the features are decomposed as well (`richd.Spectrum`), which costs the
        daemon about 6 p^3 operations; `point.spectrum` has the result.

        `metrics` are measures of the whole network that only the trainer can compute, by name:
        param_norm, param_change, ntk_distance, ntk_alignment. They go into the point of every
        layer, in place of those that `watch` computes. A value that is not finite is stored as
        null.
        """
        control = self._mark(step, spectrum, metrics, wait)
        if control is not None:
            self._unread.append(control)
        if not wait:
            return None
        return self._points_of(control, timeout) or {}

    @guarded(name="checkpoint")
    def _mark(
        self,
        step: Optional[int],
        spectrum: bool,
        given: Optional[Mapping[str, Any]],
        wait: bool,
    ) -> Optional[Control]:
        self._warn_of_idle_taps()
        self._offer_waiting()
        step = self._step_for(step, self._is_marked)
        self._send_reduced(step)
        self._send_drawn()
        if self._intake.is_empty and self.world_size == 1:  # else the others wait for it
            return None
        self._is_marked = True
        self._look_for_trackers()
        metrics, reported, started = {}, {}, None
        if self.rank == 0:  # the network is the same on all
            computed = {**self._measure_parameters(), **self._measure_tangent()}
            metrics = {name: _clean.number(value) for name, value in computed.items()}
            reported = self._check_metrics(given or {})
            metrics.update(reported)
            started = self._start_parameters()
        self._send_heads(step, wait)
        mark = self._stamp(step)

        def fields() -> dict[str, Any]:
            asked: dict[str, Any] = {"spectrum": True} if spectrum else {}
            if metrics:
                asked["metrics"] = metrics
            return {**mark, **asked, "layers": self._intake.marks()}

        if started is None:
            return self._intake.put_control("checkpoint", fields)

        asked = started

        def late() -> dict[str, Any]:
            values = {**metrics, **self._arrived(asked), **reported}
            return {"metrics": values} if values else {}

        return self._intake.put_control("checkpoint", fields, late=late)

    def _arrived(self, started: Callable[[], dict[str, float]]) -> dict[str, Any]:
        """The measures that a device was asked for. Called by the sender, which waits for them."""
        try:
            return {name: _clean.number(value) for name, value in started().items()}
        except Exception as error:
            self._reporter.warn("parameters", f"parameters: {error!r}", raises=False)
            return {}

    @guarded(name="checkpoint")
    def _send_heads(self, step: int, wait: bool) -> None:
        """A window that goes on is measured at every checkpoint, and needs its heads each time."""
        keep = self._open_fields["window"]["kind"] != "checkpoint"
        self._intake.put_heads(step, keep, wait, send=self.rank == 0)

    @guarded(fallback=dict, name="metrics")
    def _check_metrics(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The measures of the trainer. A wrong one is left out, and the checkpoint goes on."""
        return _reported.check(given)

    @guarded(name="checkpoint")
    def _points_of(self, control: Optional[Control], timeout: float) -> Optional[dict[str, Point]]:
        if control is None:
            return None
        sender = self._sender
        if not sender.wait_for(control, timeout):
            if not sender.absent and not sender.stopped and not control.done:
                self._reporter.warn("wait", f"no answer to a checkpoint within {timeout:g} s")
            return None
        fetch = functools.partial(_reading.fetch_spectrum, self._find_feed, self.id)
        points = [Point.from_json(f).with_fetch(fetch) for f in control.points or ()]
        return {point.layer: point for point in points}

    def on_point(self, callback: Callable[[Point], Any]) -> Callable[[Point], Any]:
        """Have `callback(point)` called with each point that the daemon has stored from now on.

        It runs in a thread of its own, in the order of the checkpoints, also of those without
        `wait`; the training never waits for it. Up to 1,024 points wait for a slow one, more are
        dropped. An exception costs a warning, once. `finish` gives it what is left of its 2 s.
        Returns `callback`, so that it can stand above a function as `@run.on_point`.
        """
        self._listen(callback)
        return callback

    def mirror(self, mirrors: Sequence[Mirror]) -> None:
        """Have these written to as well. Called by `init`."""
        self._mirrors = mirrors
        self._look_for_trackers()
        for one in mirrors:
            self._listen(one, one.name, one.close)

    @guarded(name="mirror")
    def _look_for_trackers(self) -> None:
        for one in self._mirrors:
            one.look()

    @guarded(name="on_point")
    def _listen(
        self,
        callback: Callable[[Point], Any],
        name: Optional[str] = None,
        at_end: Optional[Callable[[], Any]] = None,
    ) -> None:
        """`name` is for warnings; `at_end` is called after the last point."""
        fetch = functools.partial(_reading.fetch_spectrum, self._find_feed, self.id)  # holds no run
        name = name or f"on_point({getattr(callback, '__qualname__', repr(callback))})"

        def call(fields: dict[str, Any]) -> None:
            callback(Point.from_json(fields).with_fetch(fetch))

        self._sender.listeners.append(Listener(name, call, self._reporter, at_end))

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
        step = self._step_of_log(step, values if is_stored else scalars)
        names = list(values)
        for start in range(0, len(names), _wire.SCALARS_MAX):
            chunk = {name: values[name] for name in names[start : start + _wire.SCALARS_MAX]}
            fields = {**self._stamp(step), "scalars": chunk}
            self._intake.put_control("log", lambda fields=fields: fields)
        if left_out:
            raise ValueError("; ".join(left_out))

    def _stamp(self, step: int) -> dict[str, Any]:
        """Step and time of a message. A step that nobody gave does not begin the attempt."""
        implied = {} if self._step_is_given else {"implied": True}
        return {"step": step, "time": time.time(), **implied}

    def _step_for(self, step: Optional[int], is_taken: Any) -> int:
        """`step` checked, or the last one; or the next one where that is taken."""
        if step is None and is_taken:
            self._reporter.warn(
                "step", "without step=, each call goes on by one step", raises=False
            )
            step = self._step + 1
        return self._at_step(step)

    def _at_step(self, step: Optional[int]) -> int:
        """`step` checked, or the last one."""
        if step is not None:
            whole = int(step)
            if not 0 <= whole <= _wire.INTEGER_MAX or whole != step:
                raise ValueError(f"step is an integer from 0 to 2^53 - 1, not {step!r}")
            if whole != self._step:
                self._logged.clear()
                self._is_marked = False
            self._step = whole
            self._step_is_given = True
        return self._step

    def _step_of_log(self, step: Optional[int], names: Iterable[str]) -> int:
        """Counted on all ranks, so that their checkpoints have one step."""
        step = self._step_for(step, self._logged.intersection(names))
        self._logged.update(names)
        return step

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

    def __repr__(self) -> str:
        return f"<richd.Run {self.id} of {self.project}>"


def _copy_of(open_fields: dict[str, Any], find_feed: _feed.Find) -> Run:
    return Run(open_fields, Reporter(open_fields["run"], raise_errors=False), 0, find_feed)


def _fits(fields: Mapping[str, Any]) -> bool:
    """Whether the daemon takes a message with these fields."""
    frame = encode(fields)
    n_values = frame.count(b",") + frame.count(b":")  # at least as many as there are
    return len(frame) <= OPEN_BYTES_MAX and n_values <= OPEN_VALUES_MAX
