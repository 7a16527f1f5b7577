"""How far a torch module's parameters have moved: param_norm and param_change.

Made and asked by the training thread, at watch() and at checkpoints; the model is only read. The
sums are in double precision, a block at a time, whatever the parameters' dtype. `Run` decides who
sends the values, and what happens when one cannot be computed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

#: The first parameters are copied without a request when the copy takes at most so many bytes.
COPY_BYTES_MAX = 64 << 20
#: Elements that are turned into double at once: 8 MiB.
BLOCK = 1 << 20


class Parameters:
    """The parameters of a model that required gradients when it was first seen, and their values.

    Attributes:
        size_bytes: of those parameters, and of the copy when there is one.
    """

    def __init__(self, model: Any, keep: bool, initial: Optional[Mapping[str, Any]] = None) -> None:
        """Note which parameters there are.

        Arguments:
            model: a torch.nn.Module.
            keep: copy the values into host memory, in their own dtype.
            initial: values to measure the change from, by name (a state_dict) in place of a copy;
                borrowed, so nobody may write into them.

        Raises ValueError when `initial` lacks a parameter, or has it in another shape.
        """
        import torch

        self._torch = torch
        self._model = model
        found = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._names = tuple(found)
        self.size_bytes = sum(p.numel() * p.element_size() for p in found.values())
        self._initial: Optional[dict[str, Any]] = None
        if initial is not None:
            self._initial = {name: same_shape(initial, name, p) for name, p in found.items()}
        elif keep:
            self._initial = {
                name: p.detach().to("cpu", copy=True) for name, p in found.items()
            }

    def measure(self) -> dict[str, float]:
        """The squared Frobenius norms (unit 1) over all these parameters theta:

            param_norm   = ||theta||^2
            param_change = ||theta - theta_0||^2 / ||theta_0||^2, when theta_0 was kept

        Reads each parameter once and waits for its device. Raises ValueError when a parameter is
        gone or has another shape.
        """
        parameters = dict(self._model.named_parameters())
        norm = change = first = 0.0
        with self._torch.no_grad():
            for name in self._names:
                if name not in parameters:
                    raise ValueError(f"the model has no parameter {name!r} any more")
                p = parameters[name]
                if self._initial is None:
                    norm += _sum_squares(p)
                    continue
                sums = _compare(p, same_shape(self._initial, name, p))
                norm, change, first = norm + sums[0], change + sums[1], first + sums[2]
        measures = {"param_norm": norm}
        if first > 0:
            measures["param_change"] = change / first
        return measures


def same_shape(values: Mapping[str, Any], name: str, parameter: Any) -> Any:
    """The value of that name, without its gradient. Raises ValueError unless it fits."""
    if name not in values:
        raise ValueError(f"the initial values have no parameter {name!r}")
    if values[name].shape != parameter.shape:
        raise ValueError(
            f"parameter {name!r} is {tuple(parameter.shape)}, its initial value "
            f"{tuple(values[name].shape)}"
        )
    return values[name].detach()


def _blocks(tensor: Any) -> Iterator[Any]:
    """The values in host memory as double, at most BLOCK at a time."""
    for block in tensor.detach().reshape(-1).split(BLOCK):
        yield block.cpu().double()  # in this order: not every device has double


def _sum_squares(tensor: Any) -> float:
    return sum(float(block.square().sum()) for block in _blocks(tensor))


def _compare(now: Any, before: Any) -> tuple[float, float, float]:
    """||now||^2, ||now - before||^2 and ||before||^2."""
    norm = change = first = 0.0
    for a, b in zip(_blocks(now), _blocks(before)):
        norm += float(a.square().sum())
        change += float((a - b).square().sum())
        first += float(b.square().sum())
    return norm, change, first
