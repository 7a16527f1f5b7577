"""Taps: forward hooks that hand a torch module's input and output to a run.

The hooks run in the thread that runs the model, inside its forward pass; they hold no lock and
never raise. `_hook` is one of them, `_choice` says which calls and rows are taken, `_stack` watches
several layers, `_modules` finds modules and tensors, and `Run` copies and sends. Only this folder
imports torch, and only when `Run.watch` is called.
"""

from __future__ import annotations

import functools
import time
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Protocol, Union

import numpy as np

from richd._keywords import forgiving_function
from richd._torch.choice import Choice
from richd._torch.hook import add_hook, add_pre_hook
from richd._torch.inputs import Input
from richd._torch.masks import Masks
from richd._torch.modules import (
    find_outputs,
    first_tensor,
    is_causal_model,
    is_convolution,
    is_head,
    is_lazy,
    is_linear,
)
from richd._torch.pairing import Given, Pairing, Waiting
from richd._torch.phase import is_in_backward, split_of
from richd._values import arrays as _arrays, labels as _labels
from richd._values.thinning import ALL_ROWS, Draw, Turn
from richd._values.tokens import Tokens, width_error

#: What may be said of outputs that the module's weights can stand for.
WIDE = ("auto", "head", "outputs")
#: What is given for the rows themselves, and not to read it by.
_VALUES = ("labels", "targets")
#: Losses whose targets are values, also where these are whole numbers.
_REGRESSIONS = ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "GaussianNLLLoss")


class Taker(Protocol):
    """What a tap knows of its run: whether passes are to be ignored, and where the rows go."""

    @property
    def is_probing(self) -> bool:
        """Passes of this client run, not the trainer's."""

    def _tapped(self, tap: Hooks, take: Callable[..., None], *args: Any) -> None:
        """Call `take(*args)` so that nothing it raises gets out."""

    def _offer_tapped(
        self,
        tap: Hooks,
        features: Mapping[str, Any],
        outputs: Any,
        split: Optional[str],
        given: Optional[Given],
        draw: Draw,
    ) -> None:
        """Offer rows (n, p) by layer, which nobody else writes into; outputs None for a head.

        `given` are their labels or targets, and how to read them; `draw` says how they were taken.
        """

    def _warn_of_tap(self, kind: str, text: str) -> None: ...

    def spend(self, seconds: float) -> None:
        """A hook took so long."""


