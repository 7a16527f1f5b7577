"""Taps: forward hooks that hand a torch module's input and output to a run.

The hook runs in the training thread, inside the model's forward pass; it holds no lock and never
raises. `Run.observe` copies and sends. Only this file imports torch, and only when `Run.watch` is
called.
"""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional, Protocol, Union

import numpy as np

from richd._values import arrays as _arrays
from richd._values.tokens import Position, Tokens

#: What may be said of outputs that the module's weights can stand for.
WIDE = ("auto", "head", "outputs")


class Choice:
    """Which calls and rows a tap takes, and under which split; the options of `Run.watch`.

    Raises ValueError for options that mean nothing.
    """

    def __init__(
        self,
        rows: Optional[int] = None,
        every: int = 1,
        train_only: bool = False,
        position: Position = None,
        tokens: Optional[int] = None,
        splits: bool = True,
    ) -> None:
        if every < 1 or (rows is not None and rows < 1):
            raise ValueError(f"every and rows are at least 1, not every={every}, rows={rows}")
        self.tokens = Tokens(position, tokens)
        self._rows = rows
        self._every = every
        self._train_only = train_only
        self._splits = splits
        # Its own generator, with a fixed seed: the trainer's random numbers stay as they are.
        self._generator = np.random.default_rng(0)

    def is_of_interest(self, module: Any) -> bool:
        """Whether calls in the module's mode are taken at all."""
        return module.training or not self._train_only

    def takes_call(self, number: int) -> bool:
        """Whether the call of that number, from 1, is one of each `every`."""
        return (number - 1) % self._every == 0

    def split_of(self, module: Any) -> Optional[str]:
        """The split that the module's mode stands for; None: rows of training."""
        return "eval" if self._splits and not module.training else None

    def draw(self, n: int) -> Optional[np.ndarray]:
        """The indices of the rows to take of n; None: all of them."""
        if self._rows is None or n <= self._rows:
            return None
        return _arrays.subsample(n, self._rows, self._generator)


class Taker(Protocol):
    """What a tap knows of its run: whether passes are to be ignored, and where the rows go."""

    @property
    def is_probing(self) -> bool:
        """Passes of this client run, not the trainer's."""

    def _tapped(self, tap: Hooks, inputs: Any, output: Any, split: Optional[str]) -> None: ...


class Hooks:
    """The hooks of one `Run.watch`, and which of their calls are taken.

    Attributes:
        batches: calls whose rows were taken.
        calls: calls that were seen: passes that reached the module whose outputs count.
    """

    def __init__(self, run: Taker, choice: Choice) -> None:
        self.batches = 0
        self.calls = 0
        self._run = run
        self._choice = choice
        self._handles: list[Any] = []

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
        """False before it is attached, and when it was taken off."""
        return bool(self._handles)

    def remove(self) -> None:
        """Take the hooks off the modules; a second call does nothing."""
        while self._handles:
            self._handles.pop().remove()

    def take(self, inputs: Any, output: Any) -> tuple[dict[str, Any], Any]:
        """The rows to send of one call: features (n, p) by layer; outputs (n, C), None for a head.

        Raises ValueError where the rows of both do not fit each other.
        """
        raise NotImplementedError

    def _add_hook(self, module: Any, hook: Callable[..., None]) -> None:
        self._handles.append(_register(module, hook))

    def _offer_call(self, module: Any, inputs: Any, output: Any) -> None:
        """Count one call of the module whose outputs count, and offer its rows if it is taken.

        `inputs` None: there are no features beside the outputs.
        """
        if self._run.is_probing or not self._choice.is_of_interest(module):
            return
        self.calls += 1
        if self._choice.takes_call(self.calls) and inputs is not None:
            self._run._tapped(self, inputs, output, self._choice.split_of(module))

    def _rows_of(self, tensor: Any) -> Any:
        picked = self._choice.tokens.columns(tensor)
        return picked.detach().reshape(-1, picked.shape[-1])


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
        self._linear: Any = None

    @property
    def layer(self) -> str:
        return self._layer

    @property
    def head(self) -> Any:
        return None if self._linear is None else self._linear.weight

    def attach(self, module: Any, wide: str = "auto") -> None:
        """Put the hook onto a torch module; `wide` says whether its weights stand for outputs."""
        self._linear = module if _is_head(module, wide) else None
        self._add_hook(module, self._on_forward)

    def _on_forward(self, module: Any, args: Any, *rest: Any) -> None:
        """torch calls (module, args, output), or (module, args, kwargs, output)."""
        kwargs, output = rest if len(rest) > 1 else ({}, rest[0])
        self._offer_call(module, (*args, *kwargs.values()), output)

    def take(self, inputs: Any, output: Any) -> tuple[dict[str, Any], Any]:
        features = self._rows_of(_first_tensor(inputs, "the module's input"))
        n = features.shape[0]
        index = self._choice.draw(n)
        if self.head is not None:
            rows = features if index is None else _arrays.take_rows(features, index)
            return {self.layer: rows}, None
        outputs = self._rows_of(_first_tensor(output, "the module's output"))
        if outputs.shape[0] != n:
            raise ValueError(f"{n} rows went into the module, {outputs.shape[0]} came out")
        if index is not None:
            features = _arrays.take_rows(features, index)
            outputs = _arrays.take_rows(outputs, index)
        return {self.layer: features}, outputs


