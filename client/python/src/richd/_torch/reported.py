"""The measures of the whole network that only the trainer can compute, for a checkpoint.

Called by the training thread, at `watch` and at checkpoints. `_parameters` and `_tangent` have the
formulas, `Run` sends the message.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, Optional

from richd._values import clean as _clean
from richd._torch.modules import is_lazy, is_sharded, unwrapped
from richd._torch.parameters import Parameters, is_cheap
from richd._torch.parameters_device import DeviceParameters, device_of, has_room
from richd._torch.tangent import NTK

#: The measures that a checkpoint may bring along.
REPORTED = ("param_norm", "param_change", "ntk_distance", "ntk_alignment")


class Reported:
    """What a run measures of the model it watches; nothing before `watch`.

    Attributes:
        is_probing: passes of this client run, not the trainer's: taps ignore them.
    """

    def __init__(self) -> None:
        self.is_probing = False
        self._parameters: Optional[Parameters] = None
        self._on_device: Optional[DeviceParameters] = None
        self._lazy: Optional[tuple[Any, ...]] = None  # what to measure when it has been called
        self._tangent: Optional[tuple[Any, NTK]] = None  # the model (weak), and what is computed
        self._initial: Optional[Mapping[str, Any]] = None  # where that began, until it is used

    def watch_parameters(
        self, model: Any, wanted: Optional[bool], initial: Optional[Mapping[str, Any]]
    ) -> None:
        """Measure the parameters of the first model that is given, unless `wanted` is False.

        Raises ValueError where they are asked for and the process holds only shards of them.
        """
        if wanted is False or self._is_watched:
            return
        self._parameters = self._on_device = None
        if is_sharded(model):
            if wanted:
                raise ValueError("FSDP holds shards of the parameters: watch with parameters=False")
            return
        self._lazy = (weakref.ref(model), wanted, initial)
        self.begin()

    @property
    def _is_watched(self) -> bool:
        """Whether there are parameters to measure, of a model that somebody still has."""
        given = self._parameters or self._on_device
        return given is not None and given.is_there

    def begin(self) -> None:
        """Measure from now on what was asked for, unless the model has still to be called."""
        if self._lazy is None:
            return
        weak, wanted, initial = self._lazy
        model = weak()
        if model is not None and is_lazy(model):
            return
        self._lazy = None
        if model is not None:
            self._measure_from_now(model, wanted, initial)

    def _measure_from_now(
        self, model: Any, wanted: Optional[bool], initial: Optional[Mapping[str, Any]]
    ) -> None:
        device = device_of(model)
        has_copy = device is not None and has_room(model, device, bool(wanted or initial))
        if device is not None and (has_copy or wanted is None):
            self._on_device = DeviceParameters(model, device, initial, has_copy)
        elif wanted or initial is not None or is_cheap(model):
            self._parameters = Parameters(model, initial)

    def watch_tangent(self, model: Any, ntk: NTK, initial: Optional[Mapping[str, Any]]) -> None:
        """Measure this model's tangent kernel from now on, against that of `initial` if given.

        What wraps the model is left out: the kernel is computed when one process wants it, and a
        wrapper would wait for the others. Raises ValueError where there are only shards.
        """
        if is_sharded(model):
            raise ValueError(
                "the tangent kernel needs whole parameters, and FSDP holds shards of them: watch "
                "without ntk="
            )
        inner = unwrapped(model)
        self._tangent = (weakref.ref(inner), ntk)
        self._initial = None if initial is None else _names_within(model, inner, initial)

    def measure_parameters(self) -> dict[str, float]:
        """param_norm and param_change, as far as they are watched."""
        self.begin()
        return {} if self._parameters is None else self._parameters.measure()

    def start_parameters(self) -> Optional[Callable[[], dict[str, float]]]:
        """The same of parameters on a GPU, which are not there yet: what is returned waits."""
        if self._on_device is not None and not self._on_device.is_there:
            self._on_device = None  # the copy takes memory of the device
        return None if self._on_device is None else self._on_device.measure()

    def measure_tangent(self) -> dict[str, float]:
        """ntk_distance and ntk_alignment, at the checkpoints that `every` asks for."""
        if self._tangent is None:
            return {}
        weak, ntk = self._tangent
        model = weak()
        if model is None or not ntk.is_due():
            return {}
        self.is_probing = True
        try:
            measures = ntk.measure(model, self._initial)
            self._initial = None
            return measures
        finally:
            self.is_probing = False

    def forget(self) -> None:
        """Let go of the model, which may be large."""
        self._parameters = self._on_device = self._lazy = self._tangent = self._initial = None


def _names_within(model: Any, inner: Any, state: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state of the wrapped model, or of the model itself, with the names of the model itself."""
    path = next(name for name, module in model.named_modules() if module is inner)
    prefix = f"{path}." if path else ""
    return {name[len(prefix) if name.startswith(prefix) else 0 :]: v for name, v in state.items()}


def check(given: Mapping[str, Any]) -> dict[str, Optional[float]]:
    """What the trainer reports by itself. Raises ValueError for another name, or no number."""
    for name in given:
        if name not in REPORTED:
            raise ValueError(f"they are {', '.join(REPORTED)}, not {name!r}")
    return {name: _clean.number(value) for name, value in given.items()}
