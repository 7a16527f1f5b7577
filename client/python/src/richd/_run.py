"""A run as the trainer sees it: the class Run.

Called by the training thread, or several of them. It numbers batches and control messages, keeps
the promise never to raise, and becomes silent in a forked child. Making one is left to `_init`,
sending to `_sender`, arrays to `_arrays`.
"""

from __future__ import annotations

import atexit
import functools
import os
import secrets
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional, TypeVar, Union

import numpy as np

from richd import _arrays, _clean, _feed, _head, _outbox, _wire
from richd._moments import Moments
from richd._outbox import Batch, Control, Outbox
from richd._parameters import COPY_BYTES_MAX, Parameters
from richd._point import Point
from richd._report import Reporter, RichdError, Stats
from richd._session import Identity, Session, encode
from richd._spectrum import Spectrum, as_array
from richd._tangent import NTK
from richd._version import VERSION
from richd._watch import WIDE, Choice, StackTap, Tap, find_module, find_modules

#: Larger batches are split by rows: the daemon folds the first part while the next one travels.
BATCH_BYTES_MAX = 4 << 20
#: How long an exit may take, with whatever is unanswered (all runs together).
EXIT_S = 2.0
#: What of it is kept for closing the socket.
CLOSE_S = 0.2
#: The daemon takes 1 MiB and 200,000 JSON values; attempt and writer are added later.
OPEN_BYTES_MAX = _wire.CONTROL_MAX - 4096
OPEN_VALUES_MAX = 199_000

_STATUSES = ("finished", "failed")
#: The measures that a checkpoint may bring along.
REPORTED = ("param_norm", "param_change", "ntk_distance", "ntk_alignment")

F = TypeVar("F", bound=Callable[..., Any])


def _guarded(
    fallback: Callable[[], Any] = lambda: None, name: Optional[str] = None
) -> Callable[[F], F]:
    """Make a method of Run safe inside a training loop.

    In a forked child, in a disabled or finished run it does nothing; an exception becomes one
    warning a method, unless raise_errors. In these cases it returns `fallback()`. The warning
    says `name`, what the user called, where that is another method than the guarded one.
    """

    def decorate(method: F) -> F:
        said = name or method.__name__

        @functools.wraps(method)
        def call(self: Run, *args: Any, **kwargs: Any) -> Any:
            if self._sender is None or os.getpid() != self._pid:
                return fallback()
            self._reporter.raise_pending()
            try:
                return method(self, *args, **kwargs)
            except Exception as error:
                if self._reporter.raise_errors:
                    raise
                self._reporter.warn(said, f"{said}: {type(error).__name__}: {error}")
                return fallback()

        return call  # type: ignore[return-value]

    return decorate


@dataclass
class _Layer:
    """What was offered to one layer in this attempt, dropped batches included."""

    seq: int = 0
    rows: int = 0