class StackTap(Hooks):
    """What `Run.watch` returns for several layers: a hook on each, and one on the outputs.

    The layers' outputs are kept (by reference) until the final outputs come; then all go as one
    message, in depth order.

    Attributes:
        layers: the layers' names, which are the modules' paths, in depth order.
        batches: passes whose rows were taken.
        calls: passes that reached the final outputs.
    """

    def __init__(self, run: Taker, layers: Sequence[str], choice: Choice) -> None:
        super().__init__(run, choice)
        self.layers = tuple(layers)
        self._seen: dict[str, Any] = {}

    @property
    def layer(self) -> str:
        return ", ".join(self.layers)

    def attach(self, modules: Mapping[str, Any], outputs: Any) -> None:
        """Put a hook onto each module, by name, and one onto the module of the final outputs."""
        for name, module in modules.items():
            self._add_hook(module, functools.partial(self._on_layer, name))
        self._add_hook(outputs, self._on_outputs)

    def _on_layer(self, name: str, _module: Any, _args: Any, *rest: Any) -> None:
        self._seen[name] = rest[-1]

    def _on_outputs(self, module: Any, _args: Any, *rest: Any) -> None:
        seen, self._seen = self._seen, {}
        self._offer_call(module, seen or None, rest[-1])

    def take(self, inputs: Any, output: Any) -> tuple[dict[str, Any], Any]:
        outputs = self._rows_of(_first_tensor(output, "the outputs"))
        n = outputs.shape[0]
        features = {
            name: _as_rows_of(_first_tensor(inputs[name], name), n, name, self._choice.tokens)
            for name in self.layers
            if name in inputs
        }
        index = self._choice.draw(n)
        if index is not None:
            features = {name: _arrays.take_rows(rows, index) for name, rows in features.items()}
            outputs = _arrays.take_rows(outputs, index)
        return features, outputs


def find_modules(model: Any, patterns: Union[str, Sequence[str]]) -> dict[str, Any]:
    """The submodules whose dotted path matches one of the patterns ("blocks.*"), in depth order.

    Raises ValueError when a pattern matches none.
    """
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    modules = {name: module for name, module in model.named_modules() if name}
    found = {}
    for pattern in patterns:
        names = [name for name in modules if fnmatch.fnmatchcase(name, pattern)]
        if not names:
            raise ValueError(f"the model has no module {pattern!r}; it has {', '.join(modules)}")
        found.update({name: modules[name] for name in names})
    return {name: module for name, module in modules.items() if name in found}


def _as_rows_of(tensor: Any, n: int, name: str, tokens: Tokens) -> Any:
    """(n, p): one row an output row, whatever the layer's dimensions are."""
    tensor = tokens.columns(tensor).detach()
    if tensor.shape[0] == n or tensor.numel() == n * tensor.shape[-1]:
        return tensor.reshape(n, -1)
    shape = tuple(tensor.shape)
    raise ValueError(f"{name} gives {shape}, which are not the {n} rows of the outputs")


def _is_head(module: Any, wide: str) -> bool:
    """Whether the module's weights stand for its outputs, as `Run.watch` says of `wide`.

    Raises ValueError when they are asked for and the module is not linear.
    """
    import torch

    is_linear = isinstance(module, torch.nn.Linear)
    if wide == "head" and not is_linear:
        raise ValueError(f"a {type(module).__name__} has no weight that stands for its outputs")
    if wide == "outputs" or not is_linear:
        return False
    n_outputs, n_features = module.weight.shape
    return wide == "head" or n_outputs >= n_features


def _register(module: Any, hook: Callable[..., None]) -> Any:
    hook = _hidden_from_compilers(hook)
    try:
        return module.register_forward_hook(hook, with_kwargs=True)
    except TypeError:  # torch 1.x
        return module.register_forward_hook(hook)


def find_module(model: Any, module: Any) -> Any:
    """`module` itself, or the submodule of that dotted path; "" is the model.

    Raises ValueError that lists the linear modules when there is none of the path.
    """
    if not isinstance(module, str):
        return module
    modules = dict(model.named_modules())
    if module in modules:
        return modules[module]
    linear = [name for name, m in modules.items() if type(m).__name__.endswith("Linear")]
    raise ValueError(
        f"the model has no module {module!r}; its linear modules are {', '.join(linear) or 'none'}"
    )


def _first_tensor(values: Any, what: str) -> Any:
    """The first tensor in a tensor, tuple, list or dict."""
    if hasattr(values, "detach"):
        return values
    items = values.values() if isinstance(values, dict) else values
    if isinstance(values, (tuple, list, dict)):
        for value in items:
            if hasattr(value, "detach"):
                return value
    raise ValueError(f"{what} holds no tensor")


def _hidden_from_compilers(hook: Callable[..., None]) -> Callable[..., None]:
    """The hook, marked so that torch.compile leaves it as it is."""
    import torch

    compiler = getattr(torch, "compiler", None)
    dynamo = getattr(torch, "_dynamo", None)
    disable = getattr(compiler, "disable", None) or getattr(dynamo, "disable", None)
    return disable(hook) if disable is not None else hook
