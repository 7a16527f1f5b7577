"""The part of a run that watches torch modules: `Run.watch`, and what its hooks bring.

Called by the training thread, at `watch`, in forward passes and at checkpoints. `_watch` has the
hooks, `_reported` the measures of the whole network.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional, Union

from richd import _current
from richd._link import wire as _wire
from richd._link.outbox import Control
from richd._values import clean as _clean
from richd._guard import guarded
from richd._keywords import forgiving
from richd._report import Reporter
from richd._torch.phase import is_capturing
from richd._torch.reported import Reported
from richd._torch.pairing import Given
from richd._torch.reduce import REDUCE, Reducer
from richd._values.held import Piece
from richd._values.labels import NONE
from richd._values.offers import Kinds
from richd._values.pace import Pace
from richd._values.rows import Beside, Offer, of_split
from richd._torch.stack import StackTap
from richd._torch.tangent import NTK
from richd._values.thinning import Draw, Drawn, Thinning
from richd._values.tokens import Position
from richd._torch.modules import find_module, find_modules, is_sharded
from richd._torch.choice import Choice
from richd._torch.watch import WIDE, Hooks, Tap


#: Checkpoints whose points are still to come; of older ones nothing is learned.
ANSWERS_MAX = 16

#: What takes an offer and the step of its rows.
Put = Callable[[Offer, int], None]


class Watcher:
    """What `Run` is made of beside its own life; it offers rows by `_offer`."""

    _sender: Any
    _intake: Any
    _kinds: Kinds
    _pid: int
    _reporter: Reporter

    def __init__(self, share: float) -> None:
        self._taps: list[Hooks] = []
        self._reported = Reported()
        self._reducer = Reducer()
        self._pace = Pace(share)
        self._thinnings: list[Thinning] = []  # of taps, until their last rows are on their way
        self._unread: deque[Control] = deque(maxlen=ANSWERS_MAX)

    def _offer(
        self,
        features: Mapping[str, Any],
        outputs: Any,
        beside: Beside,
        head: Any = None,
        put: Optional[Put] = None,
    ) -> None:
        raise NotImplementedError

    @property
    def rank(self) -> int:
        """Which of the processes that speak for the run this is, from 0."""
        raise NotImplementedError

    @property
    def _step(self) -> int:
        """The last step that the trainer gave."""
        raise NotImplementedError

    @property
    def _has_additive_windows(self) -> bool:
        """Whether a window's points are the same from moments as from rows."""
        raise NotImplementedError

    @property
    def _has_short_windows(self) -> bool:
        """Whether a window ends at its checkpoint, and may hold other rows than the last one."""
        raise NotImplementedError

    @property
    def is_probing(self) -> bool:
        """Whether the model runs for a measure of ours: not the trainer's passes."""
        return self._reported.is_probing

    def spend(self, seconds: float) -> None:
        """A hook took so long."""
        self._pace.add(seconds)

    @forgiving
    def watch(
        self,
        model: Any,
        layer: str = "head",
        *,
        module: Any = None,
        layers: Union[None, str, Sequence[str]] = None,
        outputs: Any = "",
        rows: Union[None, int, str] = "auto",
        every: int = 1,
        train_only: bool = False,
        position: Position = None,
        tokens: Optional[int] = None,
        splits: bool = True,
        parameters: Optional[bool] = None,
        initial: Optional[Mapping[str, Any]] = None,
        ntk: Optional[NTK] = None,
        wide: str = "auto",
        reduce: str = "auto",
        labels: Any = None,
        mask: Union[None, str, bool] = None,
        pool: Optional[str] = None,
        batch_first: bool = True,
    ) -> Union[Tap, StackTap]:
        """Observe a torch module at each of its forward passes, from now on.

        The features are the module's first input, the outputs its output, so the module should
        be the last linear layer; a bias is fine. Inputs of shape (..., p) become rows. Put taps on
        before torch.compile. A copy of the module is not watched. A layer that is applied with
        torch.nn.functional, and not called as a module, is never seen; a checkpoint then warns that
        the tap has no batch.

        Arguments:
            model: a torch.nn.Module.
            layer: the name in richd, and the dotted path of the module.
            module: the path, or the module itself, when it is not `layer`.
            layers: several layers in place of one: paths, or patterns. In "blocks.*" the star
                stays within a name, "blocks.**" is all that is in the blocks. Each layer's own
                *output* is its features, against the network's final outputs, which travel once. A
                layer's rows are the outputs' rows: (n, ...) is flattened to (n, p).
            outputs: with `layers`, the path of the module (or the module) that gives the final
                linear outputs; the model itself by default. Of several tensors it is the one that
                is called logits, or the first that is no single number.
            rows: "auto" (default): of the rows between two checkpoints so many as a point needs,
                evenly drawn (own generator, fixed seed): where there are more, at least 1,024, 4 a
                direction of the outputs, and enough for a standard error of .01, as the points so
                far tell it; at most twice as many. Where richd's calls would take more of the
                training's time than `init(share=)`, passes are left out, by lot: a window has rows
                of at least 5, or of all where the model is called with a mask. Beyond that rows
                are, down to 256 and 2 a direction. A copy of them is held until the checkpoint, at
                most 32 MiB; those left out are the point's rows_thinned. A number: at most so many
                rows a call, and at most 32 MiB of them.
                "all": every row, and d_lr is that of every row. So does "auto" with windows that go
                on over checkpoints, and with a probe.
            every: take each n-th call only, of training and of evaluation.
            train_only: skip calls in eval mode, under no_grad and in inference_mode.
            position: for (batch, sequence, p): "last", an index, or several, [0, 7, -1]. The
                tokens of one sequence are not independent: take one or a few.
            tokens: in place of `position`, so many of them, evenly spaced, the last included.
            splits: rows of eval mode, or that need no gradient, travel as the layer NAME@eval, so
                that those of an evaluation stay out of the training rows' window; False: under the
                same name, for a model that is only ever observed in eval mode.
            parameters: whether each checkpoint brings the squared norm of the model's trainable
                parameters (`param_norm`) and their relative change since now (`param_change`). By
                default where that costs the training nothing that it could notice. On a GPU it is a
                few fused operations of the training's stream, for which nobody waits; the change
                takes a copy of the parameters there, which is made where it is at most 1/64 of the
                device's memory (1/4 with True). In host memory it takes a copy and 2 ms a million
                on one core: by default up to 524,288 parameters, with True any size. With False
                neither comes. They are those of the first model that is watched.
            initial: a state_dict to measure the change from, in place of a copy of now: a run
                that is resumed gives the one with which its first attempt began. The tangent
                kernel's K_0 is computed from it as well. Borrowed: nobody may write into it.
            ntk: the tangent kernel's distance and alignment at checkpoints, off by default
                because it is costly; see `richd.NTK`. One process computes it and waits for no
                other: what wraps the model (DistributedDataParallel, torch.compile) is left out.
                FSDP, which holds shards of the parameters, is refused.
            wide: whether the head's weights stand for the outputs (`observe`, head): "auto"
                (default) where the module is a torch.nn.Linear with C >= p, as language models have
                it, and computes what that class does, and is not sharded (FSDP); "head" for any
                such module; "outputs" never.
            reduce: where rows become moments. "rows": they are sent, and the daemon does it.
                "device": where they lie (CUDA, CPU), on a stream of its own; only the moments are
                copied off it, once a checkpoint. The points are the same but for what needs single
                rows: standard errors, cka_debiased, dormant_features, and d_debiased takes all rows
                for equally long (FEED.md). "auto" (default) does so on CUDA while a window's rows
                are more bytes than its moments, about 4 p (p + 1) + 8 p C + 8 C^2 of p features
                and C outputs; the first window is sent. It keeps 8 (p + C)^2 bytes a layer on the
                device, at most 1/64 of its memory with "auto", and 64 MiB of rows that wait. Where
                a head stands for the outputs there are none (C = 0). It takes every row: with
                rows="auto", "auto" is "rows", and "device" is rows="all". Rows are sent whatever is
                asked for with a probe, and with windows that forget rows one by one.
            labels: the loss module, as torch.nn.CrossEntropyLoss: when it is called with (outputs,
                targets) behind a pass, these are the labels of the pass' rows, or the values of
                mean squared and absolute errors. Or the name of the model's input that has them,
                "labels" of Hugging Face's models; of a causal language model these are the tokens,
                and each is the label of the one before. With a loss that is a function, call
                `tap.labels(y)` in each step. Rows with labels are sent, and not reduced.
            mask: the name of the model's input that says which tokens are real, (batch, sequence):
                by default `attention_mask` where the model has it; False: none. What is padding is
                no row, and `position` and `tokens` are among the real tokens, so that "last" is the
                last of each sequence. Of names that end with padding_mask the tokens are real where
                it is false, as torch.nn.Transformer has it.
            pool: "mean": (n, c, h, w) of a convolution, in any memory format, is its mean over the
                positions, (n, c), of features and outputs.
            batch_first: False: sequences are (sequence, batch, p), as in torch.nn.RNN by default.

        The step of the rows is the last one that was given to checkpoint, log or observe.
        """
        reduce = self._check_reduce(reduce)
        if rows == "auto" and not (self._has_short_windows and reduce != "device"):
            rows = "all"
        options = (every, train_only, position, tokens, splits, pool, batch_first)
        choice = self._choice(model, rows, *options, Thinning(self._pace))
        tap: Union[Tap, StackTap]
        if layers is None:
            tap = Tap(self, layer, choice or Choice())
        else:
            tap = StackTap(self, (), choice or Choice())
        tap.reduce = "rows" if rows == "auto" else reduce
        if choice is None:
            return tap
        if self.rank == 0:  # the network is the same on all
            self._watch_parameters(model, parameters, initial)
            self._watch_tangent(model, ntk, initial)
        if isinstance(tap, StackTap):
            self._attach_stack(tap, model, layers, outputs)
        else:
            self._attach(tap, model, layer if module is None else module, wide)
        if tap.is_on:
            self._follow(tap, model, labels)
            self._mask(tap, model, mask)
        return tap

    @guarded(name="watch")
    def _choice(self, model: Any, *options: Any) -> Optional[Choice]:
        if not hasattr(model, "named_modules"):
            raise ValueError(f"a {type(model).__name__} is no torch module")
        return Choice(*options)

    @guarded(fallback=lambda: "rows", name="watch")
    def _check_reduce(self, reduce: str) -> str:
        _clean.check_choice("reduce", reduce, REDUCE)
        return reduce if self._has_additive_windows else "rows"

    @guarded(name="watch")
    def _watch_parameters(
        self, model: Any, wanted: Optional[bool], initial: Optional[Mapping[str, Any]]
    ) -> None:
        self._reported.watch_parameters(model, wanted, initial)

    @guarded(name="watch")
    def _watch_tangent(
        self, model: Any, ntk: Optional[NTK], initial: Optional[Mapping[str, Any]]
    ) -> None:
        if ntk is not None:
            self._reported.watch_tangent(model, ntk, initial)

    @guarded(fallback=dict, name="parameters")
    def _measure_parameters(self) -> dict[str, float]:
        return {} if self._sender.stopped else self._reported.measure_parameters()

    @guarded(name="parameters")
    def _start_parameters(self) -> Optional[Callable[[], dict[str, float]]]:
        return None if self._sender.stopped else self._reported.start_parameters()

    @guarded(fallback=dict, name="ntk")
    def _measure_tangent(self) -> dict[str, float]:
        return {} if self._sender.stopped else self._reported.measure_tangent()

    @guarded(name="watch")
    def _attach_stack(self, tap: StackTap, model: Any, layers: Any, outputs: Any) -> None:
        modules = find_modules(model, layers)
        final = find_module(model, outputs)
        self._claim(modules)
        tap.layers = tuple(modules)
        tap.attach(model, modules, final)
        self._keep(tap)

    @guarded(name="watch")
    def _attach(self, tap: Tap, model: Any, module: Any, wide: str) -> None:
        _wire.check_layer_name(tap.layer)
        _clean.check_choice("wide", wide, WIDE)
        found = find_module(model, module)
        if wide != "outputs" and is_sharded(model):  # nobody has the whole weight between passes
            if wide == "head":
                raise ValueError("FSDP holds shards of the head's weight: watch without wide=")
            wide = "outputs"
        self._claim({tap.layer: found})
        tap.attach(found, wide)
        self._keep(tap)

    def _keep(self, tap: Hooks) -> None:
        _current.let_go(self)  # it would hold the model
        self._taps.append(tap)
        if tap.thinning is not None:
            self._thinnings.append(tap.thinning)

    @guarded(name="watch")
    def _follow(self, tap: Hooks, model: Any, loss: Any) -> None:
        if isinstance(loss, str):
            tap.follow_input(model, loss)
        elif loss is not None:
            tap.follow(loss)

    @guarded(name="watch")
    def _mask(self, tap: Hooks, model: Any, mask: Union[None, str, bool]) -> None:
        tap.mask_by(model, mask)

    def _claim(self, modules: Mapping[str, Any]) -> None:
        """Take layers from older taps: the rows of one module under one name count once.

        Raises ValueError where another module has a name.
        """
        self._taps = [tap for tap in self._taps if tap.is_on]
        older = [
            (tap, name, tap.module_of(name))
            for tap in self._taps
            for name in modules
            if tap.module_of(name) is not None
        ]
        for _, name, module in older:
            if module is not modules[name]:
                raise ValueError(
                    f"the layer {name} is another module's in this run: watch this one under "
                    "another name (layer=), or call remove() of the other tap before"
                )
        for tap, name, _ in older:
            tap.release(name)

    @guarded(name="watch")
    def _tapped(self, _tap: Hooks, take: Callable[..., None], *args: Any) -> None:
        if not is_capturing():
            take(*args)
            self._reported.begin()
            return
        text = "a CUDA graph is captured: its replays call no hook, so richd sees no rows of them"
        self._reporter.warn("graph", text, raises=False)

    def _offer_tapped(
        self,
        tap: Hooks,
        features: Mapping[str, Any],
        outputs: Any,
        split: Optional[str],
        given: Optional[Given],
        draw: Draw,
    ) -> None:
        thinning = tap.thinning
        if thinning is not None:
            rows = Piece(features, outputs, tap.head, given, self._step, draw.turn.number)
            for drawn in thinning.add(split, draw, rows):
                self._put_drawn(thinning, drawn)
            return
        if given is None:
            features = {
                name: rows
                for name, rows in features.items()
                if not self._is_reduced(tap, of_split(name, split), rows, outputs)
            }
        if features:
            beside = Beside(split=split, copy=False, **(given or {}))
            self._offer(features, outputs, beside, tap.head)

    @guarded(name="checkpoint")
    def _send_drawn(self) -> None:
        """Send what the taps hold, and learn from the points that came how much a window needs."""
        self._pace.turn()
        began = time.perf_counter()
        while self._unread and self._unread[0].done:
            for point in self._unread.popleft().points or ():
                for thinning in self._thinnings:
                    thinning.note(point)
        watching = [tap.thinning for tap in self._taps if tap.is_on]
        for thinning in list(self._thinnings):
            for drawn in thinning.take(self._intake.room_bytes):
                self._put_drawn(thinning, drawn)
            if thinning not in watching:
                self._thinnings.remove(thinning)
        self._pace.add(time.perf_counter() - began)

    @guarded(name="watch")
    def _put_drawn(self, thinning: Thinning, drawn: Drawn) -> None:
        """Check rows that were held, and queue them."""
        rows, n_left = drawn.rows, drawn.n_thinned

        def put(offer: Offer, _step: int) -> None:
            thinning.note_layers(offer.layers, rows)
            n_thinned = round(n_left * offer.n_rows / max(1, rows.n_rows))
            self._intake.put_drawn(offer, rows.step, n_thinned)

        beside = Beside(split=drawn.split, copy=False, **(rows.given or {}))
        self._pace.add_sent(drawn.n_bytes)
        self._offer(rows.features, rows.outputs, beside, rows.head, put)

    def _is_reduced(self, tap: Hooks, layer: str, rows: Any, outputs: Any) -> bool:
        """Whether the rows are in the layer's sums now, which have no place for labels."""
        if self._kinds.has_targets(layer) or not self._reducer.take(
            tap.reduce, layer, rows, outputs, tap.head
        ):
            return False
        if outputs is None:
            self._intake.keep_head(layer, tap.head, rows.shape[1], {})
        self._kinds.settle(layer, NONE)
        return True

    def _offer_waiting(self) -> None:
        """Rows that wait for labels are offered, before a mark or the end."""
        for tap in list(self._taps):
            tap.settle()

    def _send_reduced(self, step: int) -> None:
        for layer in self._reducer.layers():
            self._send_moments(layer, step)

    @guarded(name="checkpoint")
    def _send_moments(self, layer: str, step: int) -> None:
        reduced = self._reducer.flush(layer)
        if reduced is not None:
            self._intake.put_reduced(reduced, step)

    def _warn_of_tap(self, kind: str, text: str) -> None:
        self._reporter.warn(kind, text, raises=False)

    def _remove_taps(self) -> None:
        """Take all hooks off, and let go of the rows that wait for a checkpoint."""
        while self._taps:
            self._taps.pop().remove()
        n_rows = sum(thinning.forget() for thinning in self._thinnings)
        self._thinnings.clear()
        self._reporter.add(rows_offered=n_rows + self._reducer.forget())

    def _warn_of_idle_taps(self) -> None:
        idle = [tap.layer for tap in self._taps if tap.is_on and tap.calls == 0]
        if idle:
            self._reporter.warn(
                "tap",
                f"no batch was seen at {', '.join(idle)}: was the module never called, the tap put "
                "on after torch.compile, or the model compiled with fullgraph=True?",
                raises=False,
            )