class Hooks:
    """The hooks of one `Run.watch`, and which of their calls are taken.

    A copy of it, or one that was pickled, is on no module and belongs to no run. It keeps no module
    alive.

    Attributes:
        batches: calls whose rows were taken.
        calls: calls that were seen: passes that reached the module whose outputs count.
        reduce: where their rows are reduced, as `Run.watch` says.
        thinning: holds rows until the checkpoint; None: they are sent at once.
    """

    reduce = "rows"

    def __init__(self, run: Taker, choice: Choice) -> None:
        self.batches = 0
        self.calls = 0
        self._run = run
        self._choice = choice
        self.thinning = choice.thinning
        self._handles: list[Any] = []
        self._watched: dict[str, tuple[Any, Any]] = {}  # layer -> its module (weak), its hook
        self._n_begun: dict[str, int] = {}  # by split
        self._run_again = False  # so it was once
        self._has_trained = False  # a pass with a gradient was seen that was no backward pass's
        self._pairing = Pairing()
        self._masks: Optional[Masks] = None

    def __getstate__(self) -> dict[str, Any]:
        return {
            **vars(self),
            "_run": None,
            "_handles": [],
            "_watched": {},
            "_pairing": Pairing(),
            "_masks": None,
        }

    @property
    def layer(self) -> str:
        """The layer's name in richd; of several all their names."""
        raise NotImplementedError

    @property
    def head(self) -> Any:
        """The weight (C, p) that stands for the outputs; None: the outputs themselves travel."""
        return None

    @property
    def is_on(self) -> bool:
        """False before it is attached, and when it was taken off or its module is gone."""
        return any(module() is not None for module, _ in self._watched.values())

    def remove(self) -> None:
        """Take the hooks off the modules; a second call does nothing."""
        self.settle()
        while self._handles:
            self._handles.pop().remove()
        self._watched.clear()

    def module_of(self, layer: str) -> Any:
        """The module that is watched under that name; None when there is none, or it is gone."""
        module, _ = self._watched.get(layer, (None, None))
        return None if module is None else module()

    def release(self, layer: str) -> None:
        """Watch that layer no longer; without any layer there are no hooks left."""
        _, handle = self._watched.pop(layer)
        handle.remove()
        if not self._watched:
            self.remove()

    def _add_hook(self, layer: str, module: Any, function: Callable[..., None]) -> None:
        handle = add_hook(module, self._timed(function), reads_keywords=False)
        self._handles.append(handle)
        self._watched[layer] = (weakref.ref(module), handle)

    def _timed(self, function: Callable[..., None]) -> Callable[..., None]:
        """The function, whose time counts as spent."""
        clock, spend = time.perf_counter, self._run.spend

        @functools.wraps(function)
        def call(*args: Any) -> None:
            began = clock()
            function(*args)
            spend(clock() - began)

        return call

    @forgiving_function
    def labels(
        self,
        labels: Any,
        *,
        n_classes: Optional[int] = None,
        ignore_index: Optional[int] = None,
    ) -> None:
        """Give labels to the rows of one pass, one for each row of the outputs.

        Call it in each step before the model, or in each step behind it. Without labels the rows
        are offered when the next pass begins. The labels of a layer begin with its first rows.
        They may be written over when this returns.

        Arguments:
            labels: (...) whole numbers or (..., K) one-hot, as for `Run.observe`. Of the tokens,
                rows and calls that the tap takes it takes theirs. Labels (batch, sequence - 1) are
                those of all tokens but the last of each sequence.
            n_classes: K; the number of outputs by default.
            ignore_index: a label that means none, where that is not below 0.
        """
        self._give({"labels": labels, "n_classes": n_classes, "ignore_index": ignore_index})

    @forgiving_function
    def targets(self, targets: Any) -> None:
        """The same of values (..., K), for regression."""
        self._give({"targets": targets})

    def settle(self) -> None:
        """Offer the rows that wait for labels as they are."""
        if self._run is not None:
            self._run._tapped(self, self._pairing.settle)

    def follow(self, loss: Any) -> None:
        """Take the labels or targets from a loss module, (outputs, targets), when it is called.

        Raises ValueError for what is no module.
        """
        if not hasattr(loss, "register_forward_hook"):
            raise ValueError(
                f"labels= is the loss module that is called with (outputs, targets), not a "
                f"{type(loss).__name__}: give labels by tap.labels()"
            )
        self._pairing.is_behind = True
        self._handles.append(add_hook(loss, self._timed(self._on_loss)))

    def follow_input(self, model: Any, name: str) -> None:
        """Take the labels from the model's input of that name, as Hugging Face's models have it.

        Those of a causal language model are its tokens: each is the next one's. Raises ValueError
        where the model has no such input.
        """
        found, is_causal = Input(model, name), is_causal_model(model)
        found.check("labels")

        def give(found: Input, args: Any, kwargs: Any) -> None:
            given = found.of(args, kwargs)
            if is_causal and getattr(given, "ndim", 0) > 1:
                given = given[..., 1:]
            self._pairing.give_next(None if given is None else {"labels": _copied(given)})

        def on_begin(_model: Any, args: Any, kwargs: Any) -> None:
            if not self._run.is_probing:
                self._run._tapped(self, give, found, args, kwargs)

        self._pairing.is_behind = False
        self._handles.append(add_pre_hook(model, self._timed(on_begin)))

    def _on_loss(self, loss: Any, args: Any, kwargs: Any, _output: Any) -> None:
        target = kwargs.get("target", args[1] if len(args) > 1 else None)
        if target is None:
            return
        if type(loss).__name__ in _REGRESSIONS:
            self.targets(target)
        else:
            self.labels(target, ignore_index=getattr(loss, "ignore_index", None))

    def _give(self, given: Given) -> None:
        modules = [module() for module, _ in self._watched.values()]
        if self._run is None or self._run.is_probing or not modules or modules[-1] is None:
            return
        if self._pairing.is_behind and not self._pairing.is_waiting:
            return  # they are those of a pass that was left out
        split = split_of(modules[-1])
        if split is None:
            return

        def give(split: str) -> None:
            own = {k: _copied(v) if k in _VALUES else v for k, v in given.items()}
            self._pairing.give(own, split)

        self._run._tapped(self, give, split)

    def _wait(
        self,
        split: str,
        shape: tuple[int, ...],
        tokens: Tokens,
        index: Optional[np.ndarray],
        offer: Callable[[Optional[Given]], None],
    ) -> None:
        """Offer the rows of a pass when their labels are there, if there are any.

        They were made of these tokens of a tensor of that shape; `index` are the rows that are
        taken of them.
        """
        is_labelled = self.reduce != "device"
        if not self._pairing.concerns(split, is_labelled):
            offer(None)
            return

        def fits(given: Given) -> Given:
            return {
                k: _labels.cut(v, tokens, shape, index) if k in _VALUES else v
                for k, v in given.items()
            }

        self._pairing.add(Waiting(split, fits, offer), is_labelled)

    def _passes_over(self, module: Any) -> Optional[str]:
        """The split of the call that begins where it is left out; None: it may be taken.

        It is asked before all that a call needs otherwise, so that it costs a few microseconds.
        """
        thinning = self.thinning
        if thinning is None or thinning.takes_all_passes or self._run_again or self._run.is_probing:
            return None
        split = self._choice.split_of(module)
        if split is None or not thinning.passes_over(self._choice.name_of(split)):
            return None
        if not self._pairing.is_idle:
            self._run._tapped(self, self._pairing.pass_over)
        return split

    def _turn(self, split: str) -> Optional[Turn]:
        """The turn of a call of that split; None: it is left out."""
        if self.thinning is None:
            return ALL_ROWS
        turn = self.thinning.turn(self._choice.name_of(split))
        if turn is None:
            self._pairing.pass_over()
        return turn

    def _leave_out(self, split: str, values: Any, n_calls: int = 1) -> None:
        """Count the rows of a call that is left out: one for each of the first tensor. No raise."""
        try:
            shape = first_tensor(values, "the call").shape
            n = n_calls * self._choice.tokens.n_rows(tuple(shape))
        except Exception:
            return  # a call that is taken tells
        if self.thinning is not None:
            self.thinning.leave_out(self._choice.name_of(split), n)

    def _begin(self, module: Any) -> Optional[str]:
        """Count a call that begins; its split when its rows are to be taken."""
        split = None if self._run.is_probing else self._choice.split_of(module)
        if split is None or (split == "train" and self._is_run_again()):
            return None
        if self._pairing.is_waiting:
            self._run._tapped(self, self._pairing.begin)
        self._n_begun[split] = self._n_begun.get(split, 0) + 1
        return split if self._choice.takes_call(self._n_begun[split]) else ""

    def _is_run_again(self) -> bool:
        """Whether activations that were thrown away are computed again, for the gradient.

        In a reentrant checkpoint that is the layer's first pass with a gradient.
        """
        if is_in_backward():
            self._run_again = self._has_trained
            return self._has_trained
        self._has_trained = True
        return False

    def mask_by(self, model: Any, wanted: Union[None, str, bool]) -> None:
        """Leave padding out, by the mask that the model is called with (`Masks`)."""
        masks = Masks(wanted, lambda text: self._run._warn_of_tap("mask", text))
        handles = masks.attach(model)
        self._handles += handles
        self._masks = masks if handles else None
        if self._masks is not None and self.thinning is not None:
            self.thinning.takes_all_passes = True  # how many rows one has, its mask says

    def _tokens_of(self, tensor: Any) -> Tokens:
        """Which tokens of the tensor are taken, in the pass that this thread runs."""
        tokens = self._choice.tokens
        return tokens if self._masks is None else self._masks.tokens_of(tokens, tuple(tensor.shape))

    def _check_layout(self, module: Any, tensor: Any) -> None:
        """Raise ValueError where the last dimension would be taken for columns, and is a width."""
        if self._choice.tokens.pool is None and not is_linear(module):
            if tensor.ndim > 3 or is_convolution(module):
                raise width_error(tuple(tensor.shape))

    def _outputs_in(self, values: Any, what: str) -> Any:
        outputs, guess = find_outputs(values, what)
        if guess is not None:
            self._run._warn_of_tap("outputs", f"{what} holds several tensors: richd takes {guess}")
        return outputs


