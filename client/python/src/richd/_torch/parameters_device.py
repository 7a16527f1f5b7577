"""param_norm and param_change of a model on a GPU, without a wait: `_parameters` has the formulas.

Made and asked by the training thread. A few fused operations run on the training's own stream, in
order with the optimizer, whose next step would otherwise overwrite what is read; the thread only
starts them. The results are copied beside it, and the sender waits for them, with the checkpoint's
message in its hands.

Memory on the device: a copy of the parameters as they were at first, and one block of
`BLOCK_BYTES`. The copy is made where it takes at most 1/64 of the device (124 million of float32
are 1/160 of 80 GB); where it does not fit, param_norm comes alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Optional

from richd._torch import products as _products
from richd._torch.lane import Lane, lane_of
from richd._torch.parameters import named_parameters, same_shape

#: Differences that are computed at once.
BLOCK_BYTES = 64 << 20
#: The copy takes at most this part of the device's memory: by default, and where it was asked for.
PART = 64
PART_ASKED = 4


def device_of(model: Any) -> Any:
    """The one CUDA device of all trainable parameters; None where there is none."""
    devices = {p.device for p in model.parameters() if p.requires_grad}
    device = devices.pop() if len(devices) == 1 else None
    return device if device is not None and device.type == "cuda" else None


def has_room(model: Any, device: Any, is_asked: bool) -> bool:
    """Whether a copy of the trainable parameters may be kept on the device."""
    import torch

    size = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    total = torch.cuda.get_device_properties(device).total_memory
    return size <= total // (PART_ASKED if is_asked else PART)


class DeviceParameters:
    """The parameters that required gradients when the model was first seen, and their values."""

    def __init__(
        self,
        model: Any,
        device: Any,
        initial: Optional[Mapping[str, Any]] = None,
        with_copy: bool = True,
    ) -> None:
        """Arguments:
            model: a torch.nn.Module whose trainable parameters are on `device`.
            initial: values to measure the change from, by name, in place of those of now.
            with_copy: keep them on the device; False: param_norm alone.

        Raises ValueError when `initial` lacks a parameter, or has it in another shape.
        """
        found = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._model = weakref.ref(model)
        self._names = tuple(found)
        self._lane: Lane = lane_of(device)  # type: ignore[assignment]
        self._device = device
        self._initial: Optional[dict[str, Any]] = None
        self._first: Any = None  # their squared norm
        if with_copy:
            first = found if initial is None else initial
            self._initial = {
                name: same_shape(first, name, p).to(device, p.dtype, copy=True)
                for name, p in found.items()
            }
            with _products.as_written(device):
                self._first = _square_sum(list(self._initial.values()))

    @property
    def is_there(self) -> bool:
        """Whether somebody still has the model."""
        return self._model() is not None

    def measure(self) -> Callable[[], dict[str, float]]:
        """Start it; what is returned waits for the values, and is called by the sender.

        Of a model that is gone there are none. Raises ValueError when a parameter is gone or has
        another shape.
        """
        import torch

        model = self._model()
        if model is None:
            return dict
        now = named_parameters(model, self._names)
        with _products.as_written(self._device):
            values = [_square_sum(list(now.values()))]
            if self._initial is not None:
                before = [same_shape(self._initial, name, p) for name, p in now.items()]
                values += [self._change(list(now.values()), before), self._first]
            (sums,), wait = self._lane.to_host([torch.stack(values)])
        return lambda: _named(sums, wait)

    def _change(self, parameters: Sequence[Any], initial: Sequence[Any]) -> Any:
        """||theta - theta_0||^2, a block of tensors after the other."""
        import torch

        total = torch.zeros((), dtype=torch.float64, device=self._device)
        for now, before in _blocks(parameters, initial):
            total += _square_sum(torch._foreach_sub(_single(now), _single(before)))
        return total


def _named(sums: Any, wait: Optional[Callable[[], None]]) -> dict[str, float]:
    if wait is not None:
        wait()
    measures = {"param_norm": float(sums[0])}
    if len(sums) > 1 and sums[2] > 0:
        measures["param_change"] = float(sums[1] / sums[2])
    return measures


def _square_sum(tensors: Sequence[Any]) -> Any:
    """The squared norm of all tensors together: 0-d, float64. Each one's is summed in float32."""
    import torch

    total = torch.zeros((), dtype=torch.float64, device=tensors[0].device)
    for (block,) in _blocks(tensors):
        for norms in _by_dtype(torch._foreach_norm(_single(block))):
            total += torch.stack(norms).to(torch.float64).square().sum()
    return total


def _by_dtype(values: Sequence[Any]) -> list[list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for value in values:
        groups.setdefault(value.dtype, []).append(value)
    return list(groups.values())


def _single(tensors: Sequence[Any]) -> list[Any]:
    """In float32 at least: of half precision the norm would have three digits."""
    return [(t if t.element_size() >= 4 else t.float()).detach() for t in tensors]


def _blocks(*lists: Sequence[Any]) -> Iterator[tuple[list[Any], ...]]:
    """The lists side by side in pieces of at most BLOCK_BYTES, or of one tensor."""
    first, size = 0, 0
    for i, tensor in enumerate(lists[0]):
        own = 4 * tensor.numel()
        if i > first and size + own > BLOCK_BYTES:
            yield tuple(list(values[first:i]) for values in lists)
            first, size = i, 0
        size += own
    yield tuple(list(values[first:]) for values in lists)