class Run:
    """One training job in the eyes of richd; made by `init`. Also a context manager.

    Unless `raise_errors` was asked for, no method raises. None blocks but `checkpoint(wait=True)`
    and `finish`, which are bounded. In a forked child every method does nothing.
    """

    def __init__(
        self,
        open_fields: dict[str, Any],
        reporter: Reporter,
        queue_bytes: int = _outbox.BYTES_MAX,
        find_feed: _feed.Find = lambda: None,
    ) -> None:
        self._find_feed = find_feed
        self._open_fields = open_fields
        self._reporter = reporter
        self._outbox = Outbox(bytes_max=queue_bytes)
        self._sender: Any = None  # None: disabled, or finished
        self._pid = os.getpid()
        self._lock = threading.Lock()  # numbers are given and messages queued in one order
        self._layers: dict[str, _Layer] = {}
        self._heads: dict[str, _head.Head] = {}
        self._control_seq = 0
        self._step = 0
        self._taps: list[Union[Tap, StackTap]] = []
        self._last_step: Optional[int] = None
        self._parameters: Optional[Parameters] = None
        self._tangent: Optional[tuple[Any, NTK]] = None  # the model, and what is computed of it
        self._probing = False  # passes of ours are not the trainer's: taps let them go by

    def start(self, find: Callable[[], Optional[str]]) -> None:
        """Connect in the background; `find` returns the daemon's address. Called by `init`."""
        try:
            from richd._sender import Sender

            identity = Identity(
                client=f"richd-python {VERSION}",
                host=_clean.text(socket.gethostname()),
                pid=self._pid,
                writer=secrets.token_hex(16),
                open_fields=self._fitting_open_fields(),
            )
            session = Session(identity, self._outbox)
            self._sender = Sender(session, self._outbox, self._reporter, find)
            self._sender.start()
        except Exception as error:
            self._sender = None
            self._reporter.warn("init", f"disabled, because it could not start: {error!r}")
            return
        _live.add(self)

    def _fitting_open_fields(self) -> dict[str, Any]:
        """The fields of `open`, without the configuration when it would not fit its frame."""
        frame = encode(self._open_fields)
        n_values = frame.count(b",") + frame.count(b":")  # at least as many as there are
        if len(frame) <= OPEN_BYTES_MAX and n_values <= OPEN_VALUES_MAX:
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

    # ---- rows ------------------------------------------------------------------------------------

    @_guarded()
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
    ) -> None:
        """Offer rows of one layer: what went into it beside what linearly came out.

        Arguments:
            features: (..., p), the input of the last layer.
            outputs: (..., C) of as many rows, its *linear* outputs: logits, not probabilities.
            head: in place of outputs, the layer's weight (C, p): for wide outputs (C >= p, at most
                16,384 travel). It is read at each `checkpoint`, as it is then, and its triangle is
                sent (p (p + 1) / 2 values, within the queue): 2 C p^2 operations where the weight
                lies, which `checkpoint` waits for. On a CPU that is 0.5 s of a core for p = 1024,
                C = 12,564, and 25 s for p = 4096, C = 50,257. A bias is not needed.
            step: the training step, >= 0; the last one given when left out.
            layer: the layer's name; p and C are fixed by its first batch.
            split: "eval", or another name, for rows that are not those of training: they are the
                layer LAYER@SPLIT, with a window and points of its own.
            labels: (...) integers in 0..n_classes-1, n_classes being C by default.
            targets: (..., K) values, for regression.
            weights: (...) not negative: how much each row counts. A point of weighted rows has
                n = (sum w)^2 / sum w^2.
            balanced: weigh the classes of `labels` equally: 1 / n_c for a row of class c, with n_c
                counted in this call, times the rows a class has on average.
            copy: False promises that nobody writes into the arrays until they are sent, which may
                be at any time before `finish` returns; then no copy is made of contiguous ones.

        numpy arrays, torch tensors on any device, and whatever has __array__, DLPack or the
        buffer protocol. float16, bfloat16, float32 and float64 travel as they are. Never waits:
        rows that do not fit the queue are dropped and counted.
        """
        if (outputs is None) == (head is None):
            raise ValueError("give outputs, or the head that makes them")
        rows = {_of_split(layer, split): features}
        self._offer(
            rows, outputs, step, labels, targets, n_classes, weights, balanced, copy, head
        )

    @_guarded()
    def observe_layers(
        self,
        features: Mapping[str, Any],
        outputs: Any,
        step: Optional[int] = None,
        *,
        split: Optional[str] = None,
        labels: Any = None,
        targets: Any = None,
        n_classes: Optional[int] = None,
        weights: Any = None,
        balanced: bool = False,
        copy: bool = True,
    ) -> None:
        """Offer the same rows as several layers see them, against the network's final outputs.

        Arguments:
            features: a mapping from layer name to (..., p), at most 64 layers, p as it may be.
            outputs: (..., C), the final linear outputs; they travel once, not once per layer.

        The rest is as for `observe`.
        """
        features = {_of_split(name, split): value for name, value in features.items()}
        self._offer(features, outputs, step, labels, targets, n_classes, weights, balanced, copy)

    def _offer(
        self,
        features: Mapping[str, Any],
        outputs: Any,
        step: Optional[int],
        labels: Any,
        targets: Any,
        n_classes: Optional[int],
        weights: Any,
        balanced: bool,
        copy: bool,
        head: Any = None,
    ) -> None:
        if not 1 <= len(features) <= _wire.LAYERS_MAX:
            raise ValueError(f"1 to {_wire.LAYERS_MAX} layers share outputs, not {len(features)}")
        layers = {name: _arrays.as_rows(value, "features") for name, value in features.items()}
        target = _target_rows(labels, targets)
        weight = _weight_rows(labels, weights, balanced)
        optional = [part for part in (target, weight) if part is not None]
        shared = [*([] if head is not None else [_arrays.as_rows(outputs, "outputs")]), *optional]
        n = shared[0].n_rows if head is None else next(iter(layers.values())).n_rows
        others = [("features", part) for part in layers.values()]
        others += [("targets or weights", part) for part in optional]
        for what, part in others:
            if part.n_rows != n:
                beside = "outputs" if head is None else "features"
                raise ValueError(f"{part.n_rows} rows of {what} beside {n} of {beside}")
        n_outputs = shared[0].n_columns if head is None else _head.shape_of(head)[0]
        n_targets = 0
        if target is not None:
            n_targets = target.n_columns if labels is None else n_classes or n_outputs
        header = {
            "kind": _wire.KIND_ROWS,
            "n_outputs": n_outputs,
            "n_targets": n_targets,
            "outputs_dtype": shared[0].dtype if head is None else _wire.DTYPE_NONE,
            "targets_dtype": target.dtype if target is not None else _wire.DTYPE_NONE,
            "weights_dtype": weight.dtype if weight is not None else _wire.DTYPE_NONE,
        }
        if head is not None:
            self._keep_heads(layers, head, header)
        self._offer_rows(layers, shared, self._at_step(step), header, copy)

    def _keep_heads(
        self, layers: Mapping[str, _arrays.Rows], weight: Any, header: Mapping[str, int]
    ) -> None:
        """Note the weights that the next checkpoint has to send for these layers."""
        n_features = _head.shape_of(weight)[1]
        fields = {
            **{name: header[name] for name in ("n_outputs", "n_targets", "targets_dtype")},
            "kind": _wire.KIND_HEAD,
            "outputs_dtype": _wire.DTYPE_NONE,
            "n_features": n_features,
        }
        for layer, part in layers.items():
            if part.n_columns != n_features:
                raise ValueError(f"{part.n_columns} features, the head takes {n_features}")
            self._heads[layer] = _head.Head(weight, fields)

    @_guarded(name="checkpoint")
    def _send_heads(self, step: int) -> None:
        """Queue the triangle of each head whose layer has rows since the last checkpoint.

        Where a window goes on, every checkpoint measures it anew and needs its head.
        """
        heads = dict(self._heads)
        if self._open_fields["window"]["kind"] == "checkpoint":
            self._heads.clear()
        for layer, head in heads.items():
            r = _head.triangle(head.weight)
            fields = {**head.fields, "features_dtype": _head.dtype_of(r)}
            for first, n_rows, values in _head.slices(r, BATCH_BYTES_MAX):
                self._offer_slice(_Head(layer, {**fields, "first_row": first}), step, n_rows, values)

    def _offer_slice(self, head: _Head, step: int, n_rows: int, values: np.ndarray) -> None:
        """A slice counts no rows; one that finds no room leaves the point without its head."""
        if not self._outbox.reserve(head.size_bytes + values.nbytes):
            self._count_dropped([head], 0)
            return
        with self._lock:
            state = self._layers.setdefault(head.layer, _Layer())
            state.seq += 1
            header = _wire.Header(
                seq=state.seq, step=step, rows_before=state.rows, n_rows=n_rows, **head.fields
            )
            frames = [header.encode(), head.name, _arrays.frame_of(values)]
            self._outbox.put_batch(Batch(0, frames, head.size_bytes + values.nbytes, []))
        self._sender.wake()

    def _offer_rows(
        self,
        layers: Mapping[str, _arrays.Rows],
        shared: Sequence[_arrays.Rows],
        step: int,
        header: dict[str, int],
        copy: bool,
    ) -> None:
        """Split into batches of at most 4 MiB and queue each, or count it as dropped."""
        heads = []
        for i, (layer, part) in enumerate(layers.items()):
            own = {"n_features": part.n_columns, "features_dtype": part.dtype}
            heads.append(_Head(layer, {**header, **own, "n_more": len(layers) - 1 - i}))
            _check_header(heads[-1].fields, step)
        parts = [*layers.values(), *shared]
        n, size = parts[0].n_rows, sum(map(_arrays.row_bytes, parts))
        rows_a_batch = max(1, BATCH_BYTES_MAX // size)
        for start in range(0, n, rows_a_batch):
            stop = min(n, start + rows_a_batch)
            room = sum(head.size_bytes for head in heads) + (stop - start) * size
            if not self._outbox.reserve(room):
                self._count_dropped(heads, stop - start)
                continue
            try:
                staged = [part.stage(start, stop, copy) for part in parts]
            except BaseException:
                self._outbox.release(room)
                raise
            self._queue(heads, step, stop - start, staged, room)

    def _queue(
        self,
        heads: Sequence[_Head],
        step: int,
        n_rows: int,
        staged: Sequence[_arrays.Staged],
        room: int,
    ) -> None:
        """The frames of each head come first of `staged`, one a layer of rows; the rest is shared."""
        waits = [s.wait_filled for s in staged if s.wait_filled is not None]
        frames: list[Any] = []
        with self._lock:
            for head, features in zip(heads, staged):
                state = self._layers.setdefault(head.layer, _Layer())
                state.seq += 1
                frames.append(
                    _wire.Header(
                        seq=state.seq,
                        step=step,
                        rows_before=state.rows,
                        n_rows=n_rows,
                        **head.fields,
                    ).encode()
                )
                frames += (head.name, features.frame)
                state.rows += n_rows
            frames += [s.frame for s in staged[len(heads) :]]
            self._outbox.put_batch(Batch(n_rows * len(heads), frames, room, waits))
        self._reporter.add(rows_offered=n_rows * len(heads))
        self._sender.wake()

    def _count_dropped(self, heads: Sequence[_Head], n_rows: int) -> None:
        """A batch that finds no room still takes its number, so that the gap can be seen."""
        with self._lock:
            for head in heads:
                state = self._layers.setdefault(head.layer, _Layer())
                state.seq += 1
                state.rows += n_rows
        n_rows *= len(heads)
        self._reporter.add(rows_offered=n_rows, rows_dropped=n_rows, batches_dropped=1)
        if self._sender.is_connected:
            text = "rows come faster than the daemon takes them; some are dropped"
            self._reporter.warn("full", text, raises=False)

    @_guarded()
    def observe_moments(
        self, moments: Moments, step: Optional[int] = None, *, layer: str = "head"
    ) -> None:
        """Offer rows that were reduced to `Moments` here, on a GPU or over ranks.

        They count as one batch of `moments.rows` rows. The statistics are copied; clear them
        before the next rows, or these would be counted twice. Waits for the moments' device.
        """
        if moments.rows == 0:
            return
        arrays, xx_dtype = moments.frames()
        header = {
            "kind": _wire.KIND_MOMENTS,
            "n_features": moments.n_features,
            "n_outputs": moments.n_outputs,
            "features_dtype": xx_dtype,
            "outputs_dtype": moments.outputs_dtype,
        }
        step = self._at_step(step)
        _check_header(header, step)
        head = _Head(layer, header)
        room = head.size_bytes + sum(a.nbytes for a in arrays)
        if not self._outbox.reserve(room):
            self._count_dropped([head], moments.rows)
            return
        # Moments never writes into its arrays, it replaces them: lending them is safe.
        staged = [_arrays.Staged(_arrays.frame_of(a)) for a in arrays]
        self._queue([head], step, moments.rows, staged, room)

    # ---- taps ------------------------------------------------------------------------------------

    def watch(
        self,
        model: Any,
        layer: str = "head",
        *,
        module: Any = None,
        layers: Union[None, str, Sequence[str]] = None,
        outputs: Any = "",
        rows: Optional[int] = None,
        every: int = 1,
        train_only: bool = False,
        position: Union[None, int, str] = None,
        splits: bool = True,
        parameters: Optional[bool] = None,
        initial: Optional[Mapping[str, Any]] = None,
        ntk: Optional[NTK] = None,
        wide: str = "auto",
    ) -> Union[Tap, StackTap]:
        """Observe a torch module at each of its forward passes, from now on.

        The features are the module's first input, the outputs its output, so the module should
        be the last linear layer; a bias is fine. Inputs of shape (..., p) become rows. Put taps on
        before torch.compile. A layer that is applied with torch.nn.functional and not called as a
        module is never seen: a tap without a batch says so at a checkpoint.

        Arguments:
            model: a torch.nn.Module.
            layer: the name in richd, and the dotted path of the module.
            module: the path, or the module itself, when it is not `layer`.
            layers: several layers in place of one: paths, or patterns such as "blocks.*". Each
                layer's own *output* is its features, against the network's final outputs, which
                travel once. A layer's rows are the outputs' rows: (n, ...) is flattened to (n, p).
            outputs: with `layers`, the path of the module (or the module) that gives the final
                linear outputs; the model itself by default.
            rows: at most so many rows a call, drawn evenly (own generator, fixed seed).
            every: take each n-th call only.
            train_only: skip calls in eval mode.
            position: "last" or an index, for (batch, sequence, p): one token a sequence, because
                the tokens of a sequence are not independent.
            splits: rows of eval mode travel as the layer NAME@eval, so that those of an
                evaluation stay out of the training rows' window; False: under the same name, for
                a model that is only ever observed in eval mode.
            parameters: whether each checkpoint brings the squared norm of the model's trainable
                parameters (`param_norm`) and their relative change since now (`param_change`),
                which takes a copy of them in host memory. By default the change only where the
                copy is at most 64 MiB; True: whatever its size; False: neither. Measuring reads
                every parameter in host memory, 2.5 ms a million on one core, and waits
                for their device. They are those of the first model that is watched.
            initial: a state_dict to measure the change from, in place of a copy of now: a run
                that is resumed gives the one with which its first attempt began.
            ntk: the tangent kernel's distance and alignment at checkpoints, off by default
                because it is costly; see `richd.NTK`.
            wide: whether the outputs are left to the head's weights (`observe`, head):
                "auto" (default) where the module is a torch.nn.Linear with C >= p, as language
                models have it; "head" for any such module; "outputs" never.

        The step of the rows is the last one that was given to checkpoint, log or observe.
        """
        self._watch_parameters(model, parameters, initial)
        if ntk is not None:
            self._tangent = (model, ntk)
        choice = self._choice(rows, every, train_only, position, splits)
        tap: Union[Tap, StackTap]
        if layers is not None:
            tap = StackTap(self, (), choice or Choice())
            if choice is not None:
                self._attach_stack(tap, model, layers, outputs)
            return tap
        tap = Tap(self, layer, choice or Choice())
        if choice is not None:
            self._attach(tap, model, layer if module is None else module, wide)
        return tap

    @_guarded(name="watch")
    def _choice(self, *options: Any) -> Optional[Choice]:
        return Choice(*options)

    @_guarded(name="watch")
    def _watch_parameters(
        self, model: Any, wanted: Optional[bool], initial: Optional[Mapping[str, Any]]
    ) -> None:
        if wanted is False or self._parameters is not None:
            return
        size = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
        keep = size <= COPY_BYTES_MAX if wanted is None else wanted
        self._parameters = Parameters(model, keep, initial)

    @_guarded(fallback=dict, name="parameters")
    def _measure_parameters(self) -> dict[str, Any]:
        if self._parameters is None or self._sender.stopped:
            return {}
        return self._parameters.measure()

    @_guarded(fallback=dict, name="ntk")
    def _measure_tangent(self) -> dict[str, Any]:
        if self._tangent is None or self._sender.stopped:
            return {}
        model, ntk = self._tangent
        if not ntk.is_due():
            return {}
        self._probing = True
        try:
            return ntk.measure(model)
        finally:
            self._probing = False

    @_guarded(name="watch")
    def _attach_stack(self, tap: StackTap, model: Any, layers: Any, outputs: Any) -> None:
        modules = find_modules(model, layers)
        if len(modules) > _wire.LAYERS_MAX:
            raise ValueError(f"{len(modules)} layers match, at most {_wire.LAYERS_MAX} are watched")
        tap.layers = tuple(modules)
        tap.attach(modules, find_module(model, outputs))
        self._taps.append(tap)

    @_guarded(name="watch")
    def _tapped_stack(
        self, tap: StackTap, seen: Mapping[str, Any], output: Any, split: Optional[str]
    ) -> None:
        features, outputs = tap.take(seen, output)
        self.observe_layers(features, outputs, split=split)
        tap.batches += 1

    @_guarded(name="watch")
    def _attach(self, tap: Tap, model: Any, module: Any, wide: str) -> None:
        _wire.check_layer_name(tap.layer)
        _clean.check_choice("wide", wide, WIDE)
        tap.attach(find_module(model, module), wide)
        self._taps.append(tap)

    @_guarded(name="watch")
    def _tapped(
        self, tap: Tap, args: Any, kwargs: Any, output: Any, split: Optional[str]
    ) -> None:
        features, outputs = tap.take(args, kwargs, output)
        self.observe(features, outputs, layer=tap.layer, split=split, head=tap.head)
        tap.batches += 1

    def _warn_of_idle_taps(self) -> None:
        idle = [tap.layer for tap in self._taps if tap.is_on and tap.calls == 0]
        if idle:
            self._reporter.warn(
                "tap",
                f"no batch was seen at {', '.join(idle)}: was the module never called, or the tap "
                "put on after torch.compile?",
                raises=False,
            )

    # ---- marks -----------------------------------------------------------------------------------

    def checkpoint(
        self,
        step: Optional[int] = None,
        wait: bool = False,
        timeout: float = 5.0,
        spectrum: bool = False,
        metrics: Optional[Mapping[str, Any]] = None,
    ) -> Optional[dict[str, Point]]:
        """Have everything that was offered so far measured and stored as of `step`.

        With `wait`, returns {layer: Point} when it is on the daemon's disk, which takes as long
        as its queue; after `timeout` seconds, or at once while the daemon is known to be away, an
        empty dict. Without, returns None immediately. The mark survives the daemon's restart.

        With `spectrum`, the features are decomposed as well, which costs the daemon about 6 p^3
        operations; `point.spectrum` has the result.

        `metrics` are measures of the whole network that only the trainer can compute, by name:
        param_norm, param_change, ntk_distance, ntk_alignment. They go into the point of every
        layer, in place of those that `watch` computes. What is not finite is null.
        """
        control = self._mark(step, spectrum, metrics)
        if not wait:
            return None
        return self._points_of(control, timeout) or {}

    @_guarded(name="checkpoint")
    def _mark(
        self, step: Optional[int], spectrum: bool, given: Optional[Mapping[str, Any]]
    ) -> Optional[Control]:
        self._warn_of_idle_taps()
        step = self._at_step(step)
        if not self._layers:
            return None
        computed = {**self._measure_parameters(), **self._measure_tangent()}
        metrics = {name: _clean.number(value) for name, value in computed.items()}
        metrics.update(self._check_metrics(given or {}))
        self._send_heads(step)

        def fields() -> dict[str, Any]:
            layers = {k: {"seq": v.seq, "rows": v.rows} for k, v in self._layers.items()}
            asked: dict[str, Any] = {"spectrum": True} if spectrum else {}
            if metrics:
                asked["metrics"] = metrics
            return {"step": step, "time": time.time(), **asked, "layers": layers}

        return self._put_control("checkpoint", fields)

    @_guarded(fallback=dict, name="metrics")
    def _check_metrics(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the trainer; wrong ones cost themselves, and not the checkpoint."""
        for name in given:
            if name not in REPORTED:
                raise ValueError(f"they are {', '.join(REPORTED)}, not {name!r}")
        return {name: _clean.number(value) for name, value in given.items()}

    @_guarded(name="checkpoint")
    def _points_of(self, control: Optional[Control], timeout: float) -> Optional[dict[str, Point]]:
        if control is None:
            return None
        if not self._sender.wait_for(control, timeout):
            if not self._sender.absent and not self._sender.stopped and not control.done:
                self._reporter.warn("wait", f"no answer to a checkpoint within {timeout:g} s")
            return None
        points = [
            Point.from_json(fields).with_fetch(self._fetch_spectrum)
            for fields in control.points or ()
        ]
        return {point.layer: point for point in points}

    # ---- reading back ----------------------------------------------------------------------------

    def _fetch_spectrum(self, point: Point) -> Optional[Spectrum]:
        if point.extra.get("stable_rank") is None:
            return None  # it comes with every spectrum
        params = {"run": self.id, "layer": point.layer, "step": point.step}
        return Spectrum.from_json(_feed.call(self._find_feed, "spectrum.query", params))

    def series(
        self, metric: str = "d_lr", layer: Optional[str] = None, timeout: float = 5.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """A measure over the run so far, as the daemon has it on disk: (steps, values).

        Both are (n,), int64 and float64; a value that is not available is NaN. Beyond 100,000
        points, the last of each of 50,000 bins of steps. `layer` may be left out when the run has one. Unlike the calls that belong
        in a training loop it asks and waits: it raises RichdError when there is no answer within
        `timeout` seconds, no such run, layer or metric.
        """
        params: dict[str, Any] = {"run": self.id, "metrics": [metric], "points": 100000}
        if layer is not None:
            params["layer"] = layer
        layers = _feed.call(self._find_feed, "series.query", params, timeout)["layers"]
        if len(layers) != 1:
            names = ", ".join(entry["layer"] for entry in layers) or "none"
            raise RichdError("EFEED", f"layer has to name one; the run has: {names}")
        columns = layers[0]["columns"]
        values = columns[metric]["last"] if layers[0]["binned"] else columns[metric]
        return np.array(columns["step"], dtype=np.int64), as_array(values)

    # ---- scalars ---------------------------------------------------------------------------------

    @_guarded()
    def log(self, scalars: Mapping[str, Any], step: Optional[int] = None) -> None:
        """Store named numbers beside the points.

        Values are numbers, 0-d arrays or tensors (one on a GPU is waited for); what is not finite
        is stored as null. Names have 1 to 128 bytes. Never waits for the daemon.
        """
        step = self._at_step(step)
        values = {_check_scalar_name(name): _clean.number(v) for name, v in scalars.items()}
        names = list(values)
        for start in range(0, len(names), _wire.SCALARS_MAX):
            chunk = {name: values[name] for name in names[start : start + _wire.SCALARS_MAX]}
            now = time.time()
            self._put_control("log", lambda: {"step": step, "time": now, "scalars": chunk})  # noqa: B023

    def _put_control(self, kind: str, fields: Callable[[], dict[str, Any]]) -> Optional[Control]:
        """Queue a control message behind all that was queued before it; None when it is dropped."""

        def make() -> Control:
            seq = self._control_seq + 1
            payload = encode({"type": kind, "seq": seq, **fields()})
            if len(payload) > _wire.CONTROL_MAX:
                raise ValueError(f"a {kind} of {len(payload)} bytes is over 1 MiB")
            self._control_seq = seq
            return Control(kind, seq, payload)

        with self._lock:
            control = self._outbox.put_control(make)
        if control is not None:
            self._sender.wake()
            return control
        self._reporter.add(controls_dropped=1)
        if not self._sender.stopped:
            self._reporter.warn(
                "controls", f"{_outbox.CONTROLS_MAX} messages wait for the daemon; more are dropped"
            )
        return None

    def _at_step(self, step: Optional[int]) -> int:
        """`step` checked, or the last one."""
        if step is not None:
            whole = int(step)
            if not 0 <= whole <= _wire.INTEGER_MAX or whole != step:
                raise ValueError(f"step is an integer from 0 to 2^53 - 1, not {step!r}")
            self._step = whole
        return self._step

    # ---- the end ---------------------------------------------------------------------------------

    @_guarded()
    def finish(self, status: str = "finished", timeout: float = EXIT_S) -> None:
        """Say the last word and wait for its answer, for at most `timeout` seconds; once is enough.

        `status` is "finished" or "failed". While the daemon is known to be away there is no
        waiting. Runs that were not finished are at the interpreter's exit.
        """
        _clean.check_choice("status", status, _STATUSES)
        self._finish(self._say_close(status), time.monotonic() + timeout)

    def _say_close(self, status: str) -> Optional[Control]:
        self._warn_of_idle_taps()
        for tap in self._taps:
            tap.remove()
        return self._put_control("close", lambda: {"status": status})

    def _finish(self, close: Optional[Control], deadline: float) -> None:
        sender = self._sender
        _live.discard(self)
        self._parameters = self._tangent = None  # the model may be large
        if close is not None:
            sender.wait_for(close, deadline - CLOSE_S - time.monotonic())
        sender.stop(deadline - time.monotonic())
        self._sender = None

    def __enter__(self) -> Run:
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        self.finish("finished" if kind is None else "failed")

    def __repr__(self) -> str:
        return f"<richd.Run {self.id} of {self.project}>"


def _of_split(layer: str, split: Optional[str]) -> str:
    """The layer that rows of a split belong to (INGEST.md)."""
    return layer if split in (None, "train") else f"{layer}@{split}"


def _target_rows(labels: Any, targets: Any) -> Optional[_arrays.Rows]:
    if labels is not None and targets is not None:
        raise ValueError("give labels or targets, not both")
    if labels is not None:
        return _arrays.as_labels(labels)
    return None if targets is None else _arrays.as_rows(targets, "targets")


def _weight_rows(labels: Any, weights: Any, balanced: bool) -> Optional[_arrays.Rows]:
    if balanced:
        if labels is None or weights is not None:
            raise ValueError("balanced=True needs labels, and no weights of its own")
        weights = _arrays.balanced_weights(labels)
    if weights is None:
        return None
    flat = _arrays.as_rows(weights, "weights")
    return flat if flat.n_columns == 1 else _arrays.as_rows(weights.reshape(-1), "weights")


def _check_header(header: dict[str, int], step: int) -> None:
    """Raise before anything is numbered: a batch that cannot be sent was never offered."""
    _wire.Header(seq=1, step=step, rows_before=0, n_rows=1, **header).check()


def _check_scalar_name(name: Any) -> str:
    text = _clean.text(name, _wire.CONTROL_MAX)
    if not 1 <= len(text.encode()) <= _wire.SCALAR_NAME_MAX:
        raise ValueError(f"a scalar's name has 1 to {_wire.SCALAR_NAME_MAX} bytes: {text[:40]!r}")
    return text


#: Runs to be finished when the interpreter exits.
_live: set[Run] = set()


def _finish_all() -> None:
    """At exit: all runs say close at once, then wait together."""
    runs = [run for run in list(_live) if run._pid == os.getpid()]
    failed = hasattr(sys, "last_type") and not hasattr(sys, "ps1")
    deadline = time.monotonic() + EXIT_S
    closes = [run._say_close("failed" if failed else "finished") for run in runs]
    for run, close in zip(runs, closes):
        run._finish(close, deadline)


atexit.register(_finish_all)


class _Head:
    """What goes before a layer's features: its name, and its header but for the numbers."""

    def __init__(self, layer: str, fields: dict[str, int]) -> None:
        self.layer = layer
        self.name = _wire.check_layer_name(layer)
        self.fields = fields
        self.size_bytes = _wire.HEADER_SIZE + len(self.name)