class Tap(Hooks):
    """What `Run.watch` returns: one hook on one module.

    Attributes:
        layer: the layer's name in richd.
        batches: calls whose rows were taken.
        calls: forward passes of the module that were seen.
    """

    def __init__(self, run: Taker, layer: str, choice: Choice) -> None:
        super().__init__(run, choice)
        self._layer = layer
        self._wide = ""  # how to decide about the head at its first call
        self._linear: Any = None  # a weak reference
        self._known: tuple[Any, int] = (None, 0)  # the last call's form, and bytes of a row

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_linear": None}

    @property
    def layer(self) -> str:
        return self._layer

    @property
    def head(self) -> Any:
        linear = None if self._linear is None else self._linear()
        return None if linear is None else linear.weight

    def attach(self, module: Any, wide: str = "auto") -> None:
        """Put the hook onto a torch module; `wide` says whether its weights stand for outputs.

        A lazy module has its weights from its first call on.
        """
        if is_lazy(module):
            self._wide = wide
        else:
            self._decide(module, wide)
        self._add_hook(self._layer, module, self._on_forward)

    def _decide(self, module: Any, wide: str) -> None:
        self._wide = ""
        self._linear = weakref.ref(module) if is_head(module, wide) else None

    def remove(self) -> None:
        super().remove()
        self._linear = None

    def _on_forward(self, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        inputs = (*args, *kwargs.values())
        split = self._passes_over(module)
        if split is None:
            self._run._tapped(self, self._take, module, inputs, output)
        else:
            self.calls += 1
            self._leave_out(split, inputs)

    def _take(self, module: Any, inputs: Any, output: Any) -> None:
        split = self._begin(module)
        if split is None:
            return
        self.calls += 1
        if self._wide:
            self._decide(module, self._wide)
        if not split:
            return
        tensor = first_tensor(inputs, "the module's input")
        turn = self._turn(split)
        if turn is None:
            self._leave_out(split, tensor)
            return
        tokens = self._tokens_of(tensor)
        parts = [matrix(tokens, tensor)]
        if self._linear is None:
            parts.append(matrix(tokens, self._outputs_in(output, "the module's output")))
        size = self._checked(module, tensor, parts)
        name = self._choice.name_of(split)
        draw = self._choice.draw(parts[0].shape[0], size, name, turn)
        rows = _arrays.copies_of_rows(parts, draw.index)
        self.batches += 1
        offer = functools.partial(self._offer, name, rows, draw)
        self._wait(split, tuple(tensor.shape), tokens, draw.index, offer)

    def _checked(self, module: Any, tensor: Any, parts: Sequence[Any]) -> int:
        """The bytes of a row, once it is known that the parts are rows. Raises ValueError else."""
        first, last = parts[0], parts[-1]
        form = (tensor.shape, first.shape, first.dtype, last.shape, last.dtype)
        known, size = self._known
        if form != known:  # most passes are as the last one
            self._check_layout(module, tensor)
            if len(first) != len(last):
                raise ValueError(f"{len(first)} rows went into the module, {len(last)} came out")
            size = sum(map(row_bytes, parts))
            self._known = form, size
        return size

    def _offer(
        self,
        split: Optional[str],
        rows: Sequence[Any],
        draw: Draw,
        given: Optional[Given],
    ) -> None:
        outputs = rows[1] if len(rows) > 1 else None
        self._run._offer_tapped(self, {self.layer: rows[0]}, outputs, split, given, draw)


def matrix(tokens: Tokens, tensor: Any) -> Any:
    """(n, columns): a row is a token."""
    if tokens.is_all and tensor.ndim == 2:
        return tensor.detach()
    picked = tokens.columns(tensor.detach())
    return picked.reshape(-1, picked.shape[-1])


def _copied(values: Any) -> Any:
    """A copy of an array or tensor, on its device."""
    array = _arrays.as_array(values)
    return array.clone() if hasattr(array, "clone") else np.array(array)


def row_bytes(rows: Any) -> int:
    """Bytes of one row of (n, columns)."""
    return rows.shape[-1] * rows.element_size()
