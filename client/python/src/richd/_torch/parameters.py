"""How far a torch module's parameters have moved: param_norm and param_change.

Made and asked by the training thread, at watch() and at checkpoints; the model is only read. The
sums are in double precision, a block at a time, whatever the parameters' dtype. `Run` decides who
sends the values, and what happens when one cannot be computed.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

#: Parameters that are measured without a request: so many take about a millisecond of one core.
UNASKED_MAX = 1 << 19
#: Elements that are turned into double at once: 8 MiB.
BLOCK = 1 << 20


def is_cheap(model: Any) -> bool:
    """Whether measuring the trainable parameters costs the training nothing that it could notice.

    Not on an accelerator: the training thread would wait for it.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    on_host = all(p.device.type == "cpu" for p in parameters)
    return on_host and sum(p.numel() for p in parameters) <= UNASKED_MAX


class Parameters:
    """The parameters of a model that required gradients when it was first seen, and their values.
    """

    def __init__(self, model: Any, initial: Optional[Mapping[str, Any]] = None) -> None:
        """Note which parameters there are, and copy them into host memory, in their own dtype.

        Arguments:
            model: a torch.nn.Module.
            initial: values to measure the change from, by name (a state_dict) in place of a copy;
                borrowed, so nobody may write into them.

        Raises ValueError when `initial` lacks a parameter, or has it in another shape.
        """
        import torch

        self._torch = torch
        self._model = weakref.ref(model)
        found = {name: p for name, p in model.named_parameters() if p.requires_grad}
        self._names = tuple(found)
        if initial is not None:
            self._initial = {name: same_shape(initial, name, p) for name, p in found.items()}
        else:
            self._initial = {name: p.detach().to("cpu", copy=True) for name, p in found.items()}

    @property
    def is_there(self) -> bool:
        """Whether somebody still has the model."""
        return self._model() is not None

    def measure(self) -> dict[str, float]:
        """The squared Frobenius norms (unit 1) over all these parameters theta:

            param_norm   = ||theta||^2
            param_change = ||theta - theta_0||^2 / ||theta_0||^2

        Reads each parameter once, and waits for its device once. Of a model that is gone there are
        none. Raises ValueError when a parameter is gone or has another shape.
        """
        model = self._model()
        if model is None:
            return {}
        sums: list[Any] = []
        with self._torch.no_grad():
            for name, p in named_parameters(model, self._names).items():
                sums += _compare(self._torch, p, same_shape(self._initial, name, p))
            norm, change, first = (
                float(sum(self._torch.stack(sums[k::3]).cpu().double())) if sums else 0.0
                for k in range(3)
            )
        measures = {"param_norm": norm}
        if first > 0:
            measures["param_change"] = change / first
        return measures


def named_parameters(model: Any, names: Sequence[str]) -> dict[str, Any]:
    """The parameters of these names. Raises ValueError when one is gone."""
    found = dict(model.named_parameters())
    for name in names:
        if name not in found:
            raise ValueError(f"the model has no parameter {name!r} any more")
    return {name: found[name] for name in names}


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


def _compare(torch: Any, now: Any, before: Any) -> Iterator[Any]:
    """||now||^2, ||now - before||^2 and ||before||^2 of each block, where `now` lies.

    In double precision; a device that has none hands the blocks over.
    """
    for a, b in zip(now.detach().reshape(-1).split(BLOCK), before.reshape(-1).split(BLOCK)):
        if a.device.type == "mps":
            a = a.cpu()
        b = b.to(a.device, non_blocking=True).to(torch.float64)
        a = a.to(torch.float64)
        yield from (a.square().sum(), (a - b).square().sum(), b.square().sum())
