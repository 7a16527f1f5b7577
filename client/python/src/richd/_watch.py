"""Taps: forward hooks that hand a torch module's input and output to a run.

The hook runs in the training thread, inside the model's forward pass; it holds no lock and never
raises. Copying and sending are left to `Run.observe`. Only this file imports torch, and only when
`Run.watch` is called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Optional, Union

import numpy as np

from richd import _arrays

if TYPE_CHECKING:
    from richd._run import Run

_SEQUENCE = 3  # dimensions of (batch, sequence, features)


class Tap:
    """What `Run.watch` returns: one hook on one module.

    Attributes:
        layer: the layer's name in richd.
        batches: calls whose rows were taken.
        calls: forward passes of the module that were seen.
    """

    def __init__(
        self,
        run: Run,
        layer: str,
        rows: Optional[int],
        every: int,
        train_only: bool,
        position: Union[None, int, str],
    ) -> None:
        self.layer = layer
        self.batches = 0
        self.calls = 0
        self._run = run
        self._rows = rows
        self._every = every
        self._train_only = train_only
        self._position = -1 if position == "last" else position
        # Its own generator, with a fixed seed: the trainer's random numbers stay as they are.
        self._generator = np.random.default_rng(0)
        self._handle: Any = None

    def remove(self) -> None:
        """Take the hook off the module; once more is fine."""
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def attach(self, module: Any) -> None:
        """Put the hook onto a torch module."""
        hook = _hidden_from_compilers(self._on_forward)
        try:
            self._handle = module.register_forward_hook(hook, with_kwargs=True)
        except TypeError:  # torch 1.x
            self._handle = module.register_forward_hook(hook)

    def _on_forward(self, module: Any, args: Any, *rest: Any) -> None:
        """torch calls (module, args, output), or (module, args, kwargs, output)."""
        kwargs, output = rest if len(rest) > 1 else ({}, rest[0])
        if self._train_only and not module.training:
            return
        self.calls += 1
        if (self.calls - 1) % self._every:
            return
        self._run._tapped(self, args, kwargs, output)

    def take(self, args: Any, kwargs: Any, output: Any) -> tuple[Any, Any]:
        """The rows to send of one call: features (n, p) and outputs (n, C)."""
        features = _first_tensor((*args, *kwargs.values()), "the module's input")
        outputs = _first_tensor(output, "the module's output")
        features, outputs = self._pick_position(features), self._pick_position(outputs)
        features = features.detach().reshape(-1, features.shape[-1])
        outputs = outputs.detach().reshape(-1, outputs.shape[-1])
        n = features.shape[0]
        if outputs.shape[0] != n:
            raise ValueError(f"{n} rows went into the module, {outputs.shape[0]} came out")
        if self._rows is not None and n > self._rows:
            index = _arrays.subsample(n, self._rows, self._generator)
            return _arrays.take_rows(features, index), _arrays.take_rows(outputs, index)
        return features, outputs

    def _pick_position(self, tensor: Any) -> Any:
        if self._position is None or tensor.dim() < _SEQUENCE:
            return tensor
        return tensor[..., self._position, :]


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
