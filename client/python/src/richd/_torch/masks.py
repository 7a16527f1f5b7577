"""The padding mask that a model is called with, for the taps of its layers.

Called by the threads that run the model, in hooks around its forward pass. A mask is (batch,
sequence) and says which tokens are real: `attention_mask`, or the input that `Run.watch` was told.
It is copied off a device while the pass goes on, so that its end finds it there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Union

import numpy as np

from richd._torch.hook import add_hook, add_pre_hook
from richd._torch.inputs import Input
from richd._values import arrays as _arrays
from richd._values.tokens import Tokens, as_mask

#: The input that is looked for where none was named.
USUAL = "attention_mask"


class Masks:
    """The mask of the pass that each thread runs.

    Arguments:
        wanted: the input's name; None: the usual one where the model has it; False: none.
        warn: called with a sentence where there is a mask that cannot be used.

    Raises ValueError for what is no name.
    """

    def __init__(self, wanted: Union[None, str, bool], warn: Callable[[str], None]) -> None:
        if wanted is not None and wanted is not False and not isinstance(wanted, str):
            raise ValueError(f"mask is the name of an input of the model, not {wanted!r}")
        self._wanted = wanted
        self._name = wanted or USUAL
        self._warn = warn
        self._input: Any = None
        self._now = threading.local()

    def attach(self, model: Any) -> list[Any]:
        """Look at what the model is called with from now on. Returns the hooks' handles.

        Raises ValueError where the input that was named is none of the model's.
        """
        found = Input(model, self._name)
        if self._wanted:
            found.check("mask")
        if self._wanted is False or not (self._wanted or found.is_sure):
            return []
        self._input = found
        return [add_pre_hook(model, self._on_begin), add_hook(model, self._on_end)]

    def tokens_of(self, tokens: Tokens, shape: tuple[int, ...]) -> Tokens:
        """The choice among the real tokens of a tensor (batch, sequence, p) or (tokens, p)."""
        given = getattr(self._now, "mask", None)
        if given is None or len(shape) < 2:
            return tokens
        if self._now.masked is None:
            mask = given()
            self._now.masked = (mask, None if mask.all() else tokens.with_mask(mask))
        mask, masked = self._now.masked
        n, length = mask.shape
        if masked is None or len(shape) == 2 and shape[0] != n * length:
            return tokens
        if shape[0] == n * length or shape[:-1] in ((n, length), tokens.leading(n, length)):
            return masked
        self._warn(f"a mask {mask.shape} does not go with {shape}: padding is not left out of it")
        return tokens

    # ---- the hooks -------------------------------------------------------------------------------

    def _on_begin(self, _model: Any, args: Any, kwargs: Any) -> None:
        mask = self._input.of(args, kwargs)
        if getattr(mask, "ndim", 0) == 2:
            self._now.masked = None
            self._now.mask = _copy_of(mask, self._name.endswith("padding_mask"))
            return
        self._now.mask = None
        if mask is not None and self._wanted:
            self._warn(f"{self._name} is no mask (batch, sequence): padding is not left out")

    def _on_end(self, *_: Any) -> None:
        self._now.mask = self._now.masked = None


def _copy_of(mask: Any, is_inverted: bool) -> Callable[[], np.ndarray]:
    """The mask in host memory when it is asked for; torch's padding masks are true for padding."""
    real = mask.detach() == 0 if is_inverted else mask.detach() != 0
    if real.device.type != "cuda":
        return lambda: as_mask(real)
    shape, staged = tuple(real.shape), _arrays.stage_off(real)

    def wait() -> np.ndarray:
        if staged.wait_filled is not None:
            staged.wait_filled()
        return np.frombuffer(staged.frame, np.uint8).reshape(shape) != 0

    return wait
