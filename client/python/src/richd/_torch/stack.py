"""A tap on several layers of one model, whose rows are taken together, pass by pass.

Its hooks run in the thread that runs the model. `_watch` has what it shares with a tap on one
module, `_passes` keeps what the layers of a pass give.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from richd._torch.choice import Choice
from richd._torch.hook import add_hook, add_pre_hook
from richd._torch.modules import first_tensor, is_convolution
from richd._torch.pairing import Given
from richd._torch.passes import Pass, matrix_of
from richd._torch.watch import Hooks, Taker, matrix, row_bytes
from richd._values.thinning import Draw, Turn


class StackTap(Hooks):
    """What `Run.watch` returns for several layers: a hook on each, and one on the outputs.

    A pass begins with the model, or with the first of the layers where the model is not called as a
    whole, and is over with the final outputs. Then what the layers gave goes as one message, in
    depth order; a module that was called k times in the pass, as k.

    Attributes:
        layers: the layers' names, which are the modules' paths, in depth order.
        batches: passes whose rows were taken.
        calls: passes that reached the final outputs.
    """

    def __init__(self, run: Taker, layers: Sequence[str], choice: Choice) -> None:
        super().__init__(run, choice)
        self.layers = tuple(layers)
        self._by_sample: set[str] = set()  # layers whose rows are all that a sample has
        self._row_bytes: dict[str, int] = {}
        self._n_calls = 1  # of a layer, in the last pass
        self._now = threading.local()  # a pass is one thread's

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in super().__getstate__().items() if k != "_now"}

    @property
    def layer(self) -> str:
        return ", ".join(self.layers)

    def attach(self, model: Any, modules: Mapping[str, Any], outputs: Any) -> None:
        """Put a hook onto each module, by name, and one onto the module of the final outputs."""
        self._handles.append(add_pre_hook(model, self._timed(self._on_begin), reads_keywords=False))
        for name, module in modules.items():
            self._add_hook(name, module, functools.partial(self._on_layer, name))
        self._handles.append(add_hook(outputs, self._timed(self._on_outputs), reads_keywords=False))
        self._handles.append(add_hook(model, self._on_end, reads_keywords=False))

    # ---- the hooks -------------------------------------------------------------------------------

    def _on_begin(self, model: Any, _args: Any, _kwargs: Any) -> None:
        now = self._now
        now.is_inside, now.current = True, None
        now.split = now.passed_over = self._passes_over(model)
        if now.split is None:
            self._run._tapped(self, self._begin_pass, model)

    def _on_layer(self, name: str, module: Any, _args: Any, _kwargs: Any, output: Any) -> None:
        if getattr(self._now, "passed_over", None) is None:
            self._run._tapped(self, self._add, name, module, output)

    def _on_outputs(self, module: Any, _args: Any, _kwargs: Any, output: Any) -> None:
        split = getattr(self._now, "passed_over", None)
        if split is None:
            self._run._tapped(self, self._finish_pass, module, output)
        else:
            self.calls += 1
            self._leave_out(split, output, self._n_calls)

    def _on_end(self, _model: Any, _args: Any, _kwargs: Any, _output: Any) -> None:
        """What did not reach the outputs is let go; layers that run again later are no pass."""
        self._now.is_inside = False
        self._now.current = self._now.passed_over = None

    # ---- a pass ----------------------------------------------------------------------------------

    def _begin_pass(self, module: Any) -> None:
        split = self._begin(module)
        self._now.split = split
        self._now.current = None
        if split is None:
            return
        turn = self._turn(split) if split else None
        self._now.current = self._pass_of(self._choice.name_of(split), turn)

    def _add(self, name: str, module: Any, output: Any) -> None:
        if not self._belongs(name, module) or self._now.current is None:
            return
        if not self._now.current.is_taken:
            self._now.current.pass_over(name)
            return
        tensor = first_tensor(output, name).detach()
        by_sample = name in self._by_sample or (tensor.ndim == 3 and is_convolution(module))
        tokens = self._choice.tokens if by_sample else self._tokens_of(tensor)
        picked = tokens.columns(tensor)
        own = matrix_of(picked, by_sample)
        self._row_bytes[name] = row_bytes(own)
        whole = picked if tokens is self._choice.tokens else tensor
        self._now.current.add(name, own, tuple(whole.shape))

    def _belongs(self, name: str, module: Any) -> bool:
        """Whether a layer's call is one of a pass; begins one where the model itself does not."""
        inside = getattr(self._now, "is_inside", None)
        if inside is not None:
            return inside  # a model that is called as a whole; what runs outside is a recomputation
        current = getattr(self._now, "current", None)
        if current is None or current.has(name):
            self._begin_pass(module)
        return True

    def _pass_of(self, split: Optional[str], turn: Optional[Turn]) -> Pass:
        return Pass(split, None if turn is None else functools.partial(self._draw, split, turn))

    def _draw(self, split: Optional[str], turn: Turn, n: int) -> Draw:
        """Layers that were not seen yet count as the average of those that were."""
        known = self._row_bytes.values()
        size = sum(known) * max(len(self.layers), len(known)) // max(1, len(known))
        return self._choice.draw(n, size, split, turn)

    def _finish_pass(self, module: Any, output: Any) -> None:
        current = getattr(self._now, "current", None)
        split = getattr(self._now, "split", None)
        self._now.current = self._now.split = None
        if split is None and getattr(self._now, "is_inside", None) is None:
            split = self._begin(module)  # no layer was called before the outputs
        if split is None:
            return
        self.calls += 1
        if split and current is not None and not current.is_taken:
            self._leave_out(split, self._outputs_in(output, "the outputs"), self._n_calls)
        if current is None or current.is_empty:
            return
        tensor = self._outputs_in(output, "the outputs")
        self._check_layout(module, tensor)
        tokens = self._tokens_of(tensor)
        final = matrix(tokens, tensor)
        self._row_bytes[""] = row_bytes(final)
        calls, outputs = current.finish(final, self._note_misfit)
        self.batches += 1
        self._n_calls = len(calls)
        draw = current.draw_of(len(final))
        offer = functools.partial(self._offer, current.split, calls, outputs, draw)
        self._wait(split, tuple(tensor.shape), tokens, draw.index, offer)

    def _offer(
        self,
        split: Optional[str],
        calls: Sequence[Any],
        outputs: Any,
        draw: Draw,
        given: Optional[Given],
    ) -> None:
        for features in calls:
            in_order = {name: features[name] for name in self.layers if name in features}
            self._run._offer_tapped(self, in_order, outputs, split, given, draw)

    def _note_misfit(self, layer: str, shape: tuple[int, ...], is_by_sample: bool) -> None:
        """Its rows are known from now on, or it costs itself."""
        if is_by_sample:
            self._by_sample.add(layer)
            return
        self._run._warn_of_tap(
            f"rows of {layer}", f"{layer} gives {shape}, which are not the rows of the outputs"
        )
